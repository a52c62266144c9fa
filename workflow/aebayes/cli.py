"""The command line: every rule of the workflow is one of these commands, and each runs by hand.

Heavy imports wait inside the commands: a figure should not pay for torch.
"""

import functools
import logging
import re
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from aebayes import __version__
from aebayes.config import ROOT, Study, load_study, mirrors_of
from aebayes.errors import AebayesError, CannotWrite, as_typed
from aebayes.provenance import Began

CONFIG = Path("config/config.yaml")
RAW = Path("data/raw")
PROCESSED = Path("data/processed")
RESULTS = Path("results")
DEFAULT_STUDY = "pocket"

study_option = click.option(
    "--study", default=DEFAULT_STUDY, show_default=True, help="A study's name, or its YAML file."
)
without_option = click.option(
    "--without", multiple=True, help="A dataset that cannot be had; may be repeated."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)


def path_option(flag: str, text: str) -> Callable:
    """An option that takes a path."""
    return click.option(flag, type=click.Path(path_type=Path), default=None, help=text)


def not_negative(_: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse a negative number, and NaN, which click's ranges let pass."""
    if value is not None and not value >= 0:
        raise click.BadParameter(f"takes seconds, 0 or more, not {value:g}", param=parameter)
    return value


def reporting(command: Callable) -> Callable:
    """Turn an AebayesError, or a lack of memory, into two lines and an exit status."""

    @functools.wraps(command)
    def run(**options: object) -> None:
        try:
            command(**options)
        except AebayesError as problem:
            remedy = of_study(problem.remedy, options.get("study", DEFAULT_STUDY))
            click.echo(f"error: {problem.problem}\nremedy: {as_typed(remedy)}", err=True)
            sys.exit(problem.status)
        except KeyboardInterrupt:  # of which click would make 1: "something is not what was made"
            click.echo("stopped", err=True)
            sys.exit(128 + signal.SIGINT)
        except (MemoryError, RuntimeError) as problem:
            if not lacks_memory(problem):
                raise
            what = " ".join((command.__name__, options.get("experiment", ""))).rstrip()
            size = re.search(r"allocate [\d.]+ \w+", str(problem))
            size = f": it tried to {size[0]}" if size else ""
            click.echo(
                f"error: {what} needs more memory than there is{size}\n"
                "remedy: free some, or make what is asked for smaller: the model, training.batch, "
                "training.replicas, the evaluation's samples",
                err=True,
            )
            sys.exit(2)

    return run


def of_study(remedy: str, study: str) -> str:
    """A remedy whose commands are given the study that the command which failed was given."""
    if study == DEFAULT_STUDY:
        return remedy
    commands = "|".join(
        name
        for name, command in main.commands.items()
        if any(parameter.name == "study" for parameter in command.params)
    )
    found = rf"python -m aebayes (?:{commands})\b(?: [a-z0-9][\w.-]*)?"
    return re.sub(found, lambda match: f"{match[0]} --study {shlex.quote(study)}", remedy)


def lacks_memory(problem: Exception) -> bool:
    """Whether that is what an exception of torch or numpy says: torch has no type for it on CPU."""
    on_gpu = type(problem).__name__ == "OutOfMemoryError"
    return on_gpu or isinstance(problem, MemoryError) or "you tried to allocate" in str(problem)


# The environment reaches a step through Snakemake.
@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AEBAYES"}
)
@click.version_option(__version__)
@reporting
def main() -> None:
    """Auto-Encoding Bayes: the steps that turn raw data into the papers' tables and figures."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.getLogger("aebayes").setLevel(logging.INFO)  # not of matplotlib's fonts
    # Elsewhere on purpose, perhaps; but not among the results, where more of them would be begun.
    if ROOT in Path.cwd().parents:
        problem = f"paths are from {ROOT}, and this is {Path.cwd()}"
        raise AebayesError(problem, f"cd {shlex.quote(str(ROOT))}")


@main.command()
@click.argument("dataset")
@click.option("--raw", type=click.Path(path_type=Path), default=RAW, show_default=True)
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    help="A folder or URL; may be repeated.  [default: the mirrors of config/config.yaml]",
)
@reporting
def fetch(dataset: str, raw: Path, mirrors: tuple[str, ...]) -> None:
    """Bring DATASET's raw files to data/raw/, verified."""
    from aebayes.data.fetch import fetch

    paths = fetch(dataset, raw, mirrors or mirrors_of(CONFIG), progress=sys.stderr.isatty())
    for path in paths:
        click.echo(path)
    if not paths:
        click.echo(f"{dataset} has no raw files: prepare makes it without", err=True)


