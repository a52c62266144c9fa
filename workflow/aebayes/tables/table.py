"""What a table is: quantities of a study's labelled experiments, each beside the published one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aebayes.config import Study
from aebayes.tables.measurements import Measurement, Run, difference, read_run
from aebayes.tables.published import Published, PublishedValues

OPTIMUM = "optimum"
START = "start_from"
SAME_DECODER = "VAE of the same decoder"
UNITS = "units"


@dataclass(frozen=True)
class Quantity:
    """A column of the CSV.

    Args:
        name: as the CSV and config/published.yaml name it.
        tex: the same, in LaTeX.
        metric: its name in metrics.json.
        absent: why a run may lack it.
        note: what it is, for the table's reader; `{k}` becomes the importance samples,
            `{scored}` the images they were drawn for, `{pixels}` the likelihood's distribution.
        unit: what it is counted in.
        over: a method whose value is taken off, by its name in the study; or START, for the run
            that an experiment started from; or SAME_DECODER, for the table's first VAE with the
            same decoder, image by image.
        decimals: of our numbers, and of published ones; the table's own if not given.
        each: each replica's number is told below the table.
    """

    name: str
    tex: str
    metric: str
    absent: str
    note: str
    unit: str = "nats/image"
    over: str | None = None
    decimals: tuple[int, int] | None = None
    each: bool = False

    def reference(self, name: str, settings: Mapping[str, dict]) -> str | None:
        """The experiment whose value is taken off another's; None if there is none.

        Args:
            name: the other.
            settings: of all experiments of the table, by name.
        """
        own = settings[name]
        suits = {
            None: lambda _, each: False,
            START: lambda other, _: other == own.get("start_from"),
            SAME_DECODER: lambda _, each: each["method"] == "vae" and joint(each) == joint(own),
        }.get(self.over, lambda _, each: each["method"] == self.over)
        return next((other for other, each in settings.items() if suits(other, each)), None)

    def measure(self, run: Run, runs: list[Run]) -> Measurement:
        """This quantity of a run.

        Args:
            runs: all runs of the table, among them the one to compare with.
        """
        if self.over is None:
            return run.measure(self.metric, self.absent)
        start = run.settings.get("start_from")
        if self.over == START and start is None:
            return Measurement.missing("it goes on from no other run")
        name = self.reference(run.name, {each.name: each.settings for each in runs})
        of = {START: start, SAME_DECODER: SAME_DECODER}.get(self.over, self.over.upper())
        if name is None:
            return Measurement.missing(f"the table has no {of} to compare with")
        if name == run.name:
            of = "this VAE" if self.over == SAME_DECODER else of
            return Measurement.missing(f"{of} is what the others are compared with")
        other = next(each for each in runs if each.name == name)
        if self.over == START:
            return run.change(other, self.metric, self.absent)
        if self.over == SAME_DECODER:
            return run.beyond(other, self.metric, self.absent)
        return difference(*(each.measure(self.metric, self.absent) for each in (run, other)))


def joint(settings: dict) -> tuple:
    """What an experiment's p(x, z) is made of, and of which images."""
    model = settings["model"]
    parts = ("latent", "prior", "decoder", "likelihood", "likelihood_sd")
    return settings["dataset"], settings["binarisation"], *map(model.get, parts)


@dataclass(frozen=True)
class Cell:
    """A line of the CSV."""

    row: str
    quantity: Quantity
    ours: Measurement
    published: Published | None


@dataclass(frozen=True)
class Quoted:
    """A row that only a paper has.

    Args:
        label: the row.
        dataset: on which the paper measured it.
        reason: why there is no run of ours.
    """

    label: str
    dataset: str
    reason: str
    binarisation: str = "none"


@dataclass(frozen=True)
class Table:
    """A table of every study.

    Args:
        title: one sentence, for people, without its full stop.
        quantities: the columns of the CSV.
        papers: keys of published.yaml in the order in which they are set beside ours.
        also: a paper whose values are listed below the table.
        decimals: of our numbers, and of published ones.
        optimum: the theory's value by quantity, in words, if the table has a row for it.
        optimum_on: the dataset that the theory is of.
        quoted: further rows of the papers, which stand below ours where any value of theirs stands
            beside ours.
        long: for people it has a line an experiment and columns of quantities, as the CSV has, and
            not the other way round.
    """

    title: str
    quantities: tuple[Quantity, ...]
    papers: tuple[str, ...]
    also: tuple[str, ...] = ()
    decimals: tuple[int, int] = (2, 2)
    optimum: Mapping[str, str] = field(default_factory=dict)
    optimum_on: str = ""
    quoted: tuple["Quoted", ...] = ()
    long: bool = False

    def cells(self, runs: Mapping[str, Run], values: PublishedValues) -> list[Cell]:
        """Every cell, row by row.

        Args:
            runs: by the row's label, as `runs_of` reads them.
        """
        read = list(runs.values())
        cells = []
        for label, run in runs.items():
            for quantity in self.quantities:
                published = self.find(values, label, quantity, run.settings)
                cells.append(Cell(label, quantity, quantity.measure(run, read), published))
        data = read[0].settings
        if self.optimum and data["dataset"] == self.optimum_on:
            for quantity in self.quantities:
                ours = Measurement.missing(self.optimum[quantity.name])
                published = self.find(values, OPTIMUM, quantity, data)
                cells.append(Cell(OPTIMUM, quantity, ours, published))
        if any(cell.published for cell in cells):
            # Where a dataset is not here, the quoted row says better why.
            absent = {label for label, run in runs.items() if run.without}
            absent &= {row.label for row in self.quoted}
            cells = [cell for cell in cells if cell.row not in absent]
            done = {cell.row for cell in cells}
            for row in (row for row in self.quoted if row.label not in done):
                about = {"dataset": row.dataset, "binarisation": row.binarisation}
                for quantity in self.quantities:
                    published = self.find(values, row.label, quantity, about)
                    ours = Measurement.missing(row.reason)
                    cells.append(Cell(row.label, quantity, ours, published))
        return cells

    def find(
        self, values: PublishedValues, row: str, quantity: Quantity, experiment: dict
    ) -> Published | None:
        """The published value that stands beside a cell, if any of the papers has one."""
        about = experiment["dataset"], experiment["binarisation"]
        found = (values.find(paper, row, quantity.name, *about) for paper in self.papers)
        return next((published for published in found if published), None)


def runs_of(name: str, study: Study, runs: Path) -> dict[str, Run]:
    """A table's runs by the labels of its rows.

    Args:
        runs: the folder of all runs.

    Raises:
        AebayesError: a run's metrics are broken or another run's.
    """
    labelled = study.content["tables"][name]["experiments"]
    return {label: read_run(study, experiment, runs) for label, experiment in labelled.items()}
