"""Figures that show images: the data, random samples, reconstructions."""

import math
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aebayes.data.dataset import Dataset
from aebayes.figures.groups import groups_of
from aebayes.figures.sources import Sources
from aebayes.figures.style import (
    BLACK,
    COLUMN,
    GREY,
    LABEL_WIDTH,
    method_colour,
    new_figure,
    note,
    point_colours,
    point_name,
)

GRID_SIDE = 6
STRIP = 10
IMAGES_AT_ONCE = 10_000  # in float32, of a training split
NEAREST_ROWS = 6


def draw_data(sources: Sources) -> Figure:
    """AVB, figure 2: every training image, its pixels with their values, its name and colour."""
    dataset = sources.only_dataset()
    images, _ = dataset.split("train")
    colours = point_colours(len(images))
    figure = new_figure(1.25)
    panels = figure.subplots(1, len(images), squeeze=False)[0]
    for index, (axes, image, colour) in enumerate(zip(panels, images, colours, strict=True)):
        show_pixels(axes, image[0] / dataset.scale, colour)
        for (row, column), value in np.ndenumerate(image[0]):
            ink = "black" if value > dataset.scale / 2 else "white"
            axes.text(column, row, f"{value}", ha="center", va="center", color=ink)
        axes.set_title(point_name(index))
        axes.set_xlabel(f"class {index}")
    return figure


def show_pixels(axes: Axes, image: np.ndarray, colour: str, width: float = 2.0) -> None:
    """An image (H, W) in [0, 1] in a frame of its colour."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=width)


def draw_samples(sources: Sources) -> Figure:
    """AVB, figures 4 and 5: images of the data beside random samples of every decoder."""
    experiments = sources.experiments()
    panels = []
    for name in dict.fromkeys(experiment.dataset for experiment in experiments):
        dataset = sources.dataset(name)
        images, _ = dataset.split("train")
        some = images[: GRID_SIDE**2] / dataset.scale  # of a large dataset the rest stays on disk
        panels.append((f"data: {name}", BLACK, dataset, some))
    for shown in experiments:
        dataset = sources.dataset(shown.dataset)
        (samples,) = shown.arrays("samples", X=dataset.pixels)
        panels.append((f"{shown.label} samples", method_colour(shown.method), dataset, samples))
    rows = math.ceil(len(panels) / 2)
    figure = new_figure(rows * (COLUMN / 2 + 0.12) + 0.14)
    places = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, (title, colour, dataset, images) in zip(places, panels, strict=False):
        axes.set_title(title, color=colour)
        show_grid(axes, as_images(images[: GRID_SIDE**2], dataset), GRID_SIDE)
    for axes in places[len(panels) :]:
        axes.remove()
    return figure


def draw_samples_in_rows(sources: Sources) -> Figure:
    """A row a dataset and depth: images of the data, then every experiment's random samples."""
    groups = groups_of(sources.experiments())
    columns = 1 + max(len(group.lines) for group in groups)
    figure = new_figure(len(groups) * (COLUMN / columns + 0.14) + 0.14)
    grid = figure.subplots(len(groups), columns, squeeze=False)
    for row, group in zip(grid, groups, strict=True):
        dataset = sources.dataset(group.dataset)
        images, _ = dataset.split("train")
        # From the whole split: one that is sorted begins with images that are much alike.
        spread = np.linspace(0, len(images) - 1, GRID_SIDE**2).astype(int)
        panels = [("data", BLACK, images[spread] / dataset.scale)]
        for label, shown in group.lines.items():
            (samples,) = shown.arrays("samples", X=dataset.pixels)
            panels.append((label, method_colour(shown.method), samples))
        for axes, (title, colour, images) in zip(row, panels, strict=False):
            axes.set_title(title, color=colour)
            show_grid(axes, as_images(images[: GRID_SIDE**2], dataset), GRID_SIDE)
        for axes in row[len(panels) :]:
            axes.remove()
        depth = f"\n{group.layers} layer{'s' * (group.layers > 1)}"
        several = [other.dataset for other in groups].count(group.dataset) > 1
        row[0].set_ylabel(dataset.name + depth * several)
    return figure


def draw_nearest(sources: Sources) -> Figure:
    """AAE, figure 5: random samples; the last column has the training images nearest to the ninth.

    Nearest in the sum of squared differences of pixels: what a model that merely remembers repeats.
    """
    experiments = sources.experiments()
    rows = math.ceil(len(experiments) / 2)
    side = COLUMN / 2 * NEAREST_ROWS / STRIP
    figure = new_figure(rows * (side + 0.2) + 0.16)
    note(figure, "framed: nearest training image")
    places = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, shown in zip(places, experiments, strict=False):
        dataset = sources.dataset(shown.dataset)
        (samples,) = shown.arrays("samples", X=dataset.pixels)
        grid = with_nearest(samples[: NEAREST_ROWS * (STRIP - 1)], dataset)
        show_grid(axes, as_images(grid, dataset), STRIP)
        colour = method_colour(shown.method)
        axes.set_title(shown.label, color=colour)
        frame_column(axes, STRIP - 1, STRIP, colour)
    for axes in places[len(experiments) :]:
        axes.remove()
    return figure


def draw_styles(sources: Sources) -> Figure:
    """AAE, figure 7: a code a row, decoded as every class: what a row shares is its style."""
    experiments = sources.experiments()
    columns = min(2, len(experiments))
    rows = math.ceil(len(experiments) / columns)
    figure = new_figure(rows * (COLUMN / columns + 0.2) + 0.3)
    note(figure, "row: one code z; column: class")
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, shown in zip(places, experiments, strict=False):
        dataset = sources.dataset(shown.dataset)
        (styles,) = shown.finite("styles", C=dataset.classes, X=dataset.pixels)
        grid = styles.reshape(-1, dataset.pixels)
        show_grid(axes, as_images(grid, dataset), dataset.classes)
        right = axes.get_xlim()[1] + 0.5
        middles = (np.arange(dataset.classes) + 0.5) / dataset.classes * right - 0.5
        axes.set(xticks=middles, xticklabels=range(dataset.classes))
        axes.tick_params(axis="x", length=0)
        axes.set_title(shown.label, color=method_colour(shown.method))
    for axes in places[len(experiments) :]:
        axes.remove()
    return figure


