"""AAE, figures 9 and 11, and learning curves: clusters, places in the plane, error rates."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter

from aebayes.errors import AebayesError
from aebayes.figures.groups import label_outer
from aebayes.figures.images import as_images, frame_column, show_grid
from aebayes.figures.planes import show_classes, show_codes
from aebayes.figures.sources import Shown, Sources
from aebayes.figures.style import (
    BLACK,
    COLUMN,
    DASHES,
    method_colour,
    new_figure,
    note,
    panels_of,
    parts,
)

ERROR = "error"


def draw_clusters(sources: Sources) -> Figure:
    """AAE, figure 9: a row a cluster, its head decoded, then test images of it, if any."""
    experiments = sources.experiments()
    named = [shown.arrays("members")[0] for shown in experiments]
    columns = max(len(experiments), 2)  # one alone does not fill the width
    width = COLUMN / columns
    figure = new_figure(
        max(width * rows / (1 + shown) for rows, shown in map(np.shape, named)) + 0.35
    )
    fewer = any((members < 0).any() for members in named)
    note(figure, "framed: head; black: no image" if fewer else "framed: head, decoded")
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for axes, shown in zip(panels, experiments, strict=False):
        dataset = sources.dataset(shown.dataset)
        heads, members = shown.arrays("heads", "members", X=dataset.pixels)
        images, _ = dataset.split("test")
        if not (members < len(images)).all():
            raise AebayesError(
                f"{shown.folder / 'arrays.npz'}: members names more than {len(images)} test images",
                shown.remedy,
            )
        grid = with_heads(heads, members, images.reshape(len(images), -1) / dataset.scale)
        show_grid(axes, as_images(grid, dataset), 1 + members.shape[1])
        axes.set_title(shown.label, color=method_colour(shown.method))
        frame_column(axes, 0, 1 + members.shape[1], method_colour(shown.method))
        axes.set_anchor("N")
    for axes in panels[len(experiments) :]:
        axes.remove()
    return figure


def with_heads(heads: np.ndarray, members: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Rows of a head and its members' images, blank where there are none: (C (M + 1), X)."""
    blank = np.zeros((1, images.shape[1]))
    rows = np.concatenate([images, blank])[members]  # −1 is the blank one
    return np.concatenate([heads[:, None], rows], 1).reshape(-1, images.shape[1])


def draw_embeddings(sources: Sources) -> Figure:
    """AAE, figure 11: test images in the plane, W y + z, coloured by class; heads are crosses."""
    experiments = sources.experiments()
    rows = math.ceil(len(experiments) / 2)
    panel = COLUMN / 2 - 0.1
    figure = new_figure(rows * (panel + 0.22) + 0.62)
    top, bottom = parts(figure, [rows * (panel + 0.2), 0.24])
    note(figure, "crosses: cluster heads")
    panels = list(panels_of(top, rows, 2).flat)
    named = {}
    for axes, shown in zip(panels, experiments, strict=False):
        _, classes = sources.dataset(shown.dataset).split("test")
        codes, heads = shown.finite("embedding", "head_points", N=len(classes))
        show_codes(axes, codes, classes, np.abs(heads).max())
        show_heads(axes, heads)
        axes.set_title(shown.label, color=method_colour(shown.method))
        named |= dict.fromkeys(np.unique(classes).tolist())
    label_outer(panels, len(experiments), 2, "$(Wy + z)_1$", "$(Wy + z)_2$")
    show_classes(panels_of(bottom, 1, 1)[0, 0], sorted(named))
    return figure


def show_heads(axes: Axes, heads: np.ndarray) -> None:
    """Cluster heads (C, 2), as crosses that stand out from the codes."""
    halo = [withStroke(linewidth=2.2, foreground="white")]
    axes.plot(*heads.T, ls="", marker="x", ms=4, mew=1.0, color=BLACK, path_effects=halo)


def round_limits(low: float, high: float) -> tuple[float, float]:
    """The nearest of 1, 2 and 5 times a power of ten around a range, which a logarithm labels."""
    marks = np.outer(10.0 ** np.arange(-4, 4), (1, 2, 5)).ravel()
    return marks[marks <= low].max(), marks[marks >= high].min()


def draw_error_rates(sources: Sources) -> Figure:
    """Error while training: a line an experiment, the range over replicas around it.

    Of the split that `training.track` names.
    """
    experiments = sources.experiments()
    figure = new_figure(2.5)
    axes = figure.subplots()
    for shown, look in zip(experiments, looks_by_method(experiments), strict=True):
        history = shown.history([ERROR])
        history["done"] = 100 * history["step"] / history["step"].max()
        images, _ = sources.dataset(shown.dataset).split(shown.settings["training"]["track"])
        # A logarithm has no place for 0: half an image's error stands for none.
        history[ERROR] = history[ERROR].clip(lower=50 / len(images))
        sns.lineplot(
            history, x="done", y=ERROR, errorbar=("pi", 100), ax=axes, label=shown.label, **look
        )
    splits = dict.fromkeys(shown.settings["training"]["track"] for shown in experiments)
    axes.set(xlabel="training done (%)", ylabel=f"{' or '.join(splits)} error (%)", yscale="log")
    axes.set(xlim=(0, 100), ylim=round_limits(*axes.get_ylim()))
    axes.yaxis.set(
        major_locator=LogLocator(subs=(1, 2, 5)),
        major_formatter=lambda value, _: f"{value:g}",
        minor_formatter=NullFormatter(),
    )
    axes.get_legend().remove()
    figure.legend(
        loc="outside upper center", ncols=2, frameon=False, handlelength=2.2, labelspacing=0.3
    )
    sns.despine(ax=axes)
    note(figure, "bands: range over replicas")
    return figure


def looks_by_method(experiments: Sequence[Shown]) -> list[dict]:
    """A line's colour tells its method; of several of one method dashes tell which.

    Raises:
        AebayesError: there are more of one method than can be told apart.
    """
    before = Counter()
    looks = []
    for shown in experiments:
        if before[shown.method] == len(DASHES):
            raise AebayesError(
                f"cannot tell {len(DASHES) + 1} experiments of {shown.method} apart by dashes",
                f"name at most {len(DASHES)} of a method in this figure",
            )
        dashes = DASHES[::-1][before[shown.method]]
        looks.append({"color": method_colour(shown.method), "linestyle": dashes})
        before[shown.method] += 1
    return looks