@main.command()
@click.argument("dataset")
@click.option("--raw", type=click.Path(path_type=Path), default=RAW, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=PROCESSED, show_default=True)
@reporting
def prepare(dataset: str, raw: Path, out: Path) -> None:
    """Turn DATASET's raw files into one npz and its card under data/processed/."""
    from aebayes.data.prepare import prepare

    kinds = ("npz", "json", "provenance.json")
    prepare(dataset, raw, *(out / f"{dataset}.{kind}" for kind in kinds))


def folder_of(study: Study, experiment: str) -> Path:
    """Where a run's files lie."""
    return RESULTS / study.name / "runs" / experiment


def data_of(experiment: dict) -> Path:
    """The prepared dataset of an experiment."""
    return PROCESSED / f"{experiment['dataset']}.npz"


@main.command()
@click.argument("experiment")
@study_option
@device_option
@path_option("--data", "The prepared npz.  [default: data/processed/<dataset>.npz]")
@path_option("--run", "The run's folder.  [default: results/<study>/runs/<experiment>]")
@path_option("--resume", "The state file.  [default: results/<study>/resume/<experiment>...]")
@path_option("--start-from", "The source's folder.  [default: results/<study>/runs/<start_from>]")
@click.option(
    "--time-limit",
    type=float,
    envvar="AEBAYES_TRAIN_TIME_LIMIT",
    show_envvar=True,
    callback=not_negative,
    help="Stop after so many seconds, with exit status 75.",
)
@click.option(
    "--save-every",
    type=float,
    default=30,
    show_default=True,
    envvar="AEBAYES_TRAIN_SAVE_EVERY",
    show_envvar=True,
    callback=not_negative,
    help="Seconds.",
)
@reporting
def train(
    experiment: str,
    study: str,
    device: str,
    data: Path | None,
    run: Path | None,
    resume: Path | None,
    start_from: Path | None,
    time_limit: float | None,
    save_every: float,
) -> None:
    """Train every replica of EXPERIMENT, or go on where an earlier start was interrupted.

    Exit status: 0 done, 2 bad input, 3 a loss that is not finite, 75 the time limit, 143 SIGTERM.
    After 75 and 143 the same command goes on from the saved state.
    """
    chosen = load_study(study)
    settings = chosen.experiment(experiment)
    # After what may be misspelt: a wrong name is refused before torch is imported.
    from aebayes.training.loop import Interruptions
    from aebayes.training.run import train

    source = settings.get("start_from")
    train(
        settings,
        data or data_of(settings),
        run or folder_of(chosen, experiment),
        resume or RESULTS / chosen.name / "resume" / f"{experiment}.safetensors",
        device,
        Interruptions(time_limit, save_every),
        source=(start_from or folder_of(chosen, source)) if source else None,
    )


@main.command()
@click.argument("experiment")
@study_option
@device_option
@path_option("--data", "The prepared npz.  [default: data/processed/<dataset>.npz]")
@path_option("--run", "The run's folder.  [default: results/<study>/runs/<experiment>]")
@reporting
def evaluate(experiment: str, study: str, device: str, data: Path | None, run: Path | None) -> None:
    """Compute EXPERIMENT's metrics and its figures' arrays from its checkpoint."""
    chosen = load_study(study)
    settings = chosen.experiment(experiment)
    from aebayes.evaluation.run import evaluate

    folder = run or folder_of(chosen, experiment)
    resume = RESULTS / chosen.name / "resume" / f"{experiment}-annealing.safetensors"
    evaluate(settings, data or data_of(settings), folder, device, resume)


