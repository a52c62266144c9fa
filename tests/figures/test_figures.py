"""Figures: drawn from files alone, legible, and refused with a reason."""

import dataclasses
import importlib
import re
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.figures import FIGURES, inputs, make_figure, style
from aebayes.figures.images import show_grid, tile
from aebayes.figures.sources import Sources
from aebayes.figures.theory import cell_mass, show_map
from aebayes.files import read_json, read_npz, write_json, write_npz, write_text

METHODS = ("vae", "iwae", "avb", "aae", "avb_restricted")


def drawn(name: str, sources: dict[str, Sources]) -> Figure:
    """A figure, laid out; under `style.applied()`."""
    module, function = FIGURES[name].draw.split(":")
    figure = getattr(importlib.import_module(f"aebayes.figures.{module}"), function)(sources[name])
    style.settle(figure)
    figure.draw_without_rendering()  # shrinks the panels of images to their aspect
    return figure


def texts_of(figure: Figure) -> list[Text]:
    """All that can be read on it."""
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


@pytest.mark.parametrize("name", FIGURES)
def test_all_text_is_at_least_seven_points_and_within_the_figure(
    name: str, sources: dict[str, Sources]
) -> None:
    with style.applied():
        figure = drawn(name, sources)
        renderer = FigureCanvasAgg(figure).get_renderer()
        frame = figure.bbox
        # Ticks beyond the axes' ends, and right of the axes, are not drawn, yet are there.
        ticks = {
            label
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            for label in (tick.label1, tick.label2)
        }
        for text in texts_of(figure):
            assert text.get_fontsize() >= 7
            if text in ticks:
                continue
            box = text.get_window_extent(renderer)
            assert box.x0 >= frame.x0 - 1, text
            assert box.x1 <= frame.x1 + 1, text
            assert box.y0 >= frame.y0 - 1, text
            assert box.y1 <= frame.y1 + 1, text


@pytest.mark.parametrize("name", FIGURES)
def test_remark_and_study_at_the_foot_lie_apart(name: str, sources: dict[str, Sources]) -> None:
    with style.applied():
        figure = drawn(name, sources)
        remarks = list(figure.texts)
        foot = style.footer("pocket", ["digits"])
        longest = figure.text(0.995, 0, foot, ha="right", va="bottom")
        renderer = FigureCanvasAgg(figure).get_renderer()
        start = longest.get_window_extent(renderer).x0
        for remark in remarks:
            assert remark.get_window_extent(renderer).x1 < start - 10


@pytest.mark.parametrize(
    ("name", "datasets", "expected"),
    [
        ("pocket", ["four_points", "digits"], "pocket study: pocket-scale data"),
        ("mine", ["digits"], "mine study: pocket-scale data"),
        ("mine", ["digits", "mnist"], "mine study"),
        ("overnight", ["four_points"], "overnight study"),
        ("paper", ["four_points"], "paper study"),
    ],
)
def test_foot_names_the_study_and_tells_pocket_scale_data(
    name: str, datasets: list[str], expected: str
) -> None:
    assert style.footer(name, datasets) == expected


