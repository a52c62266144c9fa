"""A table's cells as tidy CSV, as Markdown and as LaTeX."""

import csv
import io
from collections.abc import Sequence

from aebayes.config import Study
from aebayes.tables.published import Published, PublishedValues
from aebayes.tables.table import Cell, Quantity, Table

COLUMNS = (
    "table",
    "row",
    "column",
    "unit",
    "mean",
    "sd",
    "replicas",
    "published",
    "published_sd",
    "source",
    "status",
)

TEX_CHARACTERS = {
    "−": "$-$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    ">": "$>$",
    "<": "$<$",
    "ε": r"$\epsilon$",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "|": r"$|$",
}


def to_csv(name: str, cells: Sequence[Cell]) -> str:
    """One line a cell, six significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in cells:
        ours, published = cell.ours, cell.published
        writer.writerow(
            [
                name,
                cell.row,
                cell.quantity.name,
                cell.quantity.unit,
                six_digits(ours.mean),
                six_digits(ours.sd),
                ours.replicas,
                six_digits(published.value if published else None),
                six_digits(published.sd if published else None),
                published.source if published else "",
                ours.status,
            ]
        )
    return text.getvalue()


def six_digits(value: float | None) -> str:
    """A number with six significant digits; nothing for none."""
    return "" if value is None else f"{value:.6g}"


def signed(value: float, decimals: int, plus: bool = False) -> str:
    """A number with a true minus sign, and no minus before zero."""
    text = f"{value:{'+' if plus else ''}.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


class Layout:
    """A table for people: a line a quantity, a column a label, reasons as numbered notes.

    Args:
        columns: the labels, in order.
        notes: why a cell of ours is empty, then why a published value is not taken off ours; cells
            show their numbers.
    """

    def __init__(self, name: str, table: Table, study: Study, cells: Sequence[Cell]):
        self.name = name
        self.table = table
        self.study = study
        self.columns = list(dict.fromkeys(cell.row for cell in cells))
        self.cells = {(cell.row, cell.quantity.name): cell for cell in cells}
        self.beside = [cell.published for cell in cells if cell.published]
        reasons = [cell.ours.reason for cell in cells if cell.ours.mean is None]
        reasons += [published.incomparable for published in self.beside if published.incomparable]
        self.notes = list(dict.fromkeys(reasons))

    def ours(self, cell: Cell) -> str:
        """Mean ± sd, or `not run` and the number of the reason."""
        if cell.ours.mean is None:
            return f"not run {self.number(cell.ours.reason)}"
        decimals = self.table.decimals[0]
        mean = signed(cell.ours.mean, decimals)
        return mean if cell.ours.sd is None else f"{mean} ± {cell.ours.sd:.{decimals}f}"

    def number(self, note: str) -> str:
        """A note's number, in brackets."""
        return f"[{self.notes.index(note) + 1}]"

    def published(self, cell: Cell) -> str:
        """The published value; empty if there is none."""
        if cell.published is None:
            return ""
        value = self.value(cell.published)
        why = cell.published.incomparable
        return f"{value} {self.number(why)}" if why else value

    def difference(self, cell: Cell) -> str:
        """Ours minus the published value; empty unless there are both, and of one kind."""
        if cell.published is None or cell.published.incomparable or cell.ours.mean is None:
            return ""
        return signed(cell.ours.mean - cell.published.value, min(self.table.decimals), True)

    def value(self, published: Published) -> str:
        """A published value as the paper prints it."""
        decimals = self.table.decimals[1]
        text = ("≈ " if published.approximate else "") + signed(published.value, decimals)
        return text if published.sd is None else f"{text} ± {published.sd:.{decimals}f}"

    def caption(self) -> list[str]:
        """What the table shows, in sentences."""
        labelled = self.study.content["tables"][self.name]["experiments"]
        experiments = [self.study.experiment(name) for name in labelled.values()]
        replicas = sorted({cell.ours.replicas for cell in self.cells.values()} - {0})
        datasets = dict.fromkeys(
            experiment["dataset"]
            + (", dynamic binarisation" if experiment["binarisation"] == "dynamic" else "")
            for experiment in experiments
        )
        units = dict.fromkeys(quantity.unit for quantity in self.table.quantities)
        sentences = [
            f"{self.table.title}.",
            f"Study {self.study.name}; dataset {'; '.join(datasets)}; {', '.join(units)}.",
        ]
        if replicas:
            counted = " or ".join(map(str, replicas))
            spread = "mean ± sd over" if replicas[-1] > 1 else "of"
            plural = "s" if replicas[-1] > 1 else ""
            sentences.append(f"Ours: {spread} {counted} replica{plural}.")
        if self.beside:
            sources = dict.fromkeys(published.source for published in self.beside)
            sentences.append(f"Published: {'; '.join(sources)}. Difference: ours minus published.")
        if any(published.approximate for published in self.beside):
            sentences.append("≈ as printed there.")
        return sentences

    def definitions(self) -> list[tuple[Quantity, str]]:
        """What each quantity is."""
        labelled = self.study.content["tables"][self.name]["experiments"]
        settings = [self.study.experiment(name)["evaluation"] for name in labelled.values()]
        k = dict.fromkeys(str(each.get("importance_samples", "no")) for each in settings)
        return [
            (quantity, quantity.note.replace("{k}", " or ".join(k)))
            for quantity in self.table.quantities
        ]

    def elsewhere(self, values: PublishedValues) -> list[str]:
        """What other papers, or versions of a paper, print for the same cells."""
        lines = []
        for paper in self.table.also:
            about = values.papers[paper]
            for quantity in self.table.quantities:
                found = [
                    entry
                    for entry in values.of(paper, quantity.name)
                    if entry["row"] in self.columns
                    and self.cells[entry["row"], quantity.name].published is not None
                ]
                if found:
                    numbers = ", ".join(f"{entry['row']} {entry['value']:g}" for entry in found)
                    evidence = " and ".join(dict.fromkeys(entry["evidence"] for entry in found))
                    lines.append(
                        f"{about['short']} ({about['version']}, {evidence}), "
                        f"{quantity.name}: {numbers.replace('-', '−')}"
                    )
        return lines