@main.command()
@click.argument("name")
@study_option
@without_option
@reporting
def table(name: str, study: str, without: tuple[str, ...]) -> None:
    """Write the table NAME as CSV, Markdown and LaTeX from the runs' metrics."""
    from aebayes.records import Place, table_files, write_record
    from aebayes.tables import inputs, make_table

    began = Began.now()
    chosen = load_study(study).without(without)
    folder = RESULTS / chosen.name
    make_table(name, chosen, folder / "runs", folder / "tables")
    experiments = inputs(name, chosen)
    files = table_files(name, experiments)
    write_record("table", name, chosen, Place(folder), files, ("pyyaml",), began)
    done = sum((folder / "runs" / each / "metrics.json").is_file() for each in experiments)
    click.echo(f"{folder / 'tables' / name}.md: {done} of {len(experiments)} experiments run")


@main.command()
@click.argument("name")
@study_option
@without_option
@reporting
def figure(name: str, study: str, without: tuple[str, ...]) -> None:
    """Draw the figure NAME as PNG and PDF from the runs' arrays and histories."""
    from aebayes.figures import check_figure, inputs, make_figure
    from aebayes.records import Place, figure_files, write_record

    began = Began.now()
    chosen = load_study(study).without(without)
    folder = RESULTS / chosen.name
    check_figure(name, chosen)
    make_figure(name, chosen, folder / "runs", PROCESSED, folder / "figures")
    files = figure_files(name, *inputs(name, chosen))
    libraries = ("matplotlib", "numpy", "pandas", "seaborn")
    write_record("figure", name, chosen, Place(folder), files, libraries, began)
    click.echo(folder / "figures" / f"{name}.png")


@main.command()
@study_option
@without_option
@reporting
def version(study: str, without: tuple[str, ...]) -> None:
    """Put the study's datasets and checkpoints under DVC, and write its manifest."""
    from aebayes.audit.manifest import made_of, make_manifest
    from aebayes.records import Place
    from aebayes.version import version_study

    chosen = load_study(study).without(without)
    folder = RESULTS / chosen.name
    made_of(chosen, Place(folder))  # what would be refused is, before anything is written
    version_study(chosen.name, chosen.experiments, chosen.datasets, Path())
    make_manifest(chosen, folder)


folder_option = path_option("--folder", "The study's folder.  [default: results/<study>]")


@main.command()
@study_option
@without_option
@folder_option
@click.option("--partial", is_flag=True, help="Of a study that is not finished, or of a copy.")
@reporting
def manifest(study: str, without: tuple[str, ...], folder: Path | None, partial: bool) -> None:
    """Write the study's manifest: every artefact's hash, and what made it from what."""
    from aebayes.audit.manifest import make_manifest

    chosen = load_study(study).without(without)
    folder = folder or RESULTS / chosen.name
    if not folder.is_dir():
        raise AebayesError(f"{folder} is no folder", "run the study, or name its folder: --folder")
    make_manifest(chosen, folder, partial)


REMEDY_OF_AUDIT = (
    "remedy: bring back what is named (dvc checkout --force PATH, or git restore PATH), or delete "
    "what is changed or untracked and run the pipeline, which makes anew what is not there"
)
# What DVC is told of a study is made by its last step, whose outputs Snakemake takes for whole.
REMEDY_OF_VERSION = (
    "remedy of dvc.yaml, metrics/ and .dvc files, once the rest is sound: python -m aebayes version"
)