@pytest.mark.parametrize(
    ("study_name", "expected"),
    [
        ("pocket", "pocket study: pocket-scale data"),
        ("mine", "mine study: pocket-scale data"),
        ("overnight", "overnight study"),
    ],
)
@pytest.mark.parametrize("figure_name", ["avb-figure-2", "training-curves"])
def test_figures_say_their_study_on_their_face(
    figure_name: str,
    study_name: str,
    expected: str,
    study: Study,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = []
    save = style.save
    monkeypatch.setattr(
        style, "save", lambda figure, *rest: saved.append(figure) or save(figure, *rest)
    )
    named = dataclasses.replace(study, name=study_name)
    make_figure(figure_name, named, made / "runs", made / "processed", tmp_path)
    assert expected in [text.get_text() for text in texts_of(saved[0])]


@pytest.mark.parametrize(
    ("name", "absent", "shown"),
    [
        ("divergences", ["two_modes"], "two_modes: not here"),
        ("avb-figure-4", ["two_modes"], "VAE samples"),
    ],
)
def test_figures_do_without_a_dataset_and_say_so(
    name: str,
    absent: list[str],
    shown: str,
    study: Study,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its runs are not there, either: nothing of them is read."""
    entry = study.content["figures"]["avb-figure-4"]["experiments"]
    study.content["figures"]["avb-figure-4"] = {"experiments": {"GAN": "gan-run", **entry}}
    without = study.without(absent)
    experiments, datasets = inputs(name, without)
    assert "gan-run" not in experiments
    assert "two_modes" not in datasets
    runs = tmp_path / "runs"
    for experiment in experiments:
        shutil.copytree(made / "runs" / experiment, runs / experiment)
    saved = []
    monkeypatch.setattr(style, "save", lambda *arguments: saved.append(arguments))
    make_figure(name, without, runs, made / "processed", tmp_path)
    figure, foot, _ = saved[0]
    assert foot.endswith(", without two_modes")
    assert shown in [text.get_text() for text in texts_of(figure)]


def test_the_restricted_avb_has_the_aaes_colour() -> None:
    assert style.method_colour("avb_restricted") == style.method_colour("aae")
    colours = {style.method_colour(method) for method in METHODS}
    assert len(colours) == 4
    assert style.BLACK not in colours


def test_theory_prints_the_first_replicas_rms(sources: dict[str, Sources]) -> None:
    with style.applied():
        titles = [text.get_text() for text in texts_of(drawn("avb-theory", sources))]
    assert "Proposition 1: rms 0.25 nats" in titles
    assert "Corollary 4: rms 0.25 nats" in titles


def test_curves_show_every_phase_and_nothing_else(sources: dict[str, Sources]) -> None:
    with style.applied():
        titles = [axes.get_title() for axes in drawn("training-curves", sources).axes]
    assert titles == [
        "bound",
        "bound",
        "adversary",
        "reconstruction",
        "discriminator",
        "generator",
    ]


def test_curves_are_the_replicas_mean_and_range(sources: dict[str, Sources]) -> None:
    with style.applied():
        axes = drawn("training-curves", sources).axes[0]
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xdata(), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(line.get_ydata(), [1.6, 1.55, 1.5 + 1 / 30])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((1 + 1 / 30, 2.1))


def test_objectives_end_in_every_replicas_divergence_on_one_scale(
    sources: dict[str, Sources],
) -> None:
    with style.applied():
        figure = drawn("avb-objectives", sources)
    last = [axes for axes in figure.axes if axes.get_xlim() == (0.5, 2.5)]
    assert [list(axes.lines[0].get_ydata()) for axes in last] == [
        [0.13, 0.12],
        [0.02, 0.01],
    ]
    assert all(axes.get_ylim() == last[0].get_ylim() for axes in last)
    assert last[0].get_ylim()[1] > 0.13
    (said,) = [text.get_text() for text in figure.texts if "bands" in text.get_text()]
    assert said == "100 steps a point; bands: replicas"


def test_same_test_images_are_shown_once(sources: dict[str, Sources]) -> None:
    with style.applied():
        labels = [axes.get_ylabel() for axes in drawn("reconstructions", sources).axes]
    assert labels == ["test image", "VAE", "AVB", "AAE"]


def test_images_in_half_precision_are_computed_with_in_single(sources: dict[str, Sources]) -> None:
    (avb,) = (shown for shown in sources["reconstructions"].experiments() if shown.method == "avb")
    halves = {
        name: array
        for name, array in read_npz(avb.folder / "arrays.npz").items()
        if array.dtype == np.float16
    }
    assert "samples" in halves
    for name, half in halves.items():
        (array,) = avb.arrays(name)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, half)


def test_samples_stand_beside_the_data(sources: dict[str, Sources]) -> None:
    with style.applied():
        titles = [axes.get_title() for axes in drawn("avb-figure-4", sources).axes]
    assert titles == ["data: four_points", "VAE samples", "AVB samples", "AAE samples"]


def test_interpolations_lie_between_their_pair_of_test_images(
    sources: dict[str, Sources],
) -> None:
    with style.applied():
        panel = drawn("avb-figure-6", sources).axes[0]
    shown = sources["avb-figure-6"].experiments()[0]
    images, lines = shown.arrays("images", X=4)[0], shown.arrays("interpolations", X=4)[0]
    rows = np.concatenate([images[0:6:2, None], lines, images[1:6:2, None]], 1)
    expected = tile(rows.reshape(-1, 1, 2, 2), 7)
    np.testing.assert_array_equal(panel.images[0].get_array(), expected)
    assert len(panel.patches) == 2


def test_maps_have_the_first_code_along_the_horizontal_axis() -> None:
    values = np.full((CELLS := 5, CELLS), np.nan)
    values[4, 0] = 1.0  # z₁ greatest, z₂ least
    with style.applied():
        axes = Figure().subplots()
        image = show_map(axes, np.linspace(-1, 1, CELLS), values, 1.0)
    assert image.get_array()[0, 4] == 1.0  # row: z₂ from below, column: z₁
    assert image.origin == "lower"
    assert image.get_array().mask.sum() == CELLS**2 - 1


def test_mass_of_a_cell_is_the_priors_where_the_ratio_is_one() -> None:
    axis = np.linspace(-4, 4, 81)
    mass = cell_mass(axis, np.zeros((1, 81, 81)))
    within = axis[:, None] ** 2 + axis[None] ** 2 <= 1
    assert mass.sum() == pytest.approx(1)
    assert mass[0][within].sum() == pytest.approx(1 - np.exp(-0.5), abs=0.01)


def test_tiles_keep_every_image_in_reading_order_and_colour() -> None:
    images = np.zeros((3, 3, 2, 2))
    for index in range(3):
        images[index, index] = 1  # red, green, blue
    picture = tile(images, columns=2)
    assert picture.shape == (4, 4, 3)
    assert picture[0, 0].tolist() == [1, 0, 0]
    assert picture[0, 2].tolist() == [0, 1, 0]
    assert picture[2, 0].tolist() == [0, 0, 1]
    assert picture[2, 2].tolist() == [1, 1, 1]  # no fourth image: white
    assert tile(images[:, :1], columns=3).ndim == 2


@pytest.mark.parametrize("ground", [0.0, 1.0])
@pytest.mark.parametrize(("rows", "columns", "side"), [(16, 10, 28), (30, 9, 28), (12, 12, 8)])
def test_no_line_between_images_is_lost(rows: int, columns: int, side: int, ground: float) -> None:
    with style.applied():
        figure = style.new_figure(1.1 * rows / columns)
        axes = figure.subplots(1, 3)[0]
        show_grid(axes, np.full((rows * columns, 1, side, side), ground), columns)
        style.settle(figure)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        dots = np.asarray(canvas.buffer_rgba())[..., 0] / 255
        (left, top), (right, bottom) = axes.transData.transform(
            [(-0.5, -0.5), (columns * side - 0.5, rows * side - 0.5)]
        )
    height, width = dots.shape
    across, down = inside(width, left, right), inside(height, height - top, height - bottom)
    for seen, lines, first, last in [
        (dots[:, across].mean(1), rows, height - top, height - bottom),
        (dots[down].mean(0), columns, left, right),
    ]:
        for line in range(1, lines):
            at = round(first + (last - first) * line / lines)
            assert np.abs(seen[at - 1 : at + 2] - ground).max() > 0.3


def inside(length: int, low: float, high: float) -> np.ndarray:
    """Which of so many dots lie between two."""
    return (np.arange(length) > low + 1) & (np.arange(length) < high - 2)


@pytest.mark.parametrize(
    ("name", "experiments", "datasets"),
    [
        ("avb-figure-2", [], ["four_points"]),
        ("avb-figure-4", ["vae-run", "avb-run", "aae-run"], ["four_points"]),
        ("training-curves", ["vae-run", "avb-run", "aae-run"], []),
    ],
)
def test_inputs_are_what_the_figure_reads(
    name: str, experiments: list[str], datasets: list[str], study: Study
) -> None:
    assert inputs(name, study) == (experiments, datasets)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_as_png_and_pdf_from_their_inputs_alone(
    name: str, study: Study, made: Path, tmp_path: Path
) -> None:
    experiments, datasets = inputs(name, study)
    for experiment in experiments:
        shutil.copytree(made / "runs" / experiment, tmp_path / "runs" / experiment)
    (tmp_path / "processed").mkdir()
    for dataset in datasets:
        for kind in ("npz", "json"):
            shutil.copy(made / "processed" / f"{dataset}.{kind}", tmp_path / "processed")
    out = tmp_path / "out"
    make_figure(name, study, tmp_path / "runs", tmp_path / "processed", out)

    assert sorted(path.name for path in out.iterdir()) == [f"{name}.pdf", f"{name}.png"]
    picture = matplotlib.image.imread(out / f"{name}.png")
    assert picture.shape[1] == round(style.COLUMN * style.DPI)
    assert len(np.unique(picture[::2, ::2].reshape(-1, picture.shape[2]), axis=0)) > 20
    pdf = (out / f"{name}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert b"CreationDate" not in pdf


def test_unknown_figures_are_named_with_the_known_ones(study: Study, tmp_path: Path) -> None:
    with pytest.raises(AebayesError, match="'avb-figure-9'") as caught:
        make_figure("avb-figure-9", study, tmp_path, tmp_path, tmp_path)
    assert "avb-figure-3" in caught.value.remedy
    del study.content["figures"]["avb-theory"]
    with pytest.raises(AebayesError, match="has no figure 'avb-theory'"):
        inputs("avb-theory", study)
    study.content["figures"]["avb-figure-3"] = {"datasets": ["four_points"]}
    with pytest.raises(AebayesError, match=r"figures\.avb-figure-3 has no experiments"):
        inputs("avb-figure-3", study)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("avb-figure-3", "runs/vae-run/arrays.npz"),
        ("avb-theory", "runs/avb-run/metrics.json"),
        ("training-curves", "runs/aae-run/history.csv"),
        ("avb-figure-2", "processed/four_points.json"),
    ],
)
def test_missing_and_truncated_inputs_are_named(
    name: str, file: str, study: Study, made: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "made"
    shutil.copytree(made, copy)
    path = copy / file
    path.write_bytes(path.read_bytes()[:3])
    for _ in range(2):
        with pytest.raises(AebayesError, match=re.escape(str(path))) as caught:
            make_figure(name, study, copy / "runs", copy / "processed", tmp_path / "out")
        path.unlink(missing_ok=True)
    assert "python -m aebayes" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_run_without_the_array_is_named(study: Study, made: Path, tmp_path: Path) -> None:
    study.content["figures"]["avb-theory"] = {"experiments": {"VAE": "vae-run"}}
    with pytest.raises(AebayesError, match="no array 'theory_axis': experiment vae-run"):
        make_figure("avb-theory", study, made / "runs", made / "processed", tmp_path)


def test_a_figure_of_one_experiment_refuses_more(study: Study, made: Path, tmp_path: Path) -> None:
    study.content["figures"]["avb-theory"]["experiments"]["again"] = "avb-run"
    with pytest.raises(AebayesError, match="one of experiments, not 2: AVB, again"):
        make_figure("avb-theory", study, made / "runs", made / "processed", tmp_path)


def test_dollars_in_a_label_are_no_mathematics(study: Study, made: Path, tmp_path: Path) -> None:
    entry = study.content["figures"]["training-curves"]
    (name, *_) = entry["experiments"].values()
    entry["experiments"] = {"a_b $x^$": name}
    make_figure("training-curves", study, made / "runs", made / "processed", tmp_path)
    assert (tmp_path / "training-curves.png").exists()


def test_more_points_than_colours_are_refused(study: Study, made: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    write_npz(runs / "vae-run" / "arrays.npz", {"codes": np.zeros((1, 10, 9, 2))})
    with pytest.raises(AebayesError, match=re.escape("expected (R = 1, S = 10, B = 4, 2)")):
        make_figure("avb-figure-3", study, runs, made / "processed", tmp_path / "out")
    with pytest.raises(AebayesError, match="9 data points"):
        style.point_colours(9)


def test_a_history_that_is_none_is_named(study: Study, made: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    write_text(runs / "vae-run" / "history.csv", "a,b\n1,2\n")
    with pytest.raises(AebayesError, match="vae-run/history"):
        make_figure("training-curves", study, runs, made / "processed", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "run", "changed"),
    [
        ("avb-figure-3", "vae-run", {"codes": np.zeros((2, 50, 4, 3))}),
        ("avb-figure-3", "vae-run", {"codes": np.zeros((50, 4, 2))}),
        ("avb-figure-3", "vae-run", {"codes": np.zeros((0, 50, 4, 2))}),
        ("avb-figure-3", "vae-run", {"codes": np.full((2, 50, 4, 2), "a")}),
        ("avb-figure-4", "aae-run", {"samples": np.zeros((64, 5))}),
        ("avb-figure-4", "aae-run", {"samples": np.zeros(())}),
        ("reconstructions", "aae-run", {"images": np.zeros((3, 4))}),
        ("reconstructions", "aae-run", {"reconstructions": np.zeros((64, 784))}),
        ("avb-theory", "avb-run", {"theory_axis": np.zeros(5)}),
        ("avb-theory", "avb-run", {"theory_t": np.zeros((2, 3, 12, 12))}),
        ("avb-theory", "avb-run", {"theory_pmi": np.zeros((12, 12))}),
        ("avb-theory", "avb-run", {"theory_log_ratio": np.full((2, 4, 12, 12), np.nan)}),
    ],
)
def test_arrays_of_other_shapes_are_named(
    name: str, run: str, changed: dict, study: Study, made: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    path = runs / run / "arrays.npz"
    write_npz(path, {**read_npz(path), **changed})
    with pytest.raises(AebayesError, match=re.escape(str(path))) as caught:
        make_figure(name, study, runs, made / "processed", tmp_path / "out")
    assert f"python -m aebayes evaluate {run}" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["0.25", None, True])
def test_an_rms_that_is_no_number_is_named(
    value: object, study: Study, made: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    path = runs / "avb-run" / "metrics.json"
    content = read_json(path)
    content["metrics"]["adversary_pmi_rms"]["replicas"][0] = value
    write_json(path, content)
    with pytest.raises(AebayesError, match="no adversary_pmi_rms of replica 0"):
        make_figure("avb-theory", study, runs, made / "processed", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("step,replica\n100,0\n", "no column bound"),
        ("step,replica,bound\n", "no lines"),
        ("step,replica,bound\n100,0,much\n", "column bound holds"),
        ("step,replica,bound\n100,0,1.5\n200,0\n", "column bound holds"),
        ("step,replica,bound\n100,0,True\n", "column bound holds"),
        ("step,replica,bound\nlast,0,1.5\n", "column step holds"),
        ("step,replica,bound\n100,0,1.5,2,3\n100,0,1.5,2,3,4\n", "not CSV"),
    ],
)
def test_a_history_without_a_phases_numbers_is_named(
    content: str, named: str, study: Study, made: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    path = runs / "vae-run" / "history.csv"
    write_text(path, content)
    with pytest.raises(AebayesError, match=f"{re.escape(str(path))}.*{named}") as caught:
        make_figure("training-curves", study, runs, made / "processed", tmp_path / "out")
    assert "python -m aebayes train vae-run" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_history_may_hold_losses_that_are_not_finite(
    study: Study, made: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    write_text(
        runs / "vae-run" / "history.csv", "step,replica,bound\n100,0,1.5\n200,0,inf\n300,0,nan\n"
    )
    make_figure("training-curves", study, runs, made / "processed", tmp_path / "out")
    assert (tmp_path / "out" / "training-curves.png").exists()


def test_a_folder_in_the_place_of_a_history_is_named(
    study: Study, made: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(made / "runs", runs)
    path = runs / "vae-run" / "history.csv"
    path.unlink()
    path.mkdir()
    with pytest.raises(AebayesError, match=re.escape(f"cannot read {path}")):
        make_figure("training-curves", study, runs, made / "processed", tmp_path / "out")
