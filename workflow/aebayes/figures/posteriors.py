"""True posteriors on a plane, beside q(z|x), and for IWAE beside q resampled by its weights."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aebayes.errors import AebayesError
from aebayes.figures.images import show_pixels
from aebayes.figures.sources import Shown, Sources
from aebayes.figures.style import BLACK, DENSITY, GREY, method_colour, new_figure, note

ENCODED = ("p", "q")
RESAMPLED = ("p", "q", "q_iw")
SHARES = (0.95, 0.5)  # of the true posterior's mass within its contours
TAIL = 0.002  # of each density's mass beyond each side of what is shown


def draw_resampled(sources: Sources) -> Figure:
    """A row a test image; for each experiment p(z|x), q(z|x) and q_IW(z|x), first replica.

    Raises:
        AebayesError: the experiments were evaluated on different test images.
    """
    return draw_posteriors(sources, RESAMPLED)


def draw_encoded(sources: Sources) -> Figure:
    """The same without q_IW, which a black box has not."""
    return draw_posteriors(sources, ENCODED)


def draw_posteriors(sources: Sources, densities: tuple[str, ...]) -> Figure:
    """A row a test image, and for each experiment a column for each of these densities."""
    experiments = sources.experiments()
    dataset = sources.dataset(experiments[0].dataset)
    images = common_images(experiments, dataset.pixels)
    columns = 1 + len(densities) * len(experiments)
    figure = new_figure(0.5 + 0.57 * len(images))
    panels = figure.subplots(len(images), columns, squeeze=False)
    for axes, image in zip(panels[:, 0], images, strict=True):
        show_pixels(axes, image.reshape(dataset.shape)[0], GREY, 0.4)
    panels[0, 0].set_title("$x$")
    for number, shown in enumerate(experiments):
        first = 1 + number * len(densities)
        show_experiment(panels[:, first : first + len(densities)], shown, densities, len(images))
    note(figure, "below: KL from $p(z|x)$, nats")
    return figure


def common_images(experiments: list[Shown], pixels: int) -> np.ndarray:
    """The test images (n, X) of all experiments.

    Raises:
        AebayesError: they have different ones.
    """
    (images,) = experiments[0].finite("posterior_images", X=pixels)
    for shown in experiments[1:]:
        if not np.array_equal(shown.finite("posterior_images")[0], images):
            raise AebayesError(
                f"{shown.folder / 'arrays.npz'}: array 'posterior_images' is not that of "
                f"experiment {experiments[0].name}",
                "give the figure's experiments one dataset and one seed, and evaluate them again",
            )
    return images


def show_experiment(
    panels: np.ndarray, shown: Shown, densities: tuple[str, ...], images: int
) -> None:
    """An experiment's columns, one for each density; with their titles on the first row."""
    sides, *logs = shown.finite(
        "posterior_axes", *(f"posterior_log_{of}" for of in densities), n=images
    )
    kls = shown.finite(*(f"posterior_kl_{of}" for of in densities[1:]), n=images)
    for image, row in enumerate(panels):
        values = [np.exp(log[image].astype(float)) for log in logs]
        for axes, density in zip(row, values, strict=True):
            show_density(axes, sides[image], density, values[0])
        limits = window_of(sides[image], values)
        for axes in row:
            axes.set(xlim=limits[0], ylim=limits[1])
        for axes, kl in zip(row[1:], kls, strict=True):
            axes.set_xlabel(f"{kl[image]:.2f}", labelpad=1)
    colour = method_colour(shown.method)
    titles = {"p": f"{shown.label}\n$p(z|x)$", "q": f"{shown.label}\n$q(z|x)$"}
    if "q_iw" in densities:  # then the name stands in the middle
        titles["p"] = "$p(z|x)$"
        ((k,),) = shown.finite("posterior_k")
        titles["q_iw"] = f"$q_{{{k}}}(z|x)$"
    for axes, of in zip(panels[0], densities, strict=True):
        axes.set_title(titles[of], color=colour)


def show_density(axes: Axes, sides: np.ndarray, density: np.ndarray, true: np.ndarray) -> None:
    """A density (G, G), z₁ first, on a plane with sides (2, G), under the true one's contours."""
    extent = (sides[0, 0], sides[0, -1], sides[1, 0], sides[1, -1])
    axes.imshow(density.T, origin="lower", extent=extent, cmap=DENSITY, vmin=0)
    levels = sorted({level_of(true, share) for share in SHARES})
    axes.contour(*sides, true.T, levels=levels, colors=BLACK, linewidths=0.4)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=GREY, linewidth=0.4)


def level_of(density: np.ndarray, share: float) -> float:
    """The density above which lies so much of its mass."""
    falling = np.sort(density, axis=None)[::-1]
    masses = falling.cumsum()
    return float(falling[np.searchsorted(masses, share * masses[-1])])


def window_of(sides: np.ndarray, densities: list[np.ndarray]) -> np.ndarray:
    """The smallest square that holds nearly all of every density: limits of z₁ and z₂, (2, 2)."""
    ends = []
    for density in densities:
        for axis, marginal in zip(sides, (density.sum(1), density.sum(0)), strict=True):
            below = marginal.cumsum() / marginal.sum()
            ends.append(axis[np.searchsorted(below, (TAIL, 1 - TAIL))])
    boxes = np.reshape(ends, (len(densities), 2, 2))
    low, high = boxes[:, :, 0].min(0), boxes[:, :, 1].max(0)
    half_width = max(high - low) / 2
    return np.stack([(low + high) / 2 - half_width, (low + high) / 2 + half_width], -1)
