"""The study, read and checked, and where its files lie."""

import atexit
import os
import sys
from functools import cache
from pathlib import Path
from shlex import quote

LIBRARY = Path(workflow.basedir) / "workflow"
sys.path.insert(0, str(LIBRARY))

from snakemake.exceptions import WorkflowError

from aebayes.config import check_mergeable, load_config
from aebayes.data import recipe_of
from aebayes.data.fetch import at_hand
from aebayes.errors import AebayesError, as_typed
from aebayes.figures import check_suited, inputs as figure_inputs
from aebayes.forkserver import ADDRESS, ForkServer
from aebayes.provenance import code_of, device_count
from aebayes.tables import inputs as table_inputs
from aebayes.tables.published import load_published
from aebayes.version import refuse_links

try:
    check_mergeable(Path("config/config.yaml"))
except AebayesError as problem:
    raise WorkflowError(as_typed(str(problem)))


configfile: "config/config.yaml"


try:
    STUDY = load_config(config, Path("config/config.yaml"))
    STUDY = STUDY.without(
        dataset
        for dataset in STUDY.optional
        if not at_hand(dataset, Path("data/raw"), config["mirrors"])
    )
    RECIPES = {name: recipe_of(name) for name in STUDY.datasets}
    TABLES = {name: table_inputs(name, STUDY) for name in STUDY.tables}
    FIGURES = {name: figure_inputs(name, STUDY) for name in STUDY.figures}
    check_suited(STUDY)
    refuse_links(STUDY.name, Path())  # which the last step would, after all training
    load_published()  # which tables would find broken after all training
except AebayesError as problem:
    raise WorkflowError(as_typed(str(problem)))

code_of = cache(code_of)  # Snakemake asks for it once or twice a job
RESULTS = f"results/{STUDY.name}"
RUNS = f"{RESULTS}/runs"
WITHOUT = [f"--without={dataset}" for dataset in STUDY.absent]
GPU = device_count(config["device"])

# Jobs that ask for a GPU take turns. And --cores may ask for more jobs at once than there are
# processors: eight on two of them take a quarter more time in all than two at a time. What a user
# gives as --resources holds instead; of a cluster's machines nothing is known here.
for name, available in {"gpu": 1, "processors": len(os.sched_getaffinity(0))}.items():
    if not workflow.resource_settings.nodes and name not in workflow.global_resources:
        workflow.register_resource(name, available)

# An environment made from the lock alone would not find the library without PYTHONPATH; and
# without --sdm, the steps' Python is the one that runs Snakemake, also where no venv is active.
# Bytecode is kept, whoever asked for none: else every step compiles anew all that it imports.
PREFIX = "set -euo pipefail; unset PYTHONDONTWRITEBYTECODE; "
PREFIX += f"export PYTHONPATH={quote(str(LIBRARY))}; "
if not workflow.deployment_settings.deployment_method:
    PREFIX += f'export PATH={quote(str(Path(sys.executable).parent))}:"$PATH"; '
PREFIX = PREFIX.replace("{", "{{").replace("}", "}}")  # which Snakemake would fill in
shell.prefix(PREFIX)


def fork_steps():
    """Have steps forked from one process, if they run on this machine and in this environment."""
    elsewhere = workflow.resource_settings.nodes
    if elsewhere or workflow.deployment_settings.deployment_method:
        return
    server = ForkServer.start() if config["fork_steps"] else None
    if server:
        atexit.register(server.stop)
        shell.prefix(f"{PREFIX}export {ADDRESS}={server.address}; ")


wildcard_constraints:
    dataset="[a-z0-9_]+",
    experiment="[a-z0-9-]+",


def raw_files(dataset):
    """The raw files of a dataset; none if it is made or shipped with a library."""
    if dataset in STUDY.absent:
        bring = as_typed(f"python -m aebayes fetch {dataset}")
        raise WorkflowError(f"the dataset {dataset} is not here: {bring}")
    if dataset not in RECIPES:
        known = ", ".join(RECIPES)
        raise WorkflowError(f"the study {STUDY.name} has no dataset {dataset}: {known}")
    return [f"data/raw/{dataset}/{file.name}" for file in RECIPES[dataset].files]


def mirrors(wildcards, output):
    """Where to fetch from. As it is given the output Snakemake does not count a change of it."""
    return [f"--mirror={mirror}" for mirror in config["mirrors"]]


def prepare_code(wildcards):
    """The hash of the library's code that makes a dataset."""
    return code_of("prepare", RECIPES[wildcards.dataset].module)


def data_of(experiment):
    """The prepared dataset and its card."""
    return processed([STUDY.experiment(experiment)["dataset"]])


def processed(datasets):
    """The prepared datasets and their cards."""
    return [
        f"data/processed/{name}.{kind}" for name in datasets for kind in ("npz", "json")
    ]


def runs_files(experiments, names):
    """Files of several runs."""
    return [
        f"{RUNS}/{experiment}/{name}" for experiment in experiments for name in names
    ]


def rule_name(name):
    """A table's or figure's rule: rule names take no hyphens."""
    return name.replace("-", "_")


def start_of(wildcards):
    """Where the run that an experiment starts from ended; nothing if it starts anew."""
    source = STUDY.experiment(wildcards.experiment).get("start_from")
    names = ["checkpoint.safetensors", "optimiser.safetensors"]
    return runs_files([source], names) if source else []


def training_threads(wildcards):
    """An experiment's own number of threads."""
    return STUDY.experiment(wildcards.experiment)["training"]["threads"]


def training_settings(wildcards):
    """All that training depends on: a change of it trains again."""
    settings = STUDY.experiment(wildcards.experiment)
    return {key: value for key, value in settings.items() if key != "evaluation"}


def training_code(wildcards):
    """The hash of the library's code that training reaches."""
    return code_of("train", STUDY.experiment(wildcards.experiment)["method"])


def evaluation_settings(wildcards):
    """How the experiment is evaluated."""
    return STUDY.experiment(wildcards.experiment)["evaluation"]


def evaluation_code(wildcards):
    """The hash of the library's code that evaluation reaches."""
    return code_of("evaluate", STUDY.experiment(wildcards.experiment)["method"])
