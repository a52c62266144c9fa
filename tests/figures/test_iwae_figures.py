"""IWAE's figures: what is grouped, what is drawn from which numbers, and what is refused."""

import importlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.figures import FIGURES, make_figure, style
from aebayes.figures.groups import groups_of, looks_of
from aebayes.figures.posteriors import level_of, window_of
from aebayes.figures.sources import Sources
from aebayes.files import read_npz, write_npz

VAE, IWAE = style.method_colour("vae"), style.method_colour("iwae")


def drawn(name: str, sources: dict[str, Sources]) -> Figure:
    """A figure."""
    module, function = FIGURES[name].draw.split(":")
    draw = getattr(importlib.import_module(f"aebayes.figures.{module}"), function)
    with style.applied():
        return draw(sources[name])


def drawn_from(changed: dict, name: str, run: str, study: Study, made: Path, folder: Path) -> None:
    """Make a figure after some arrays of a run have changed; None takes one away."""
    shutil.copytree(made / "runs", folder / "runs")
    path = folder / "runs" / run / "arrays.npz"
    arrays = {**read_npz(path), **changed}
    write_npz(path, {key: array for key, array in arrays.items() if array is not None})
    make_figure(name, study, folder / "runs", made / "processed", folder / "out")


def colours_of(axes: Axes) -> list[str]:
    """Of the panel's lines of data."""
    return [line.get_color() for line in axes.lines if len(line.get_xdata()) > 2]


def test_average_of_the_samples_bounds_is_drawn_as_the_vae(sources: dict[str, Sources]) -> None:
    methods = {shown.name: shown.method for shown in sources["iwae-bounds"].experiments()}
    assert methods == {
        "vae-1-run": "vae",
        "iwae-50-run": "iwae",
        "vae-1-run-2l": "vae",
        "iwae-50-run-2l": "iwae",
    }


def test_experiments_of_one_depth_share_a_panel_and_what_their_labels_begin_with(
    sources: dict[str, Sources],
) -> None:
    groups = groups_of(sources["iwae-bounds"].experiments())
    assert [group.title for group in groups] == ["1 layer", "2 layers"]
    assert [list(group.lines) for group in groups] == [["VAE, k = 1", "IWAE, k = 50"]] * 2
    (group,) = groups_of(sources["iwae-samples"].experiments())
    assert (group.title, list(group.lines)) == ("four_points", ["VAE", "IWAE, k = 50"])


def test_dashes_tell_the_samples_and_colours_the_method(sources: dict[str, Sources]) -> None:
    looks = looks_of(sources["iwae-bounds"].experiments())
    assert looks["vae-1-run"] == looks["vae-1-run-2l"]
    assert looks["vae-1-run"]["color"] == VAE
    assert looks["iwae-50-run"] == {"color": IWAE, "linestyle": "-"}
    assert looks["vae-1-run"]["linestyle"] != "-"
    others = looks_of(sources["avb-figure-4"].experiments()[1:])
    assert {look["linestyle"] for look in others.values()} == {"-"}


def test_a_bound_is_the_replicas_mean_in_a_band_of_its_standard_error(
    sources: dict[str, Sources],
) -> None:
    figure = drawn("iwae-bounds", sources)
    assert [axes.get_title() for axes in figure.axes] == ["1 layer", "2 layers"]
    for axes in figure.axes:
        assert colours_of(axes) == [VAE, IWAE]
        assert axes.get_xscale() == "log"
    line, band = figure.axes[0].lines[0], figure.axes[0].collections[0]
    mean = -3 + np.log([1, 2, 5, 10]) / 4 + 0.05
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 5, 10])
    np.testing.assert_allclose(line.get_ydata(), mean)
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((mean[0] - 0.05, mean[-1] + 0.05))


def test_the_key_has_each_look_once(sources: dict[str, Sources]) -> None:
    for name in ("iwae-bounds", "iwae-units"):
        (key,) = drawn(name, sources).legends
        assert [text.get_text() for text in key.get_texts()] == ["VAE, k = 1", "IWAE, k = 50"]


def test_units_are_sorted_by_the_first_replicas_variance_in_every_layer(
    sources: dict[str, Sources], made: Path
) -> None:
    figure = drawn("iwae-units", sources)
    assert [axes.get_title() for axes in figure.axes] == [
        "1 layer\n$z$",
        "2 layers\n$z_1$",
        "2 layers\n$z_2$",
    ]
    arrays = read_npz(made / "runs" / "iwae-50-run-2l" / "arrays.npz")
    for axes, name in zip(figure.axes[1:], ("unit_variances", "unit_variances_2"), strict=True):
        line = axes.lines[1]
        assert line.get_color() == IWAE
        np.testing.assert_allclose(line.get_ydata(), np.log10(np.sort(arrays[name][0]))[::-1])
        (threshold,) = (line for line in axes.lines if len(line.get_xdata()) == 2)
        np.testing.assert_allclose(threshold.get_ydata(), -2)


def test_a_unit_without_any_variance_is_drawn_at_the_foot(
    study: Study, made: Path, tmp_path: Path
) -> None:
    nothing = {"unit_variances": np.zeros((2, 2))}
    drawn_from(nothing, "iwae-units", "vae-1-run", study, made, tmp_path)
    assert (tmp_path / "out" / "iwae-units.png").exists()