def to_markdown(layout: Layout, values: PublishedValues) -> str:
    """The table with its caption, notes and definitions."""
    lines = [f"**{layout.name}.** " + " ".join(layout.caption()), ""]
    lines += ["| | " + " | ".join(layout.columns) + " |", "|---" * (len(layout.columns) + 1) + "|"]
    for quantity in layout.table.quantities:
        row = []
        for column in layout.columns:
            cell = layout.cells[column, quantity.name]
            row.append(beside(layout.ours(cell), layout.published(cell), layout.difference(cell)))
        lines.append(f"| {quantity.name.replace('|', chr(92) + '|')} | " + " | ".join(row) + " |")
    lines.append("")
    lines += [f"[{number}] {note}  " for number, note in enumerate(layout.notes, 1)]
    lines.append("")
    lines += [f"- *{quantity.name}*: {note}" for quantity, note in layout.definitions()]
    lines += [f"- {line}" for line in layout.elsewhere(values)]
    return "\n".join(lines) + "\n"


def beside(ours: str, published: str, difference: str) -> str:
    """One cell for Markdown."""
    remarks = [f"published {published}"] if published else []
    remarks += [f"difference {difference}"] if difference else []
    return f"{ours} ({', '.join(remarks)})" if remarks else ours


def to_tex(layout: Layout, values: PublishedValues) -> str:
    r"""A `table` environment for \input; the document needs the package booktabs, no other.

    Below each line of ours stands the published value, with the difference in brackets.
    """
    width = len(layout.columns) + 1
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{tex(' '.join(layout.caption()))}}}"]
    lines += [
        rf"\label{{tab:{layout.name}}}",
        r"\footnotesize",
        rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
    ]
    lines += [r"\toprule", " & " + " & ".join(map(tex, layout.columns)) + r" \\", r"\midrule"]
    for quantity in layout.table.quantities:
        cells = [layout.cells[column, quantity.name] for column in layout.columns]
        lines.append(
            " & ".join([quantity.tex, *(tex(layout.ours(cell)) for cell in cells)]) + r" \\"
        )
        printed = [(layout.published(cell), layout.difference(cell)) for cell in cells]
        if any(published for published, _ in printed):
            small = [f"{value} ({more})" if more else value for value, more in printed]
            lines.append(" & ".join([r"\quad published (difference)", *map(tex, small)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\smallskip", r"\begin{minipage}{\linewidth}"]
    lines.append(r"\footnotesize")
    remarks = [f"[{number}] {note}" for number, note in enumerate(layout.notes, 1)]
    remarks += [f"{quantity.name}: {note}" for quantity, note in layout.definitions()]
    remarks += layout.elsewhere(values)
    # Not a line break: it would take the bracket of the next remark's number for its argument.
    lines += [f"{tex(remark)}." + r"\par" for remark in remarks]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def tex(text: str) -> str:
    """Plain text as LaTeX, in ASCII."""
    return "".join(TEX_CHARACTERS.get(character, character) for character in text)
