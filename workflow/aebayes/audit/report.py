"""What an audit found, for machines (audit.json) and for people (index.html)."""

import csv
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from aebayes.audit.again import TOLERANCES
from aebayes.audit.audit import SOUND, Audit
from aebayes.figures import inputs as figure_inputs
from aebayes.files import write_json, write_text
from aebayes.records import figure_files, table_files
from aebayes.tables import TABLES

RUN = "run"  # the status of a cell that has a number of ours


def report(audit: Audit, out: Path) -> dict:
    """Write audit.json and index.html to `out`; what the former holds."""
    content = {
        "study": audit.study.name,
        "folder": audit.place.study.as_posix(),
        "clean": audit.clean,
        "counts": audit.counts,
        "broken_links": audit.broken,
        "artefacts": {
            key: {
                "status": finding.status,
                **({"why": finding.why} if finding.why else {}),
                **({} if (link := broken(audit, key)) is None else {"first_broken_link": link}),
            }
            for key, finding in sorted(audit.findings.items())
        },
        "tables": {name: list(cells(audit, name)) for name in audit.study.tables},
        "figures": {name: figure(audit, name) for name in audit.study.figures},
        "tolerances": TOLERANCES,
    }
    write_json(out / "audit.json", content)
    templates = Environment(
        loader=PackageLoader("aebayes.audit", "."), autoescape=True, undefined=StrictUndefined
    )
    page = templates.get_template("page.html")
    unsound = {
        key: finding for key, finding in audit.findings.items() if finding.status not in SOUND
    }
    write_text(out / "index.html", page.render(**content, unsound=unsound, manifest=audit.manifest))
    return content


def broken(audit: Audit, key: str) -> str | None:
    """The first broken link of an artefact's chain."""
    return audit.first_broken([key])


def cells(audit: Audit, name: str) -> Iterator[dict]:
    """Every cell of a table that has a number of ours, with its first broken link."""
    _, (path, *_) = table_files(name, ())
    try:
        rows = list(csv.DictReader(audit.place.path(path).read_text().splitlines()))
    except (OSError, UnicodeDecodeError):
        rows = []
    found = {}
    own = audit.broken_at(path, f"table {name}")
    for row in rows:
        if row.get("status") != RUN:
            continue
        of, column = row.get("row") or "", row.get("column") or ""  # of a table that was changed
        read = tuple(read_for(audit, name, of, column))
        if read not in found:
            found[read] = own or audit.first_broken(list(read))
        yield {
            "row": of,
            "column": column,
            "experiments": [key.split("/")[1] for key in read],
            "first_broken_link": found[read],
        }


def read_for(audit: Audit, name: str, row: str, column: str) -> Iterator[str]:
    """The metrics that a cell is computed from."""
    experiments = audit.study.tables[name]["experiments"]
    if row not in experiments:
        return
    yield f"runs/{experiments[row]}/metrics.json"
    quantity = next((each for each in TABLES[name].quantities if each.name == column), None)
    settings = {each: audit.study.experiment(each) for each in experiments.values()}
    other = quantity and quantity.reference(experiments[row], settings)
    if other:
        yield f"runs/{other}/metrics.json"


def figure(audit: Audit, name: str) -> dict:
    """A figure's first broken link."""
    read, made = figure_files(name, *figure_inputs(name, audit.study))
    known = [key for key in [*made, *read] if key in audit.findings]
    return {"first_broken_link": audit.first_broken(known)}
