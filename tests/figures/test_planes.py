"""The AAE's planes of codes: whose colours, and which way up."""

import numpy as np
import pytest

from aebayes.errors import AebayesError
from aebayes.figures import style
from aebayes.figures.planes import draw_planes, show_manifold, show_plane
from aebayes.figures.sources import Sources


def test_codes_are_coloured_by_class_over_the_priors_draws(sources: dict[str, Sources]) -> None:
    with style.applied():
        figure = draw_planes(sources["aae-figure-2"])
    plane = figure.axes[0]
    draws, codes = plane.collections
    assert len(draws.get_offsets()) == 30
    (expected,) = sources["aae-figure-2"].experiments()[0].arrays("test_codes")
    np.testing.assert_allclose(codes.get_offsets(), expected)
    colours = style.CLASS_COLOURS[:4]  # the four points are a class each
    found = [style.mpl.colors.to_hex(colour) for colour in codes.get_facecolors()]
    assert found == list(colours)
    names = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert names == ["0", "1", "2", "3"]


def test_images_lie_as_the_plane_does(sources: dict[str, Sources]) -> None:
    dataset = sources["aae-figure-2"].dataset("four_points")
    manifold = np.zeros((3, 3, 4))
    manifold[2, 0] = 1  # the largest z₁, the smallest z₂: right, at the bottom
    with style.applied():
        axes = style.new_figure(1).subplots()
        show_manifold(axes, manifold, dataset)
    picture = axes.images[0].get_array()
    third = picture.shape[0] // 3
    assert picture[-third + 2 :, -third + 2 :].min() == 1
    assert picture[: third - 2, : third - 2].max() == 0


def test_more_classes_than_colours_are_refused() -> None:
    classes = np.arange(11)
    with style.applied(), pytest.raises(AebayesError, match="cannot tell 11 classes apart"):
        show_plane(style.new_figure(1).subplots(), np.zeros((11, 2)), classes, np.zeros((5, 2)))
