"""A study of four points with small made-up runs: enough to draw every figure."""

from pathlib import Path

import numpy as np
import pytest

from aebayes.config import Study
from aebayes.data.prepare import prepare
from aebayes.figures.sources import Sources
from aebayes.files import write_json, write_npz, write_text

PHASES = {
    "vae": ["bound"],
    "avb": ["bound", "adversary"],
    "aae": ["reconstruction", "discriminator", "generator"],
}
CELLS = 12
LABELLED = {"VAE": "vae-run", "AVB": "avb-run", "AAE": "aae-run"}


def arrays_of(method: str) -> dict[str, np.ndarray]:
    """What both kinds of evaluation write, made up."""
    random = np.random.default_rng(3)
    arrays = {
        "codes": random.normal(size=(2, 50, 4, 2)).astype(np.float32),
        **{
            name: random.uniform(size=(64, 4)).astype(np.float32)
            for name in ("samples", "reconstructions")
        },
        "images": np.eye(4, dtype=np.float32)[np.arange(64) % 4],
    }
    if method == "avb":
        axis = np.linspace(-3, 3, CELLS)
        log_ratio = random.normal(size=(2, 4, CELLS, CELLS))
        log_ratio[:, :, :3] = np.nan
        arrays |= {
            "theory_axis": axis,
            "theory_t": random.normal(size=log_ratio.shape),
            "theory_log_ratio": log_ratio,
            "theory_pmi": log_ratio - 0.1,
        }
    return arrays


def history_of(method: str) -> str:
    """Losses of two replicas at three steps, and a column that is no phase."""
    lines = [",".join(["step", "replica", *PHASES[method], "learning_rate"])]
    for step in (100, 200, 300):
        for replica in (0, 1):
            losses = [f"{1 + 10 / step + replica + phase}" for phase in range(len(PHASES[method]))]
            lines.append(",".join([str(step), str(replica), *losses, "0.001"]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def study() -> Study:
    """Every figure, of a VAE, an AVB and an AAE."""
    every = {"experiments": dict(LABELLED)}
    return Study(
        Path("own.yaml"),
        "pocket",
        {
            "datasets": {"four_points": {"binarisation": "none"}},
            "experiments": {
                f"{method}-run": {
                    "method": method,
                    "dataset": "four_points",
                    "training": {"phases": dict.fromkeys(phases)},
                }
                for method, phases in PHASES.items()
            },
            "tables": {},
            "figures": {
                "avb-figure-2": {"datasets": ["four_points"]},
                "avb-figure-3": every,
                "avb-figure-4": every,
                "avb-theory": {"experiments": {"AVB": "avb-run"}},
                "reconstructions": every,
                "training-curves": every,
            },
        },
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs` and `processed`; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    for method in PHASES:
        run = folder / "runs" / f"{method}-run"
        write_npz(run / "arrays.npz", arrays_of(method))
        write_text(run / "history.csv", history_of(method))
        names = ("adversary_log_ratio_rms", "adversary_pmi_rms")
        write_json(
            run / "metrics.json", {"metrics": {name: {"replicas": [0.25, 9.0]} for name in names}}
        )
    processed = folder / "processed"
    prepare(
        "four_points",
        folder / "raw",
        processed / "four_points.npz",
        processed / "four_points.json",
    )
    return folder


@pytest.fixture
def sources(study: Study, made: Path) -> dict[str, Sources]:
    """By figure, what it is drawn from."""
    return {
        name: Sources(name, study, made / "runs", made / "processed")
        for name in study.content["figures"]
    }
