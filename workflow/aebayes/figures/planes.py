"""AAE, figures 2 and 4: codes of hold-out images in the plane, and images decoded from it."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from aebayes.data.dataset import Dataset
from aebayes.errors import AebayesError
from aebayes.figures.images import as_images, show_grid
from aebayes.figures.sources import Shown, Sources
from aebayes.figures.style import (
    CLASS_COLOURS,
    COLUMN,
    PALE,
    method_colour,
    new_figure,
    note,
    panels_of,
    parts,
)

MOST_CODES = 4000
PANEL = COLUMN / 2 - 0.1

Decoded = Callable[[Axes, Shown, Dataset], None]


def draw_planes(sources: Sources) -> Figure:
    """AAE, figure 2: codes coloured by class, and images decoded on a grid over the plane."""
    return rows_of(sources, show_manifold)


def draw_class_planes(sources: Sources) -> Figure:
    """AAE, figure 4: codes coloured by class, and images decoded along each class's part."""
    return rows_of(sources, show_class_walk)


def rows_of(sources: Sources, show_decoded: Decoded) -> Figure:
    """A row an experiment: its codes of test images, coloured by class, and what it decodes."""
    experiments = sources.experiments()
    figure = new_figure(len(experiments) * (PANEL + 0.22) + 0.5)
    top, bottom = parts(figure, [len(experiments) * (PANEL + 0.2), 0.24])
    note(figure, "grey: draws from the prior")
    rows = panels_of(top, len(experiments), 2)
    named = {}
    for (plane, images), shown in zip(rows, experiments, strict=True):
        dataset = sources.dataset(shown.dataset)
        _, classes = dataset.split("test")
        codes, draws = shown.finite("test_codes", "prior_draws", N=len(classes))
        show_plane(plane, codes, classes, draws)
        plane.set_title(shown.label, color=method_colour(shown.method))
        plane.set_ylabel("$z_2$")
        show_decoded(images, shown, dataset)
        named |= dict.fromkeys(np.unique(classes).tolist())
    rows[-1, 0].set_xlabel("$z_1$")
    show_classes(panels_of(bottom, 1, 1)[0, 0], sorted(named))
    return figure


def show_plane(axes: Axes, codes: np.ndarray, classes: np.ndarray, draws: np.ndarray) -> None:
    """Codes (N, 2), each in its class's colour, over the prior's draws (N', 2)."""
    axes.scatter(*draws.T, s=2, color=PALE, linewidth=0, rasterized=True)
    show_codes(axes, codes, classes, np.abs(draws).max())


def show_codes(axes: Axes, codes: np.ndarray, classes: np.ndarray, reach: float = 0.0) -> None:
    """Codes (N, 2), each in its class's colour, in a square that holds nearly all of them.

    Args:
        reach: how far from the origin it is to reach at least.
    """
    if classes.max() >= len(CLASS_COLOURS):
        raise AebayesError(
            f"cannot tell {classes.max() + 1} classes apart by colour",
            f"name experiments on data of at most {len(CLASS_COLOURS)} classes in this figure",
        )
    size = 600 / min(len(codes), MOST_CODES)
    colours = np.array(CLASS_COLOURS)[classes[:MOST_CODES]]
    axes.scatter(
        *codes[:MOST_CODES].T, s=max(0.6, min(4.0, size)), c=colours, linewidth=0, rasterized=True
    )
    reach = 1.05 * max(reach, np.quantile(np.abs(codes), 0.995))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], symmetric=True))


def show_manifold(axes: Axes, shown: Shown, dataset: Dataset) -> None:
    """Images decoded on a grid, laid out as the plane is: z₁ to the right, z₂ upwards."""
    axis, manifold = shown.finite("manifold_axis", "manifold", X=dataset.pixels)
    upright = manifold[:, ::-1].swapaxes(0, 1)
    side = len(manifold)
    show_grid(axes, as_images(upright.reshape(side * side, -1), dataset), side)
    ends = f"{axis[0]:.1f} … {axis[-1]:.1f}".replace("-", "−")
    axes.set_title(f"decoded at $z$ = {ends}")


def show_class_walk(axes: Axes, shown: Shown, dataset: Dataset) -> None:
    """Images decoded outwards along each class's part of the prior: a row a class, named."""
    (walk,) = shown.finite("class_walk", X=dataset.pixels)
    show_grid(axes, as_images(walk.reshape(-1, dataset.pixels), dataset), walk.shape[1])
    bottom = axes.get_ylim()[0]
    rows = (np.arange(len(walk)) + 0.5) / len(walk) * (bottom + 0.5) - 0.5
    axes.set(yticks=rows, yticklabels=range(len(walk)))
    axes.tick_params(axis="y", length=0)
    for label, colour in zip(axes.get_yticklabels(), CLASS_COLOURS, strict=False):
        label.set_color(colour)
    axes.set_title("decoded outwards, by class")


def show_classes(axes: Axes, classes: list[int]) -> None:
    """Each class's colour."""
    axes.set_axis_off()
    marks = [Line2D([], [], ls="", label="class")]
    marks += [
        Line2D([], [], ls="", marker="o", markersize=3.5, color=CLASS_COLOURS[each], label=each)
        for each in classes
    ]
    axes.legend(
        handles=marks,
        loc="center",
        ncols=len(marks),
        frameon=False,
        handletextpad=-0.2,
        handlelength=1.0,
        columnspacing=0.6,
        borderpad=0,
    )
