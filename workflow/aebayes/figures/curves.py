"""Losses while training."""

from textwrap import fill

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aebayes.figures.sources import Shown, Sources
from aebayes.figures.style import LABEL_WIDTH, method_colour, new_figure, note

FINAL_KL = "final KL,\nk-NN (nats)"


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
        row[0].set_ylabel(f"{fill(shown.label, LABEL_WIDTH)}\nloss (nats)", color=colour)
        for axes in row[len(names) :]:
            axes.remove()
    figure.align_ylabels(grid[:, 0])
    note(figure, "bands: range over replicas")
    for column in grid.T:
        lowest = [axes for axes in column if axes.figure is not None][-1]
        lowest.set_xlabel("step / 1000")
    return figure


def draw_objectives(sources: Sources) -> Figure:
    """A row an experiment: its phases' losses, and how far q(z|x) ends from the posterior."""
    experiments = sources.experiments()
    phases = list(dict.fromkeys(name for shown in experiments for name in sources.phases(shown)))
    figure = new_figure(0.95 * len(experiments) + 0.3)
    grid = figure.subplots(len(experiments), len(phases) + 1, squeeze=False)
    histories = [shown.history(sources.phases(shown)) for shown in experiments]
    for row, shown, history in zip(grid, experiments, histories, strict=True):
        colour = method_colour(shown.method)
        for axes, name in zip(row[:-1], phases, strict=True):
            if name in history.columns:
                show_losses(axes, history, name, colour)
            else:
                axes.set_axis_off()
        show_ends(row[-1], shown, history["replica"].nunique(), colour)
        row[0].set_ylabel(f"{fill(shown.label, LABEL_WIDTH)}\nloss (nats)", color=colour)
    for axes, name in zip(grid[0], [*phases, FINAL_KL], strict=True):
        axes.set_title(name)
    figure.align_ylabels(grid[:, 0])
    for axes in grid[-1, :-1]:
        axes.set_xlabel("step / 1000")
    grid[-1, -1].set_xlabel("replica")
    highest = max(axes.get_ylim()[1] for axes in grid[:, -1])
    for axes in grid[:, -1]:
        axes.set_ylim(0, 1.1 * highest)
    note(figure, f"{steps_between(histories)} steps a point; bands: replicas")
    return figure


def steps_between(histories: list[pd.DataFrame]) -> str:
    """Of how many steps a line's points are the means, in words."""
    counted = {history["step"].min() for history in histories}
    return " or ".join(map(str, sorted(counted)))


def show_ends(axes: Axes, shown: Shown, replicas: int, colour: str) -> None:
    """KL(q(z|x), p(z|x)) of every replica at the end, an estimate, a point each."""
    ends = [shown.metric("posterior_kl", replica) for replica in range(replicas)]
    axes.plot(range(1, replicas + 1), ends, "o", color=colour, markersize=2.5)
    axes.set(xlim=(0.5, len(ends) + 0.5), ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(min(5, len(ends)), integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    sns.despine(ax=axes)


def show_losses(axes: Axes, history: pd.DataFrame, phase: str, colour: str) -> None:
    """One phase's loss: the mean over replicas, and the range from the least to the greatest."""
    shown = pd.DataFrame({"step": history["step"] / 1000, "loss": history[phase]})
    sns.lineplot(shown, x="step", y="loss", errorbar=("pi", 100), color=colour, ax=axes)
    axes.set(xlabel="", ylabel="", xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    sns.despine(ax=axes)
