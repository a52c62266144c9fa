"""Tables: metrics on disk in, CSV, Markdown and LaTeX out. Nothing here knows of torch.

To add a table, describe its quantities in a module like `avb.py` and list it in `TABLES`; to give
it published values, add them to config/published.yaml.
"""

from pathlib import Path

from aebayes.config import Study
from aebayes.errors import AebayesError
from aebayes.files import write_text
from aebayes.tables import aae, aae_classes, avb, iwae
from aebayes.tables.likelihoods import IMAGES
from aebayes.tables.published import load_published
from aebayes.tables.render import Layout, to_csv, to_markdown, to_tex
from aebayes.tables.table import Table, runs_of

TABLES: dict[str, Table] = {
    "aae-dimensionality": aae_classes.DIMENSIONALITY,
    "aae-match": aae.MATCH,
    "aae-selection": aae_classes.SELECTION,
    "aae-table-1": aae.TABLE_1,
    "aae-table-2": aae_classes.TABLE_2,
    "aae-table-3": aae_classes.TABLE_3,
    "avb-faces": avb.FACES,
    "avb-table-1": avb.TABLE_1,
    "avb-table-2": avb.TABLE_2,
    "iwae-table-1": iwae.TABLE_1,
    "iwae-table-2": iwae.TABLE_2,
    "image-likelihoods": IMAGES,
}


def table_of(name: str, study: Study) -> Table:
    """The table of that name, if it exists and the study has it.

    Raises:
        AebayesError: it does not, or the study has not; names those that do.
    """
    if name not in TABLES:
        where = f"{study.path}: " if name in study.content["tables"] else ""
        raise AebayesError(f"{where}unknown table {name!r}", f"use one of: {', '.join(TABLES)}")
    if name not in study.content["tables"]:
        known = ", ".join(study.content["tables"]) or "none"
        raise AebayesError(
            f"{study.path} has no table {name!r}", f"use one of its tables ({known}), or add it"
        )
    return TABLES[name]


def inputs(name: str, study: Study) -> list[str]:
    """The experiments whose metrics.json the table reads: those whose dataset can be had.

    Raises:
        AebayesError: the table is unknown, or is not in the study.
    """
    table_of(name, study)
    return study.present(study.content["tables"][name]["experiments"].values())


def make_table(name: str, study: Study, runs: Path, out: Path) -> None:
    """Write <name>.csv, .md and .tex.

    Args:
        runs: the folder of all runs, usually results/<study>/runs.
        out: the folder to write to.

    Raises:
        AebayesError: the table is unknown, metrics are broken or another run's, or a file cannot
            be written. Metrics that are missing are no error: their cells say so.
    """
    table = table_of(name, study)
    values = load_published()
    read = runs_of(name, study, runs)
    cells = table.cells(read, values)
    layout = Layout(name, table, study, cells, read)
    write_text(out / f"{name}.csv", to_csv(name, cells))
    write_text(out / f"{name}.md", to_markdown(layout, values))
    write_text(out / f"{name}.tex", to_tex(layout, values))
