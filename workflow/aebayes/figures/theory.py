"""The learned adversary beside what theory says it is: AVB's Proposition 1 and Corollary 4."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.image import AxesImage

from aebayes.errors import AebayesError
from aebayes.figures.sources import Sources
from aebayes.figures.style import (
    AGREEMENT,
    DIVERGING,
    PALE,
    new_figure,
    note,
    panels_of,
    parts,
    point_name,
)

ROWS = (
    ("theory_t", "learned\n$T(x,z)$"),
    ("theory_log_ratio", "exact\nlog ratio"),
    ("theory_pmi", "exact\nPMI"),
)
COMPARED = (
    (
        "theory_log_ratio",
        "adversary_log_ratio_rms",
        "log ratio (nats)\n$\\log\\,q(z|x) - \\log\\,p(z)$",
        "Proposition 1",
    ),
    (
        "theory_pmi",
        "adversary_pmi_rms",
        "PMI (nats)\n$\\log\\,q(z|x) - \\log\\,q(z)$",
        "Corollary 4",
    ),
)


def draw_theory(sources: Sources) -> Figure:
    """Heat maps of T and of the two exact log ratios, and T against either; the first replica.

    Raises:
        AebayesError: there is no cell to show.
    """
    shown = sources.only_experiment()
    names = ["theory_axis", *(name for name, _ in ROWS)]
    axis, *maps = shown.arrays(*names)
    values = {name: array[0] for name, array in zip(names[1:], maps, strict=True)}  # (B, G, G)
    known = np.isfinite(list(values.values())).all(0)
    if not known.any():
        raise AebayesError(
            f"{shown.folder / 'arrays.npz'}: no cell where T and both log ratios are finite",
            shown.remedy,
        )
    values = {name: np.where(known, array, np.nan) for name, array in values.items()}
    figure = new_figure(4.45)
    top, bottom = parts(figure, [2.25, 1.95])
    note(figure, "grey: too few codes to count")
    draw_maps(figure, top, axis, values)
    mass = cell_mass(axis, values["theory_log_ratio"])
    panels = panels_of(bottom, 1, 2, sharex=True, sharey=True)[0]
    limits = common_limits(values, mass)
    for axes, (name, metric, label, title) in zip(panels, COMPARED, strict=True):
        compare(axes, values[name], values["theory_t"], mass, limits)
        axes.set_xlabel(label)
        axes.set_title(f"{title}: rms {shown.metric(metric, 0):.2f} nats")
    panels[0].set_ylabel("learned $T(x,z)$ (nats)")
    return figure


def draw_maps(
    figure: Figure, part: SubplotSpec, axis: np.ndarray, values: dict[str, np.ndarray]
) -> None:
    """A row a quantity, a column a data point, one colour scale centred at zero for all."""
    limit = colour_limit(values)
    images = len(values["theory_t"])
    panels = panels_of(part, len(ROWS), images, sharex=True, sharey=True)
    for row, (name, label) in zip(panels, ROWS, strict=True):
        for image, axes in enumerate(row):
            drawn = show_map(axes, axis, values[name][image], limit)
        row[0].set_ylabel(label)
    for axes in panels[-1]:
        axes.set_xlabel("$z_1$")
    for image, axes in enumerate(panels[0]):
        axes.set_title(point_name(image))
    bar = figure.colorbar(drawn, ax=panels, extend="both", aspect=35, pad=0.02)
    bar.set_label("nats")
    bar.outline.set_linewidth(0.6)


def show_map(axes: Axes, axis: np.ndarray, values: np.ndarray, limit: float) -> AxesImage:
    """Values (G, G) on the plane of z, the first index along z₁; grey where unknown."""
    axes.set_facecolor(PALE)
    axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    return axes.imshow(
        values.T,
        origin="lower",
        extent=(axis[0], axis[-1], axis[0], axis[-1]),
        cmap=DIVERGING,
        vmin=-limit,
        vmax=limit,
    )


def colour_limit(values: dict[str, np.ndarray]) -> float:
    """Where the colour scale ends: beyond 98 % of all values, in whole nats."""
    return float(np.ceil(np.nanpercentile(np.abs(np.stack(list(values.values()))), 98)))


def cell_mass(axis: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """q(z|x)'s share of each cell, from log q(z|x) − log p(z) (B, G, G); 0 where unknown."""
    log_prior = -0.5 * (axis[:, None] ** 2 + axis[None] ** 2) - np.log(2 * np.pi)
    density = np.exp(np.nan_to_num(log_ratio + log_prior, nan=-np.inf))
    return density / density.sum()


def common_limits(values: dict[str, np.ndarray], mass: np.ndarray) -> tuple[float, float]:
    """The axes' ends: all but one in a hundred of the cells where q is known."""
    known = np.stack([array[mass > 0] for array in values.values()])
    low, high = np.percentile(known, (0.5, 99.5))
    return float(low) - 0.3, float(high) + 0.3


def compare(
    axes: Axes,
    exact: np.ndarray,
    learned: np.ndarray,
    mass: np.ndarray,
    limits: tuple[float, float],
) -> None:
    """Learned against exact, the darker the more of q's mass; the line is where they agree."""
    known = mass > 0
    axes.hexbin(
        exact[known],
        learned[known],
        C=mass[known],
        reduce_C_function=np.sum,
        gridsize=40,
        extent=(*limits, *limits),
        cmap="Greys",
        norm=LogNorm(1e-5, 1e-2, clip=True),
        linewidths=0.1,
    )
    axes.plot(limits, limits, color=AGREEMENT, lw=0.9)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
