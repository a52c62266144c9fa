"""Tables as their readers get them."""

import csv
from pathlib import Path

from aebayes.config import Study
from aebayes.tables import make_table


def cells_of(name: str, study: Study, folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Make a table; its CSV by row and column."""
    make_table(name, study, folder / "runs", folder / "tables")
    with (folder / "tables" / f"{name}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    cells = {(line["row"], line["column"]): line for line in lines}
    assert len(cells) == len(lines)
    return cells
