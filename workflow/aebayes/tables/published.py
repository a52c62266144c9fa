"""Published values: config/published.yaml, checked, and the one that stands beside a cell."""

from dataclasses import dataclass
from pathlib import Path

from aebayes.config import PUBLISHED, check, check_known, read_yaml
from aebayes.errors import AebayesError


@dataclass(frozen=True)
class Published:
    """One value printed in a paper.

    Args:
        value: in the unit of the column it stands beside.
        sd: its spread, if the paper prints one.
        approximate: the paper prints it with ≈.
        source: paper, table, whether it was read or recalled, and on what if not on our dataset.
        incomparable: why no difference from ours is taken; empty if it is.
    """

    value: float
    sd: float | None
    approximate: bool
    source: str
    incomparable: str = ""


class PublishedValues:
    """All that config/published.yaml holds."""

    def __init__(self, content: dict):
        self.papers = content["papers"]
        self.values = content["values"]

    def find(
        self, paper: str, row: str, column: str, dataset: str, binarisation: str
    ) -> Published | None:
        """The value of a paper for a cell of ours; None if the paper has none for such a run."""
        for entry in self.values:
            if (
                (entry["paper"], entry["row"], entry["column"]) == (paper, row, column)
                and dataset in (entry["dataset"], *entry.get("beside", {}))
                and entry.get("binarisation", binarisation) == binarisation
            ):
                return self._published(entry, dataset)
        return None

    def of(self, paper: str, column: str) -> list[dict]:
        """A paper's entries of one column."""
        return [
            entry for entry in self.values if entry["paper"] == paper and entry["column"] == column
        ]

    def _published(self, entry: dict, dataset: str) -> Published:
        short = self.papers[entry["paper"]]["short"]
        reason = "" if entry.get("comparable", True) else entry["note"]
        return Published(
            float(entry["value"]),
            entry.get("sd"),
            entry.get("approximate", False),
            f"{short}, {entry['table']} ({entry['evidence']})"
            + (f", on {entry['dataset']}" if entry["dataset"] != dataset else ""),
            entry.get("beside", {}).get(dataset, reason),
        )


def load_published(path: Path = PUBLISHED) -> PublishedValues:
    """Read and check the published values.

    Raises:
        AebayesError: an unknown, missing or wrong key, a paper that is not listed, or two values
            for one cell of one paper; names the file and the key.
    """
    content = read_yaml(path)
    check(content, "published", path)
    cells = set()
    for number, entry in enumerate(content["values"]):
        key = f"values.{number}"
        check_known(path, f"{key}.paper", entry["paper"], content["papers"])
        cell = tuple(entry.get(name) for name in ("paper", "row", "column", "dataset"))
        if cell in cells:
            raise AebayesError(
                f"{path}: {key}: a second value for {', '.join(cell)}", "keep one of the two"
            )
        cells.add(cell)
    return PublishedValues(content)
