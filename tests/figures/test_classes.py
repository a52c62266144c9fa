"""Figures of classes: whose images and whose errors."""

import numpy as np
import pytest

from aebayes.errors import AebayesError
from aebayes.figures import style
from aebayes.figures.classes import (
    draw_clusters,
    draw_embeddings,
    draw_error_rates,
    looks_by_method,
    with_heads,
)
from aebayes.figures.sources import Shown, Sources


def test_a_row_is_a_head_and_its_members_and_blanks_where_there_are_no_more():
    images = np.arange(5)[:, None] * np.ones(2)
    heads = np.array([[10.0, 10.0], [20.0, 20.0]])
    grid = with_heads(heads, np.array([[4, 1], [3, -1]]), images)
    assert grid[:, 0].tolist() == [10, 4, 1, 20, 3, 0]


def test_the_heads_column_is_framed(sources: dict[str, Sources]) -> None:
    with style.applied():
        axes = draw_clusters(sources["aae-figure-9"]).axes[0]
    (frame,) = axes.patches
    right = axes.get_xlim()[1]
    assert frame.get_x() == -0.5
    assert frame.get_width() == pytest.approx((right + 0.5) / 4)  # of a head and three members


def test_black_places_are_explained_where_there_are_any(sources, monkeypatch) -> None:
    arrays = Shown.arrays

    def all_full(shown: Shown, *names: str, **sizes: int) -> list[np.ndarray]:
        return [np.maximum(of, 0) for of in arrays(shown, *names, **sizes)]

    with style.applied():
        (fewer,) = draw_clusters(sources["aae-figure-9"]).texts
        monkeypatch.setattr(Shown, "arrays", all_full)
        (full,) = draw_clusters(sources["aae-figure-9"]).texts
    assert "black" in fewer.get_text() and "black" not in full.get_text()


def test_codes_have_their_classes_colours_and_heads_are_marked(sources: dict[str, Sources]) -> None:
    with style.applied():
        figure = draw_embeddings(sources["aae-figure-11"])
    axes = figure.axes[0]
    (codes,) = axes.collections
    expected, heads = sources["aae-figure-11"].experiments()[0].arrays("embedding", "head_points")
    np.testing.assert_allclose(codes.get_offsets(), expected)
    found = [style.mpl.colors.to_hex(colour) for colour in codes.get_facecolors()]
    assert found == list(style.CLASS_COLOURS[:4])
    (marks,) = axes.lines
    np.testing.assert_allclose(marks.get_xydata(), heads)
    assert np.abs(heads).max() <= axes.get_xlim()[1]


def test_errors_are_drawn_over_the_share_of_the_training_done(sources: dict[str, Sources]) -> None:
    with style.applied():
        axes = draw_error_rates(sources["aae-learning-curves"]).axes[0]
    (line,) = axes.lines
    shown = sources["aae-learning-curves"].experiments()[0]
    history = shown.history(["error"])
    means = history.groupby("step")["error"].mean()
    np.testing.assert_allclose(line.get_ydata(), means)
    np.testing.assert_allclose(line.get_xdata(), 100 * means.index / means.index.max())
    assert axes.get_ylabel() == "test error (%)"


def test_no_error_is_drawn_as_half_an_image(sources: dict[str, Sources], monkeypatch) -> None:
    history = Shown.history

    def perfect(shown: Shown, phases: list[str]):
        return history(shown, phases).assign(error=0.0)

    monkeypatch.setattr(Shown, "history", perfect)
    with style.applied():
        axes = draw_error_rates(sources["aae-learning-curves"]).axes[0]
    assert set(axes.lines[0].get_ydata()) == {12.5}  # of four images


def test_more_lines_of_a_method_than_dashes_are_refused(sources: dict[str, Sources]) -> None:
    (shown,) = sources["aae-learning-curves"].experiments()
    looks = looks_by_method([shown] * 3)
    assert len({str(look["linestyle"]) for look in looks}) == 3
    with pytest.raises(AebayesError, match="cannot tell 4 experiments of categorical_aae apart"):
        looks_by_method([shown] * 4)


def test_arrays_of_another_shape_are_named(sources: dict[str, Sources]) -> None:
    shown = sources["aae-figure-9"].experiments()[0]
    with pytest.raises(AebayesError, match="array 'heads' is of shape"):
        shown.arrays("heads", X=7)


def test_members_beyond_the_test_images_are_refused(sources: dict[str, Sources], monkeypatch):
    arrays = Shown.arrays

    def beyond(shown: Shown, *names: str, **sizes: int) -> list[np.ndarray]:
        return [
            each + 9 * (name == "members")
            for name, each in zip(names, arrays(shown, *names, **sizes), strict=True)
        ]

    monkeypatch.setattr(Shown, "arrays", beyond)
    with pytest.raises(AebayesError, match="members names more than 4 test images"):
        draw_clusters(sources["aae-figure-9"])
