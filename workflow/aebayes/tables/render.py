"""A table's cells as tidy CSV, as Markdown and as LaTeX."""

import csv
import io
from collections.abc import Mapping, Sequence

from aebayes.config import Study
from aebayes.labels import common_parts
from aebayes.tables.measurements import Run
from aebayes.tables.published import PublishedValues
from aebayes.tables.table import UNITS, Cell, Quantity, Table

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

# In the words of a caption: a key of `objective` whose method the papers do not have so.
ADDED = {
    "class_balance": "Trained with a class balance, which the papers have not",
    "contrast_correlations": (
        "T compares codes with a Gaussian that has their correlations, too, which the paper's has "
        "not"
    ),
}
# In the words of a caption: what is at most done to each image.
DISTORTIONS = {
    "rotation": "turned by up to {:g}°",
    "shear": "sheared by up to {:g} pixels a row",
    "zoom": "zoomed by up to {:.0%}",
    "shift": "shifted by up to {:g} pixels",
    "elastic": "bent by smooth noise of {:g} pixels",
}

TEX_CHARACTERS = {
    "°": r"$^\circ$",
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


# What a quantity's note tells of the runs' evaluation.
MARKS = (
    ("{k}", "importance_samples"),
    ("{pruned}", "pruned_images"),
    ("{windows}", "parzen_samples"),
    ("{many}", "parzen_many_samples"),
    ("{annealed}", "annealing.images"),
    ("{chains}", "annealing.chains"),
    ("{temperatures}", "annealing.temperatures"),
    ("{simulated}", "annealing.simulated_images"),
)


def dotted(settings: dict) -> dict:
    """The same without mappings in it: {"a": {"b": 1}} as {"a.b": 1}."""
    flat = {}
    for key, value in settings.items():
        inner = dotted(value) if isinstance(value, dict) else {"": value}
        flat |= {f"{key}.{name}".rstrip("."): entry for name, entry in inner.items()}
    return flat


class Layout:
    """A table for people: its cells as text, reasons as numbered notes.

    Args:
        labels: of the experiments, in order.
        runs: ours, by label.
        notes: why a cell of ours is empty, then why a published value is not taken off ours; cells
            show their numbers.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        study: Study,
        cells: Sequence[Cell],
        runs: Mapping[str, Run],
    ):
        self.name = name
        self.table = table
        self.study = study
        self.runs = runs
        self.labels = list(dict.fromkeys(cell.row for cell in cells))
        self.cells = {(cell.row, cell.quantity.name): cell for cell in cells}
        self.beside = [cell.published for cell in cells if cell.published]
        reasons = [cell.ours.reason for cell in cells if cell.ours.mean is None]
        reasons += [published.incomparable for published in self.beside if published.incomparable]
        self.notes = list(dict.fromkeys(reasons))

    def decimals(self, quantity: Quantity) -> tuple[int, int]:
        """Of our numbers, and of published ones."""
        return quantity.decimals or self.table.decimals

    def ours(self, cell: Cell) -> str:
        """Mean ± sd, or with its standard error; or `not run` and the number of the reason."""
        ours = cell.ours
        if ours.mean is None:
            return f"not run {self.number(ours.reason)}"
        # One replica's count is whole.
        whole = ours.replicas == 1 and cell.quantity.unit == UNITS
        decimals = 0 if whole else self.decimals(cell.quantity)[0]
        mean = signed(ours.mean, decimals, cell.quantity.over is not None)
        if ours.sd is not None:
            return f"{mean} ± {ours.sd:.{decimals}f}"
        error = ours.standard_error
        return mean if error is None else f"{mean} (s.e. {error:.{decimals}f})"

    def number(self, note: str) -> str:
        """A note's number, in brackets."""
        return f"[{self.notes.index(note) + 1}]"

    def published(self, cell: Cell) -> str:
        """The published value; empty if there is none."""
        if cell.published is None:
            return ""
        value = self.value(cell)
        why = cell.published.incomparable
        return f"{value} {self.number(why)}" if why else value

    def difference(self, cell: Cell) -> str:
        """Ours minus the published value; empty unless there are both, and of one kind."""
        if cell.published is None or cell.published.incomparable or cell.ours.mean is None:
            return ""
        change = cell.ours.mean - cell.published.value
        return signed(change, min(self.decimals(cell.quantity)), True)

    def value(self, cell: Cell) -> str:
        """A published value as the paper prints it."""
        published, decimals = cell.published, self.decimals(cell.quantity)[1]
        text = ("≈ " if published.approximate else "") + signed(published.value, decimals)
        return text if published.sd is None else f"{text} ± {published.sd:.{decimals}f}"

    def caption(self) -> list[str]:
        """What the table shows, in sentences."""
        labelled = self.study.content["tables"][self.name]["experiments"]
        datasets: dict[str, list[str]] = {}
        for label, name in labelled.items():
            experiment = self.study.experiment(name)
            dynamic = ", dynamic binarisation" * (experiment["binarisation"] == "dynamic")
            datasets.setdefault(experiment["dataset"] + dynamic, []).append(label)
        told = list(datasets)
        if len(datasets) > 1:
            of = [common_parts(labels) or "; ".join(labels) for labels in datasets.values()]
            told = [f"{dataset} ({rows})" for dataset, rows in zip(datasets, of, strict=True)]
        replicas = sorted({cell.ours.replicas for cell in self.cells.values()} - {0})
        units = dict.fromkeys(quantity.unit for quantity in self.table.quantities)
        sentences = [
            f"{self.table.title}.",
            f"Study {self.study.name}; dataset {'; '.join(told)}; {', '.join(units)}.",
        ]
        if replicas:
            counted = " or ".join(map(str, replicas))
            spread = "mean ± sd over" if replicas[-1] > 1 else "of"
            plural = "s" if replicas[-1] > 1 else ""
            sentences.append(f"Ours: {spread} {counted} replica{plural}{self.trained()}.")
        sentences += self.distorted()
        sentences += self.added()
        if any(cell.ours.standard_error is not None for cell in self.cells.values()):
            sentences.append("s.e.: standard error of a replica, over test images unless noted.")
        if self.beside:
            sources = dict.fromkeys(published.source for published in self.beside)
            sentences.append(f"Published: {'; '.join(sources)}. Difference: ours minus published.")
        if any(published.approximate for published in self.beside):
            sentences.append("≈ as printed there.")
        return sentences

    def trained(self) -> str:
        """In which precision most of ours were trained, and which in another."""
        labels: dict[str, list[str]] = {}
        for label, run in self.runs.items():
            if run.precision:
                labels.setdefault(run.precision, []).append(label)
        if not labels:
            return ""
        usual = max(labels, key=lambda precision: len(labels[precision]))
        others = (
            f", but in {precision}: {'; '.join(of)}"
            for precision, of in labels.items()
            if precision != usual
        )
        return f", trained in {usual}{''.join(others)}"

    def distorted(self) -> list[str]:
        """Which experiments train on distorted images, and how far these are."""
        labels: dict[str, list[str]] = {}
        for label, run in self.runs.items():
            most = run.settings["objective"].get("distortion", {})
            told = [words.format(most[key]) for key, words in DISTORTIONS.items() if key in most]
            if run.settings["objective"].get("two_views"):
                told.append("class and style each of a view of its own")
            if told:
                labels.setdefault(", ".join(told), []).append(label)
        return [
            f"Trained on distorted images ({told}), which the papers' are not: {'; '.join(of)}."
            for told, of in labels.items()
        ]

    def added(self) -> list[str]:
        """What some experiments have that is no part of their method as its paper has it."""
        sentences = []
        for key, words in ADDED.items():
            labels = [
                label for label, run in self.runs.items() if run.settings["objective"].get(key)
            ]
            if labels:
                sentences.append(f"{words}: {'; '.join(labels)}.")
        return sentences

    def definitions(self) -> list[tuple[Quantity, str]]:
        """What each quantity is."""
        labelled = self.study.content["tables"][self.name]["experiments"]
        experiments = [self.study.experiment(name) for name in labelled.values()]
        settings = [dotted(each["evaluation"]) for each in experiments]
        notes = {quantity: quantity.note for quantity in self.table.quantities}
        weighed = [each for each in experiments if "importance_samples" in each["evaluation"]]
        scored = dict.fromkeys(
            each["evaluation"].get("importance_images", "all") for each in weighed
        )
        scored = [n if n == "all" else f"the first {n}" for n in scored]
        marks = {"{scored}": scored or ["all"]}
        if any("{pixels}" in note for note in notes.values()):
            drawn = dict.fromkeys(pixels_of(each["model"]) for each in weighed)
            marks["{pixels}"] = list(drawn) or ["the likelihood"]
        for mark, key in MARKS:
            numbers = dict.fromkeys(str(each[key]) for each in settings if key in each)
            marks[mark] = list(numbers) or [f"evaluation.{key} (not set)"]
        for mark, told in marks.items():
            notes = {q: note.replace(mark, " or ".join(told)) for q, note in notes.items()}
        return list(notes.items())

    def each_replica(self) -> list[str]:
        """Of quantities that are to be told replica by replica, those of every experiment."""
        lines = []
        for quantity in self.table.quantities:
            measured = ((label, self.cells[label, quantity.name].ours) for label in self.labels)
            decimals = self.decimals(quantity)[0]
            told = [
                f"{label} {', '.join(signed(value, decimals) for value in ours.values)}"
                for label, ours in measured
                if len(ours.values) > 1
            ]
            if quantity.each and told:
                lines.append(f"{quantity.name} of each replica: {'; '.join(told)}")
        return lines

    def elsewhere(self, values: PublishedValues) -> list[str]:
        """What other papers, or versions of a paper, print for the same cells."""
        lines = []
        for paper in self.table.also:
            about = values.papers[paper]
            for quantity in self.table.quantities:
                found = [
                    entry
                    for entry in values.of(paper, quantity.name)
                    if entry["row"] in self.labels
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

    def has_published(self, quantity: Quantity) -> bool:
        """Whether any cell of a quantity has a published value beside it."""
        return any(self.cells[label, quantity.name].published for label in self.labels)

    def long_lines(self) -> list[list[str]]:
        """A line an experiment: its label, then ours and, if any is, what is published."""
        lines = []
        for label in self.labels:
            line = [label]
            for quantity in self.table.quantities:
                cell = self.cells[label, quantity.name]
                line.append(self.ours(cell))
                if self.has_published(quantity):
                    line.append(in_brackets(self.published(cell), self.difference(cell)))
            lines.append(line)
        return lines


def in_brackets(value: str, more: str) -> str:
    """A value and, in brackets, more about it."""
    return f"{value} ({more})" if more else value


def to_markdown(layout: Layout, values: PublishedValues) -> str:
    """The table with its caption, notes and definitions."""
    lines = [f"**{layout.name}.** " + " ".join(layout.caption()), ""]
    rows = markdown_long(layout) if layout.table.long else markdown_wide(layout)
    lines += [markdown_line(rows[0]), "|---" * len(rows[0]) + "|", *map(markdown_line, rows[1:])]
    lines.append("")
    lines += [f"[{number}] {note}  " for number, note in enumerate(layout.notes, 1)]
    lines.append("")
    lines += [f"- *{quantity.name}*: {note}" for quantity, note in layout.definitions()]
    lines += [f"- {line}" for line in layout.each_replica()]
    lines += [f"- {line}" for line in layout.elsewhere(values)]
    return "\n".join(lines) + "\n"


def markdown_line(cells: Sequence[str]) -> str:
    """A line of a table."""
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in escaped) + "|"


def markdown_wide(layout: Layout) -> list[list[str]]:
    """Head and lines of a table with a line a quantity."""
    rows = [["", *layout.labels]]
    for quantity in layout.table.quantities:
        row = [quantity.name]
        for label in layout.labels:
            cell = layout.cells[label, quantity.name]
            row.append(beside(layout.ours(cell), layout.published(cell), layout.difference(cell)))
        rows.append(row)
    return rows


def markdown_long(layout: Layout) -> list[list[str]]:
    """Head and lines of a table with a line an experiment."""
    head = [""]
    for quantity in layout.table.quantities:
        head.append(quantity.name)
        if layout.has_published(quantity):
            head.append("published (difference)")
    return [head, *layout.long_lines()]


def beside(ours: str, published: str, difference: str) -> str:
    """One cell for Markdown."""
    remarks = [f"published {published}"] if published else []
    remarks += [f"difference {difference}"] if difference else []
    return f"{ours} ({', '.join(remarks)})" if remarks else ours


def to_tex(layout: Layout, values: PublishedValues) -> str:
    r"""A `table` environment for \input; the document needs the package booktabs, no other."""
    head, body = tex_long(layout) if layout.table.long else tex_wide(layout)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{tex(' '.join(layout.caption()))}}}"]
    lines += [
        rf"\label{{tab:{layout.name}}}",
        r"\scriptsize\setlength{\tabcolsep}{3pt}" if layout.table.long else r"\footnotesize",
        rf"\begin{{tabular}}{{l{'r' * (len(head[0]) - 1)}}}",
    ]
    lines += [r"\toprule", *map(tex_line, head), r"\midrule", *map(tex_line, body)]
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\smallskip", r"\begin{minipage}{\linewidth}"]
    lines.append(r"\footnotesize")
    remarks = [f"[{number}] {note}" for number, note in enumerate(layout.notes, 1)]
    remarks += [f"{quantity.name}: {note}" for quantity, note in layout.definitions()]
    remarks += layout.each_replica()
    remarks += layout.elsewhere(values)
    # Not a line break: it would take the bracket of the next remark's number for its argument.
    lines += [f"{tex(remark)}." + r"\par" for remark in remarks]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def tex_line(cells: Sequence[str]) -> str:
    """A line of a `tabular`, of cells in LaTeX."""
    return " & ".join(cells) + r" \\"


