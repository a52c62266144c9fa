"""IWAE: which latent units a model uses, and which have collapsed onto the prior."""

import math

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aebayes.figures.groups import groups_of, label_outer, looks_of, show_key
from aebayes.figures.sources import Shown, Sources
from aebayes.figures.style import BLACK, new_figure, note
from aebayes.labels import COMMA

ACTIVE_VARIANCE = 0.01  # IWAE, section 5
# Log variances below would only lengthen the axis.
LEAST = -6.5
COLUMNS = 3


def draw_units(sources: Sources) -> Figure:
    """Each unit's log₁₀ Var_x(E_q[u]), sorted; a panel a dataset, depth and layer.

    A line an experiment, its first replica.
    """
    experiments = sources.experiments()
    groups, looks = groups_of(experiments), looks_of(experiments)
    shown = [(group, layer) for group in groups for layer in range(group.layers)]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(0.45 + rows * 1.6)
    panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for axes, (group, layer) in zip(panels, shown, strict=False):
        for experiment in group.members:
            show_units(axes, experiment, layer, looks[experiment.name])
        axes.axhline(np.log10(ACTIVE_VARIANCE), color=BLACK, lw=0.6, ls=(0, (4, 2)))
        variable = f"$z_{layer + 1}$" if group.layers > 1 else "$z$"
        axes.set_title("\n".join(f"{group.title}{COMMA}{variable}".split(COMMA, 1)))
        sns.despine(ax=axes)
    variance = "$\\log_{10}\\,\\mathrm{Var}_x(\\mathrm{E}_q[u])$"
    label_outer(panels, len(shown), columns, "unit, sorted", variance)
    show_key(figure, groups, looks)
    note(figure, "above the dashed line: active")
    return figure


def show_units(axes: Axes, shown: Shown, layer: int, look: dict) -> None:
    """The first replica's units of one layer, the most variable first."""
    name = "unit_variances" if layer == 0 else f"unit_variances_{layer + 1}"
    (variances,) = shown.finite(name)
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log10(np.sort(variances[0])[::-1]), LEAST)
    size = min(1.8, 36 / len(logs))  # so that many units' dots do not hide the dashes
    axes.plot(np.arange(1, len(logs) + 1), logs, marker="o", markersize=size, lw=0.8, **look)
