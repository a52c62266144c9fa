"""Losses while training."""

from textwrap import fill

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aebayes.figures.sources import Sources
from aebayes.figures.style import method_colour, new_figure, note

LABEL_WIDTH = 16  # characters: a row is not taller


def draw_curves(sources: Sources) -> Figure:
    """A row an experiment, a panel a phase: its loss against the step, over all replicas."""
    experiments = sources.experiments()
    histories = [shown.history(sources.phases(shown)) for shown in experiments]
    phases = [
        [column for column in history.columns if column in sources.phases(shown)]
        for shown, history in zip(experiments, histories, strict=True)
    ]
    columns = max(map(len, phases))
    figure = new_figure(0.95 * len(experiments) + 0.3)
    grid = figure.subplots(len(experiments), columns, squeeze=False)
    for row, shown, history, names in zip(grid, experiments, histories, phases, strict=True):
        colour = method_colour(shown.method)
        for axes, name in zip(row, names, strict=False):
            show_losses(axes, history, name, colour)
            axes.set_title(name, color=colour)
        row[0].set_ylabel(f"{fill(shown.label, LABEL_WIDTH)}\n(nats)", color=colour)
        for axes in row[len(names) :]:
            axes.remove()
    figure.align_ylabels(grid[:, 0])
    note(figure, "bands: range over replicas")
    for column in grid.T:
        lowest = [axes for axes in column if axes.figure is not None][-1]
        lowest.set_xlabel("step / 1000")
    return figure


def show_losses(axes: Axes, history: pd.DataFrame, phase: str, colour: str) -> None:
    """One phase's loss: the mean over replicas, and the range from the least to the greatest."""
    shown = pd.DataFrame({"step": history["step"] / 1000, "loss": history[phase]})
    sns.lineplot(shown, x="step", y="loss", errorbar=("pi", 100), color=colour, ax=axes)
    axes.set(xlabel="", ylabel="", xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    sns.despine(ax=axes)