def tex_wide(layout: Layout) -> tuple[list[list[str]], list[list[str]]]:
    """Head and lines of a table with a line a quantity, in LaTeX.

    Below each line of ours stands the published value, with the difference in brackets.
    """
    lines = []
    for quantity in layout.table.quantities:
        cells = [layout.cells[label, quantity.name] for label in layout.labels]
        lines.append([quantity.tex, *(tex(layout.ours(cell)) for cell in cells)])
        if layout.has_published(quantity):
            small = [in_brackets(layout.published(cell), layout.difference(cell)) for cell in cells]
            lines.append([r"\quad published (difference)", *map(tex, small)])
    return [["", *map(tex, layout.labels)]], lines


def tex_long(layout: Layout) -> tuple[list[list[str]], list[list[str]]]:
    """Head and lines of a table with a line an experiment, in LaTeX; the head is of two lines."""
    names, columns = [""], [""]
    for quantity in layout.table.quantities:
        names.append(quantity.tex)
        columns.append("ours")
        if layout.has_published(quantity):
            names.append("")
            columns.append("published (diff.)")
    return [names, columns], [list(map(tex, line)) for line in layout.long_lines()]


def tex(text: str) -> str:
    """Plain text as LaTeX, in ASCII."""
    return "".join(TEX_CHARACTERS.get(character, character) for character in text)


def pixels_of(model: dict) -> str:
    """How a model's likelihood draws pixels."""
    if model["likelihood"] == "gaussian":
        return f"Gaussian pixels of standard deviation {model['likelihood_sd']}"
    return "Bernoulli pixels whose means are grey levels"
