"""IWAE: how the bound L_k tightens as k grows."""

import math

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aebayes.figures.groups import groups_of, label_outer, looks_of, show_key
from aebayes.figures.sources import Shown, Sources
from aebayes.figures.style import new_figure, note

BAND = 0.15


def draw_bounds(sources: Sources) -> Figure:
    """L_k of the test images against k; a panel a dataset and depth, a line an experiment."""
    experiments = sources.experiments()
    groups, looks = groups_of(experiments), looks_of(experiments)
    columns = min(2, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = new_figure(0.45 + rows * (1.75 if columns == 2 else 2.0))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, group in zip(panels, groups, strict=False):
        for shown in group.members:
            show_bound(axes, shown, looks[shown.name])
        axes.set_title(group.title)
        axes.set_xscale("log")
        sns.despine(ax=axes)
    label_outer(panels, len(groups), columns, "samples $k$", "$L_k$ (nats)")
    show_key(figure, groups, looks)
    note(figure, "bands: ± standard error")
    return figure


def show_bound(axes: Axes, shown: Shown, look: dict) -> None:
    """An experiment's bound: the mean over replicas, and what the test images leave uncertain."""
    ks, bounds, errors = shown.finite("bounds_k", "bounds", "bounds_error")
    mean, error = bounds.mean(0), np.sqrt(np.square(errors).mean(0))
    axes.plot(ks, mean, **look)
    axes.fill_between(ks, mean - error, mean + error, color=look["color"], alpha=BAND, linewidth=0)
