"""Experiments that belong in one panel: of one dataset, with as many stochastic layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aebayes.figures.sources import Shown
from aebayes.figures.style import DASHES, method_colour
from aebayes.labels import COMMA, common_parts


@dataclass(frozen=True)
class Group:
    """Experiments of one panel.

    Args:
        title: what their labels have in common, else the dataset's name.
        lines: the rest of each label, and its experiment.
    """

    title: str
    lines: dict[str, Shown]

    @property
    def dataset(self) -> str:
        """The dataset of all of them."""
        return self.members[0].dataset

    @property
    def layers(self) -> int:
        """How many stochastic layers each of them has."""
        return self.members[0].layers

    @property
    def members(self) -> list[Shown]:
        """The experiments."""
        return list(self.lines.values())

    @classmethod
    def of(cls, members: Sequence[Shown]) -> "Group":
        """A group, its labels divided."""
        common = common_parts([shown.label for shown in members]) if len(members) > 1 else ""
        prefix = common + COMMA if common else ""
        lines = {shown.label.removeprefix(prefix): shown for shown in members}
        return cls(common or members[0].dataset, lines)


def groups_of(experiments: Sequence[Shown]) -> list[Group]:
    """The experiments by dataset and number of stochastic layers, in their order."""
    members: dict[tuple[str, int], list[Shown]] = {}
    for shown in experiments:
        members.setdefault((shown.dataset, shown.layers), []).append(shown)
    return [Group.of(group) for group in members.values()]


def looks_of(experiments: Sequence[Shown]) -> dict[str, dict]:
    """How each experiment's line looks, by name: colour by method, dashes by samples."""
    samples = sorted({shown.samples for shown in experiments} - {None})
    dashes = dict(zip(samples, DASHES[-len(samples) :], strict=False))
    return {
        shown.name: {
            "color": method_colour(shown.method),
            "linestyle": dashes.get(shown.samples, DASHES[-1]),
        }
        for shown in experiments
    }


def label_outer(panels: Sequence[Axes], shown: int, columns: int, x: str, y: str) -> None:
    """Name the axes at the foot and at the left of a grid, and remove what none was drawn on.

    Args:
        shown: how many of the panels, row by row, are in use.
    """
    for axes in panels[shown:]:
        axes.remove()
    for axes in panels[max(0, shown - columns) : shown]:
        axes.set_xlabel(x)
    for axes in panels[:shown:columns]:
        axes.set_ylabel(y)


def show_key(figure: Figure, groups: Sequence[Group], looks: dict[str, dict]) -> None:
    """One key for all panels, above them; a label that is the same in several stands once."""
    lines = {}
    for group in groups:
        for label, shown in group.lines.items():
            lines[label, str(looks[shown.name])] = looks[shown.name]
    handles = [Line2D([], [], label=label, **look) for (label, _), look in lines.items()]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=3,
        frameon=False,
        handlelength=2.2,
        columnspacing=1.2,
        borderaxespad=0.2,
        labelspacing=0.3,
    )
