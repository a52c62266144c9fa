"""The AAE's planes of codes: whose colours, and which way up."""

import numpy as np
import pytest

from aebayes.errors import AebayesError
from aebayes.figures import style
from aebayes.figures.planes import draw_class_planes, draw_planes, show_plane
from aebayes.figures.sources import Shown, Sources


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
    assert names == ["class", "0", "1", "2", "3"]


def test_images_lie_as_the_plane_does(sources: dict[str, Sources], monkeypatch) -> None:
    manifold = np.zeros((3, 3, 4))
    manifold[2, 0] = 1  # the largest z₁, the smallest z₂: right, at the bottom
    finite = Shown.finite

    def with_one_bright(shown: Shown, *names: str, **sizes: int) -> list[np.ndarray]:
        if "manifold" in names:
            return [np.array([-1.5, 0.0, 1.5]), manifold]
        return finite(shown, *names, **sizes)

    monkeypatch.setattr(Shown, "finite", with_one_bright)
    with style.applied():
        axes = draw_planes(sources["aae-figure-2"]).axes[1]
    picture = axes.images[0].get_array()
    third = picture.shape[0] // 3
    assert picture[-third:, -third:].min() == 1
    assert picture[:third, :third].max() == 0
    assert axes.get_title() == "decoded at $z$ = −1.5 … 1.5"


def test_a_row_of_decoded_images_a_class_in_the_colour_of_its_codes(
    sources: dict[str, Sources],
) -> None:
    with style.applied():
        figure = draw_class_planes(sources["aae-figure-4"])
        axes = figure.axes[1]
        labels = axes.get_yticklabels()
        assert [label.get_text() for label in labels] == ["0", "1", "2", "3"]
        assert [label.get_color() for label in labels] == list(style.CLASS_COLOURS[:4])
    (walk,) = sources["aae-figure-4"].experiments()[0].arrays("class_walk")
    picture = np.asarray(axes.images[0].get_array())
    for label, tick in enumerate(axes.get_yticks()):
        # Of a row of images of 2x2 pixels the tick is in the middle: above it their upper pixels.
        upper = picture[int(tick)]
        first = walk[label, 0].reshape(2, 2)
        np.testing.assert_allclose(upper[:2], first[0])
        assert not np.allclose(upper[:2], walk[label - 1, 0].reshape(2, 2)[0])


def test_more_classes_than_colours_are_refused() -> None:
    classes = np.arange(11)
    with style.applied(), pytest.raises(AebayesError, match="cannot tell 11 classes apart"):
        show_plane(style.new_figure(1).subplots(), np.zeros((11, 2)), classes, np.zeros((5, 2)))