def with_nearest(samples: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Rows of samples (n, X) in [0, 1], each with the training image nearest to its last."""
    images = dataset.split("train")[0].reshape(-1, dataset.pixels)
    rows = samples.reshape(-1, STRIP - 1, dataset.pixels)
    distances = np.empty((len(rows), len(images)), np.float32)
    for start in range(0, len(images), IMAGES_AT_ONCE):
        some = images[start : start + IMAGES_AT_ONCE].astype(np.float32) / dataset.scale
        # The squares of the samples are the same for every image.
        away = np.square(some).sum(1) - 2 * rows[:, -1] @ some.T
        distances[:, start : start + IMAGES_AT_ONCE] = away
    nearest = images[distances.argmin(1)].astype(np.float32) / dataset.scale
    return np.concatenate([rows, nearest[:, None]], 1).reshape(-1, dataset.pixels)


def draw_reconstructions(sources: Sources) -> Figure:
    """Test images above their reconstructions, every experiment's below the one before."""
    strips = []
    for shown in sources.experiments():
        dataset = sources.dataset(shown.dataset)
        images, reconstructions = shown.arrays("images", "reconstructions", X=dataset.pixels)
        colour = method_colour(shown.method)
        given = as_images(images[:STRIP], dataset)
        # The same test images again would only push the reconstructions apart.
        if not any(equal_in_half(given, strip) for _, _, strip in strips):
            strips.append(("test image", BLACK, given))
        strips.append((shown.label, colour, as_images(reconstructions[:STRIP], dataset)))
    heights = [strip.shape[2] / strip.shape[3] for _, _, strip in strips]
    figure = new_figure(sum(heights) * (COLUMN - 0.78) / STRIP + 0.05 * len(strips) + 0.2)
    panels = figure.subplots(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (label, colour, strip) in zip(panels, strips, strict=True):
        show_grid(axes, strip, STRIP)
        axes.set_ylabel(fill(label, LABEL_WIDTH), color=colour, rotation=0, ha="right", va="center")
    return figure


def equal_in_half(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether images are the same in half precision, which either may have been kept in."""
    return np.array_equal(one.astype(np.float16), other.astype(np.float16))


def draw_interpolations(sources: Sources) -> Figure:
    """AVB, figure 6: a row a pair of test images, and what lies between their codes.

    The outer columns are the images, the next ones their reconstructions.
    """
    experiments = sources.experiments()
    grids = []
    for shown in experiments:
        dataset = sources.dataset(shown.dataset)
        (images,) = shown.arrays("images", X=dataset.pixels)
        (lines,) = shown.arrays("interpolations", X=dataset.pixels)
        ends = images[: 2 * len(lines)].reshape(-1, 2, dataset.pixels)
        rows = np.concatenate([ends[:, :1], lines, ends[:, 1:]], 1)  # (n, G + 2, X)
        grids.append((shown, as_images(rows, dataset), len(lines), rows.shape[1]))
    width = COLUMN / 2
    tallest = max(count / columns for _, _, count, columns in grids)
    rows = math.ceil(len(grids) / 2)
    figure = new_figure(rows * (tallest * width + 0.25) + 0.3)
    note(figure, "framed: test images; rest: decoded")
    places = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, (shown, images, _, columns) in zip(places, grids, strict=False):
        colour = method_colour(shown.method)
        show_grid(axes, images, columns)
        axes.set_title(shown.label, color=colour)
        for column in (0, columns - 1):
            frame_column(axes, column, columns, colour)
    for axes in places[len(grids) :]:
        axes.remove()
    return figure


def as_images(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Images in [0, 1], (n, X) or (n, C, H, W) -> (n, C, H, W)."""
    return values.reshape(-1, *dataset.shape)


def show_grid(axes: Axes, images: np.ndarray, columns: int) -> None:
    """Images (n, C, H, W) in [0, 1] side by side, `columns` a row, a thin line between them."""
    picture = tile(images, columns)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    bottom, right = (length - 0.5 for length in picture.shape[:2])
    height, width = images.shape[2:]
    # Drawn, not part of the picture: of lines of pixels those are lost that no dot is taken from.
    look = {"colors": GREY, "linewidth": 0.5}  # seen on black and on white
    axes.hlines(np.arange(height - 0.5, bottom, height), -0.5, right, **look)
    axes.vlines(np.arange(width - 0.5, right, width), -0.5, bottom, **look)
    for spine in axes.spines.values():
        spine.set(color=GREY, linewidth=0.4)


def frame_column(axes: Axes, column: int, columns: int, colour: str) -> None:
    """Draw a frame around one column of a grid of images."""
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    width = (right + 0.5) / columns
    corner = column * width - 0.5, -0.5
    look = {"fill": False, "color": colour, "clip_on": False, "zorder": 3}  # over the lines between
    axes.add_patch(Rectangle(corner, width, bottom + 0.5, **look))


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture of images (n, C, H, W): (H', W') of grey, (H', W', 3) of coloured ones.

    What is left of the last row is white.
    """
    count, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    grid = np.ones((rows * columns, channels, height, width))
    grid[:count] = images
    grid = grid.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    picture = grid.reshape(rows * height, columns * width, channels)
    return picture if channels == 3 else picture[:, :, 0]
