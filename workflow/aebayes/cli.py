"""The command line: every rule of the workflow is one of these commands, and each runs by hand.

Heavy imports wait inside the commands: a figure should not pay for torch.
"""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import click

from aebayes import __version__
from aebayes.config import Study, load_study
from aebayes.errors import AebayesError

RAW = Path("data/raw")
PROCESSED = Path("data/processed")
RESULTS = Path("results")

study_option = click.option(
    "--study", default="pocket", show_default=True, help="A study's name, or its YAML file."
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


def reporting(command: Callable) -> Callable:
    """Turn an AebayesError into two lines and its exit status."""

    @functools.wraps(command)
    def run(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except AebayesError as problem:
            click.echo(f"error: {problem.problem}\nremedy: {problem.remedy}", err=True)
            sys.exit(problem.status)

    return run


# AEBAYES_TRAIN_TIME_LIMIT=3000 and the like reach a step through Snakemake.
@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AEBAYES"}
)
@click.version_option(__version__)
def main() -> None:
    """Auto-Encoding Bayes: the steps that turn raw data into the papers' tables and figures."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.getLogger("aebayes").setLevel(logging.INFO)  # not of matplotlib's fonts


@main.command()
@click.argument("dataset")
@click.option("--raw", type=click.Path(path_type=Path), default=RAW, show_default=True)
@click.option("--mirror", "mirrors", multiple=True, help="A folder or URL; may be repeated.")
@reporting
def fetch(dataset: str, raw: Path, mirrors: tuple[str, ...]) -> None:
    """Bring DATASET's raw files to data/raw/, verified."""
    from aebayes.data.fetch import fetch

    for path in fetch(dataset, raw, mirrors, progress=sys.stderr.isatty()):
        click.echo(path)


@main.command()
@click.argument("dataset")
@click.option("--raw", type=click.Path(path_type=Path), default=RAW, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=PROCESSED, show_default=True)
@reporting
def prepare(dataset: str, raw: Path, out: Path) -> None:
    """Turn DATASET's raw files into one npz and its card under data/processed/."""
    from aebayes.data.prepare import prepare

    prepare(dataset, raw, out / f"{dataset}.npz", out / f"{dataset}.json")


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
@click.option("--time-limit", type=float, help="Stop after so many seconds, with exit status 75.")
@click.option("--save-every", type=float, default=30, show_default=True, help="Seconds.")
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
    from aebayes.training.loop import Interruptions
    from aebayes.training.run import train

    chosen = load_study(study)
    settings = chosen.experiment(experiment)
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
    from aebayes.evaluation.run import evaluate

    chosen = load_study(study)
    settings = chosen.experiment(experiment)
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
    from aebayes.tables import make_table

    chosen = load_study(study).without(without)
    folder = RESULTS / chosen.name
    make_table(name, chosen, folder / "runs", folder / "tables")


@main.command()
@click.argument("name")
@study_option
@without_option
@reporting
def figure(name: str, study: str, without: tuple[str, ...]) -> None:
    """Draw the figure NAME as PNG and PDF from the runs' arrays and histories."""
    from aebayes.figures import make_figure

    chosen = load_study(study).without(without)
    folder = RESULTS / chosen.name
    make_figure(name, chosen, folder / "runs", PROCESSED, folder / "figures")


@main.command()
@study_option
@without_option
@reporting
def version(study: str, without: tuple[str, ...]) -> None:
    """Put the study's datasets and checkpoints under DVC."""
    from aebayes.version import version_study

    chosen = load_study(study).without(without)
    version_study(chosen.name, chosen.experiments, chosen.datasets, Path())
