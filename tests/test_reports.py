"""What Snakemake's report says below each table and figure."""

from aebayes.config import ROOT
from aebayes.figures import FIGURES
from aebayes.tables import TABLES


def test_every_table_and_figure_has_its_caption():
    captions = {path.stem for path in (ROOT / "workflow" / "report").glob("*.rst")}
    assert captions == {*TABLES, *FIGURES, "workflow"}