def test_samples_stand_in_a_row_beside_the_data(sources: dict[str, Sources]) -> None:
    figure = drawn("iwae-samples", sources)
    assert [axes.get_title() for axes in figure.axes] == ["data", "VAE", "IWAE, k = 50"]
    assert figure.axes[0].get_ylabel() == "four_points"
    assert figure.axes[2].title.get_color() == IWAE


def test_rows_of_samples_of_one_dataset_name_their_depth(
    study: Study, sources: dict[str, Sources]
) -> None:
    study.content["figures"]["iwae-samples"]["experiments"]["IWAE, deep"] = "iwae-50-run-2l"
    figure = drawn("iwae-samples", sources)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        *("four_points\n1 layer", "", ""),
        *("four_points\n2 layers", ""),
    ]


def test_posteriors_stand_beside_both_densities_with_their_divergence(
    sources: dict[str, Sources],
) -> None:
    figure = drawn("iwae-posteriors", sources)
    grid = np.reshape(figure.axes, (3, 7))
    assert [axes.get_title() for axes in grid[0]] == [
        "$x$",
        *("$p(z|x)$", "VAE\n$q(z|x)$", "$q_{50}(z|x)$"),
        *("$p(z|x)$", "IWAE, k = 50\n$q(z|x)$", "$q_{50}(z|x)$"),
    ]
    assert [axes.get_xlabel() for axes in grid[1]] == ["", "", "0.25", "0.03", "", "0.25", "0.03"]
    for row in grid:
        assert len({(axes.get_xlim(), axes.get_ylim()) for axes in row[1:4]}) == 1


def test_posteriors_of_black_boxes_have_no_resampled_density(sources: dict[str, Sources]) -> None:
    figure = drawn("avb-posteriors", sources)
    grid = np.reshape(figure.axes, (3, 5))
    assert [axes.get_title() for axes in grid[0]] == [
        "$x$",
        *("VAE\n$p(z|x)$", "VAE\n$q(z|x)$"),
        *("AVB + AC\n$p(z|x)$", "AVB + AC\n$q(z|x)$"),
    ]
    assert [axes.get_xlabel() for axes in grid[1]] == ["", "", "0.25", "", "0.25"]


def test_a_window_shows_the_widest_density_wherever_it_lies() -> None:
    sides = np.stack([np.linspace(-6, 6, 601), np.linspace(-4, 8, 601)])
    first, second = np.meshgrid(*sides, indexing="ij")

    def normal(at: float, sd: float) -> np.ndarray:
        return np.exp(-((first - at) ** 2 + (second - 2) ** 2) / (2 * sd**2))

    window = window_of(sides, [normal(1, 0.1), normal(-1, 0.5)])
    assert window[0, 1] - window[0, 0] == pytest.approx(window[1, 1] - window[1, 0])
    assert window[1].mean() == pytest.approx(2, abs=0.02)
    normal_tail = 2.878  # of 0.002
    assert window[0] == pytest.approx([-1 - 0.5 * normal_tail, 1 + 0.1 * normal_tail], abs=0.03)


def test_a_contour_holds_its_share_of_the_mass() -> None:
    axis = np.linspace(-5, 5, 401)
    density = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 2)
    # Within radius r of a standard normal on the plane lies 1 − exp(−r²/2).
    assert level_of(density, 0.95) == pytest.approx(0.05, rel=0.02)
    assert level_of(density, 0.5) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("name", "run", "changed"),
    [
        ("iwae-bounds", "vae-1-run", {"bounds": np.zeros((2, 5))}),
        ("iwae-bounds", "vae-1-run", {"bounds_error": np.zeros(4)}),
        ("iwae-bounds", "vae-1-run", {"bounds": np.full((2, 4), np.nan)}),
        ("iwae-bounds", "vae-1-run", {"bounds_k": None}),
        ("iwae-units", "vae-1-run", {"unit_variances": np.zeros(3)}),
        ("iwae-units", "vae-1-run-2l", {"unit_variances_2": None}),
        ("iwae-units", "vae-1-run", {"unit_variances": np.full((2, 3), np.inf)}),
        ("iwae-samples", "iwae-50-run", {"samples": np.zeros((64, 5))}),
        ("iwae-posteriors", "iwae-50-run", {"posterior_images": np.zeros((3, 5))}),
        ("iwae-posteriors", "iwae-50-run", {"posterior_images": np.zeros((3, 4))}),
        ("iwae-posteriors", "vae-1-run", {"posterior_log_q": np.zeros((3, 41, 40))}),
        ("iwae-posteriors", "vae-1-run", {"posterior_log_q_iw": np.full((3, 41, 41), np.nan)}),
        ("iwae-posteriors", "vae-1-run", {"posterior_kl_q": np.zeros(2)}),
        ("iwae-posteriors", "vae-1-run", {"posterior_axes": None}),
    ],
)
def test_arrays_that_are_missing_or_no_figures_are_named(
    name: str, run: str, changed: dict, study: Study, made: Path, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / run / "arrays.npz"
    with pytest.raises(AebayesError, match=f"{re.escape(str(path))}.*{next(iter(changed))}"):
        drawn_from(changed, name, run, study, made, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_model_of_more_dimensions_has_no_posteriors_to_show(
    study: Study, made: Path, tmp_path: Path
) -> None:
    study.content["figures"]["iwae-posteriors"]["experiments"]["deep"] = "iwae-50-run-2l"
    with pytest.raises(AebayesError, match="'posterior_images': experiment iwae-50-run-2l"):
        make_figure("iwae-posteriors", study, made / "runs", made / "processed", tmp_path)
