"""AVB, figure 3: where the encoders put the codes of each data point."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from aebayes.figures.images import show_pixels
from aebayes.figures.sources import Sources
from aebayes.figures.style import (
    BLACK,
    method_colour,
    new_figure,
    note,
    panels_of,
    parts,
    point_colours,
    point_name,
)

HALF_WIDTH = 3.6
PRIOR_SDS = (1, 2, 3)


def draw_codes(sources: Sources) -> Figure:
    """A panel an experiment: the first replica's codes coloured by x, and the prior's contours."""
    experiments = sources.experiments()
    dataset = sources.only_dataset()
    images, _ = dataset.split("test")
    colours = point_colours(len(images))
    figure = new_figure(1.98)
    top, bottom = parts(figure, [1.4, 0.44])
    note(figure, "circles: 1, 2, 3 sd of the prior")
    panels = panels_of(top, 1, len(experiments), sharey=True)[0]
    for axes, shown in zip(panels, experiments, strict=True):
        (codes,) = shown.arrays("codes", B=len(images))
        show_codes(axes, codes[0])
        show_prior(axes)
        axes.set_title(shown.label, color=method_colour(shown.method))
        axes.set_xlabel("$z_1$")
    panels[0].set_ylabel("$z_2$")
    legend = panels_of(bottom, 1, len(images))[0]
    for index, (axes, colour) in enumerate(zip(legend, colours, strict=True)):
        show_pixels(axes, images[index, 0] / dataset.scale, colour)
        axes.set_ylabel(point_name(index), rotation=0, ha="right", va="center")
    return figure


def show_codes(axes: Axes, codes: np.ndarray) -> None:
    """Codes (S, B, 2), each point's in its colour and named where most of them lie."""
    colours = point_colours(codes.shape[1])
    for image, colour in enumerate(colours):
        axes.scatter(
            *codes[:, image].T, s=1.2, color=colour, alpha=0.5, linewidth=0, rasterized=True
        )
    for image in range(len(colours)):
        axes.text(
            *np.median(codes[:, image], 0),
            point_name(image),
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    axes.set(
        xlim=(-HALF_WIDTH, HALF_WIDTH),
        ylim=(-HALF_WIDTH, HALF_WIDTH),
        xticks=(-2, 0, 2),
        yticks=(-2, 0, 2),
        aspect="equal",
    )


def show_prior(axes: Axes) -> None:
    """Circles 1, 2 and 3 standard deviations from the prior's mean."""
    for radius in PRIOR_SDS:
        axes.add_patch(Circle((0, 0), radius, fill=False, color=BLACK, lw=0.6, ls=(0, (4, 2))))
