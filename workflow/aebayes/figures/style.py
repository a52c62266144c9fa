"""One look for all figures: sizes for a paper's column, fixed colours, and the study on the face.

The colours are Okabe and Ito's (2008), told apart by readers with any common colour blindness.
"""

import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from aebayes.errors import AebayesError
from aebayes.files import write_bytes

COLUMN = 3.35  # inches: a column of a two-column paper
DPI = 300
PADDING = {"h_pad": 0.02, "w_pad": 0.02, "hspace": 0.02, "wspace": 0.02}
HEAD = 0.03  # inches: panels of images shrink after the layout, and their titles rise a little
FOOT = 0.14  # inches kept free for the footer
FONT = 7.0  # points, as printed: figures are made at the size they are printed at
LABEL_WIDTH = 16  # characters of a line of a label beside a row

BLACK, GREY, PALE = "#000000", "#6e6e6e", "#d0d0d0"
AAE = "#009e73"
METHOD_COLOURS = {
    "vae": "#0072b2",
    "iwae": "#cc79a7",
    "avb": "#d55e00",
    "aae": AAE,
    "avb_restricted": AAE,
    "categorical_aae": AAE,
    "ae_mmd": "#8a6d3b",
    "gan": "#e69f00",
    "gmmn": "#56b4e9",
    "m2": "#7b3294",
    "classifier": "#6e6e6e",
}
# Of experiments with rising numbers of samples, where the colour tells their methods.
DASHES = ((0, (1, 1.3)), (0, (4, 1.6)), "-")
POINT_COLOURS = ("#e69f00", "#56b4e9", "#cc79a7", "#2b2b2b")
# Ten classes: the same eight, and two that stand apart from them.
CLASS_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"),
    *("#56b4e9", "#000000", "#8c510a", "#b2b200", "#7b3294"),
)
AGREEMENT = "#d55e00"
DIVERGING = "RdBu_r"
DENSITY = "Oranges"

POCKET_DATA = {"four_points", "digits"}
PAPER_SIZED = {"overnight", "paper"}  # studies whose four points are trained as the paper's were

SETTINGS = {
    "font.family": "DejaVu Sans",  # matplotlib's own: the same glyphs on every machine
    "font.size": FONT,
    "axes.labelsize": FONT,
    "axes.titlesize": FONT + 0.5,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "axes.linewidth": 0.6,
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 1.1,
    "image.interpolation": "nearest",
    "figure.dpi": DPI,
    "pdf.fonttype": 42,  # fonts as text, so that a reader can select it
}


@contextmanager
def applied() -> Iterator[None]:
    """Draw and save under this style, and leave matplotlib's settings as they were."""
    with mpl.rc_context({**sns.axes_style("ticks"), **SETTINGS}):
        yield


def new_figure(height: float) -> Figure:
    """A figure of a column's width, `height` inches tall, its parts laid out to fit."""
    figure = Figure(figsize=(COLUMN, height))
    within = (0, FOOT / height, 1, 1 - (FOOT + HEAD) / height)
    figure.set_layout_engine("constrained", rect=within, **PADDING)
    return figure


def blank(text: str) -> Figure:
    """A figure that says why there is nothing to be seen."""
    figure = new_figure(0.6)
    figure.text(0.5, 0.6, text, ha="center", va="center")
    return figure


def parts(figure: Figure, heights: Sequence[float]) -> list[SubplotSpec]:
    """Parts of a figure, one below the other, their heights in proportion."""
    # Not subfigures: where those lie cannot be rounded (see `settle`).
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0.1)
    return [grid[row] for row in range(len(heights))]


def panels_of(part: SubplotSpec, rows: int, columns: int, **sharing: bool) -> np.ndarray:
    """Axes (rows, columns) in a part of a figure."""
    return part.subgridspec(rows, columns).subplots(squeeze=False, **sharing)


def note(figure: Figure, text: str) -> None:
    """A remark at the foot, left of the study's name."""
    at = 0.03 / figure.get_figheight()
    figure.text(0.005, at, text, ha="left", va="bottom", color=GREY)


def point_colours(points: int) -> tuple[str, ...]:
    """A colour for each data point.

    Raises:
        AebayesError: there are more than can be told apart.
    """
    if points > len(POINT_COLOURS):
        raise AebayesError(
            f"cannot tell {points} data points apart by colour",
            f"name a dataset of at most {len(POINT_COLOURS)} images in this figure",
        )
    return POINT_COLOURS[:points]


def method_colour(method: str) -> str:
    """The method's own colour, the same in every figure."""
    return METHOD_COLOURS.get(method, BLACK)


def point_name(index: int) -> str:
    """x₁, x₂, … in mathematics."""
    return f"$x_{{{index + 1}}}$"


def footer(study: str, datasets: Collection[str]) -> str:
    """What a figure says on its face of its study, and of the datasets that it shows."""
    pocket = study not in PAPER_SIZED and POCKET_DATA.issuperset(datasets)
    return f"{study} study: pocket-scale data" if pocket else f"{study} study"


def settle(figure: Figure) -> None:
    """Lay the figure out once, and round where its parts lie.

    The layout solver's last digit depends on the order of its constraints, which differs from one
    process to the next; it would show in the bytes.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        box = axes.get_position(original=True)
        axes.set_position([round(length, 5) for length in box.bounds])


def save(figure: Figure, foot: str, path: Path) -> None:
    """Write `path`.png and `path`.pdf, with `foot` at the foot, right; same figure, same bytes.

    Raises:
        AebayesError: a file cannot be written.
    """
    figure.text(0.995, 0.03 / figure.get_figheight(), foot, ha="right", va="bottom", color=GREY)
    settle(figure)
    # Neither a date nor a version of matplotlib in the bytes.
    without = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}
    for form, metadata in without.items():
        content = io.BytesIO()
        figure.savefig(content, format=form, dpi=DPI, metadata=metadata)
        write_bytes(path.with_name(f"{path.name}.{form}"), content.getvalue())