@main.command()
@study_option
@folder_option
@path_option(
    "--out", "Where audit.json and index.html go.  [default: audit/ in the study's folder]"
)
@click.option("--deep", is_flag=True, help="Compute metrics and datasets anew, too.")
@click.option("--quick", is_flag=True, help="Only hashes and links: make nothing again.")
@reporting
def audit(study: str, folder: Path | None, out: Path | None, deep: bool, quick: bool) -> None:
    """Prove where every number came from, or name the first link that does not hold.

    Exit status: 0 everything is what was made, 1 something is not, 2 it could not be told.
    """
    from aebayes.audit.again import make_again
    from aebayes.audit.audit import SOUND, Audit
    from aebayes.audit.report import report

    if deep and quick:
        raise click.UsageError("--quick makes nothing again, --deep makes all: name one of them")
    chosen = load_study(study)
    folder = folder or RESULTS / chosen.name
    checked = Audit.of(chosen, folder)
    if not quick:
        make_again(checked, deep, lambda what: click.echo(f"making again: {what}", err=True))
    for key, finding in sorted(checked.findings.items()):
        if finding.status not in SOUND:
            click.echo(f"{finding.status}: {key}: {finding.why}")
    for step, why in checked.broken.items():
        click.echo(f"broken link: {step}: {why}")
    if not checked.clean:
        click.echo(as_typed(REMEDY_OF_AUDIT))
    own = folder.resolve() == (RESULTS / chosen.name).resolve()
    if own and checked.unsound_of("version"):
        click.echo(as_typed(of_study(REMEDY_OF_VERSION, study)))
    out = out or folder / "audit"
    try:
        report(checked, out)
    except CannotWrite as problem:
        raise AebayesError(problem.problem, "name another folder for it: --out FOLDER") from problem
    counts = ", ".join(f"{count} {status}" for status, count in checked.counts.items())
    click.echo(f"{chosen.name}: {counts}; {out / 'index.html'}")
    sys.exit(0 if checked.clean else 1)


reference_option = path_option(
    "--reference", "The reference results.  [default: results/reference/<study>]"
)


@main.command()
@study_option
@folder_option
@reference_option
@reporting
def promote(study: str, folder: Path | None, reference: Path | None) -> None:
    """Make the finished study the reference results, if its audit is clean."""
    from aebayes.audit.reference import promote

    chosen = load_study(study)
    target = reference or RESULTS / "reference" / chosen.name
    promote(chosen, folder or RESULTS / chosen.name, target)
    click.echo(target)


@main.command()
@study_option
@folder_option
@reference_option
@click.option("--remote", help="DVC's name of a remote.  [default: DVC's default remote]")
@reporting
def restore(study: str, folder: Path | None, reference: Path | None, remote: str | None) -> None:
    """Bring a study back from its reference results and a DVC remote, without training."""
    from aebayes.audit.reference import restore

    chosen = load_study(study)
    source = reference or RESULTS / "reference" / chosen.name
    target = folder or RESULTS / chosen.name
    restore(chosen, source, target, remote, Path(), mirrors_of(CONFIG))


@main.command()
@study_option
@folder_option
@reference_option
@click.option("--all", "everything", is_flag=True, help="Differences within the spread, too.")
@reporting
def compare(study: str, folder: Path | None, reference: Path | None, everything: bool) -> None:
    """Say which metrics differ from the reference results by more than replicas do.

    Exit status: 0 none does, 1 some do.
    """
    from aebayes.audit.compare import SPREADS, differences, missing

    chosen = load_study(study)
    ours = folder or RESULTS / chosen.name
    theirs = reference or RESULTS / "reference" / chosen.name
    found = list(differences(chosen, ours, theirs))
    if not found:
        raise AebayesError(
            f"no experiment has metrics in both {ours} and {theirs}",
            "run the study, or name the folders: --folder, --reference",
        )
    beyond = [each for each in found if each.exceeds]
    for each in found if everything else beyond:
        click.echo(each)
    for name in missing(chosen, ours, theirs):
        click.echo(f"{name}: not run here")
    click.echo(
        f"{len(beyond)} of {len(found)} metrics differ by more than {SPREADS:g} standard deviations"
    )
    sys.exit(1 if beyond else 0)
