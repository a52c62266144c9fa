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
POSTERIOR_KLS = {"vae": [0.13, 0.12], "avb": [0.02, 0.01], "aae": [0.06, 0.05]}
LABELLED = {"VAE": "vae-run", "AVB": "avb-run", "AAE": "aae-run"}
# By experiment: weighting, samples in the bound, latent units.
IWAES = {
    "vae-1-run": ("average", 1, 2),
    "iwae-50-run": ("importance", 50, 2),
    "vae-1-run-2l": ("average", 1, [6, 3]),
    "iwae-50-run-2l": ("importance", 50, [6, 3]),
}
BOUNDED = {
    "1 layer, VAE, k = 1": "vae-1-run",
    "1 layer, IWAE, k = 50": "iwae-50-run",
    "2 layers, VAE, k = 1": "vae-1-run-2l",
    "2 layers, IWAE, k = 50": "iwae-50-run-2l",
}
PLANES = {"VAE": "vae-1-run", "IWAE, k = 50": "iwae-50-run"}
CLUSTERS = {"AAE, 2 clusters": "classes-run"}
CODES = {"VAE": "vae-run", "AAE": "aae-run"}
IMAGES = (
    "samples",
    "images",
    "reconstructions",
    "manifold",
    "styles",
    "interpolations",
    "class_walk",
)


def arrays_of(method: str) -> dict[str, np.ndarray]:
    """What both kinds of evaluation write, made up."""
    random = np.random.default_rng(3)
    arrays = {
        "codes": random.normal(size=(2, 50, 4, 2)).astype(np.float32),
        **{
            name: random.uniform(size=(64, 4)).astype(np.float32)
            for name in ("samples", "reconstructions")
        },
        # Of values that half precision, which some runs are kept in, does not hold exactly.
        "images": np.eye(4, dtype=np.float32)[np.arange(64) % 4] / 3,
    }
    arrays |= {
        "test_codes": random.normal(size=(4, 2)),
        "prior_draws": random.normal(size=(30, 2)),
        "manifold_axis": np.linspace(-2, 2, 5),
        "manifold": random.uniform(size=(5, 5, 4)),
        "styles": random.uniform(size=(3, 4, 4)),
        "interpolations": random.uniform(size=(3, 5, 4)),
        "class_walk": random.uniform(size=(4, 5, 4)),
    }
    if method == "avb":
        for name in IMAGES:
            arrays[name] = arrays[name].astype(np.float16)
    if method == "classes":
        arrays |= {
            "heads": random.uniform(size=(2, 4)),
            "members": np.array([[0, 2, 3], [1, -1, -1]]),
            "embedding": random.normal(size=(4, 2)),
            "head_points": random.normal(size=(2, 2)),
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


def iwae_arrays_of(latent: int | list[int]) -> dict[str, np.ndarray]:
    """What sampled evaluation writes of a VAE or IWAE with one or two layers, made up."""
    random = np.random.default_rng(4)
    ks = np.array([1, 2, 5, 10])
    layers = [latent] if isinstance(latent, int) else latent
    arrays = arrays_of("iwae") | {
        "bounds_k": ks,
        "bounds": -3 + np.log(ks) / 4 + np.array([[0.0], [0.1]]),
        "bounds_error": np.full((2, len(ks)), 0.05),
    }
    for suffix, units in zip(("", "_2"), layers, strict=False):
        arrays[f"unit_variances{suffix}"] = 10.0 ** random.uniform(-5, 0, size=(2, units))
    return arrays | (posteriors() if latent == 2 else {})


def posteriors() -> dict[str, np.ndarray]:
    """Gaussians of three images on windows of their own."""
    axes = np.array([1.0, -2.0, 0.5])[:, None, None] + np.linspace(-2, 2, 41)
    axes = axes.repeat(2, 1)  # (n, 2, G)
    squares = (axes - axes.mean(-1, keepdims=True)) ** 2
    radii = squares[:, 0, :, None] + squares[:, 1, None]
    log_p, log_q = -radii / 0.18, -radii / 0.5
    return {
        "posterior_k": np.array([50]),
        "posterior_images": np.eye(4)[:3],
        "posterior_axes": axes,
        "posterior_log_p": log_p,
        "posterior_log_q": log_q,
        "posterior_log_q_iw": 0.9 * log_p + 0.1 * log_q,
        "posterior_kl_q": np.array([0.125, 0.25, 1.5]),
        "posterior_kl_q_iw": np.array([0.0625, 0.03, 0.01]),
    }


def iwae_of(weighting: str, samples: int, latent: int | list[int]) -> dict:
    """What a figure asks of a VAE or IWAE with so many samples in its bound."""
    return {
        "method": "iwae",
        "dataset": "four_points",
        "model": {"latent": latent},
        "objective": {"samples": samples, "weighting": weighting},
        "training": {"phases": {"bound": None}},
    }


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
    """Every figure, of a VAE, an AVB and an AAE, or of VAEs and IWAEs of one and two layers."""
    every = {"experiments": dict(LABELLED)}
    return Study(
        Path("own.yaml"),
        "pocket",
        {
            "datasets": {key: {"binarisation": "none"} for key in ("four_points", "two_modes")},
            "experiments": {
                f"{method}-run": {
                    "method": method,
                    "dataset": "four_points",
                    "objective": {},
                    "training": {"phases": dict.fromkeys(phases)},
                }
                for method, phases in PHASES.items()
            }
            | {name: iwae_of(*settings) for name, settings in IWAES.items()}
            | {
                "gan-run": {"method": "gan", "dataset": "two_modes"},
                "classes-run": {
                    "method": "categorical_aae",
                    "dataset": "four_points",
                    "objective": {},
                    "training": {"track": "test", "phases": {"generator": None}},
                },
            },
            "tables": {},
            "figures": {
                "aae-figure-2": {"experiments": dict(CODES)},
                "aae-figure-4": {"experiments": dict(CODES)},
                "aae-figure-5": every,
                "aae-figure-7": {"experiments": dict(CODES)},
                "aae-figure-9": {"experiments": dict(CLUSTERS)},
                "aae-figure-11": {"experiments": dict(CLUSTERS)},
                "aae-learning-curves": {"experiments": dict(CLUSTERS)},
                "avb-figure-2": {"datasets": ["four_points"]},
                "avb-figure-3": every,
                "avb-figure-4": every,
                "avb-figure-5": every,
                "avb-figure-6": {"experiments": dict(CODES)},
                "avb-objectives": {"experiments": {"VAE": "vae-run", "AVB": "avb-run"}},
                "avb-theory": {"experiments": {"AVB": "avb-run"}},
                "divergences": {"experiments": {"GAN": "gan-run"}},
                "iwae-bounds": {"experiments": dict(BOUNDED)},
                "avb-posteriors": {
                    "experiments": dict(zip(("VAE", "AVB + AC"), PLANES.values(), strict=True))
                },
                "iwae-posteriors": {"experiments": dict(PLANES)},
                "iwae-samples": {"experiments": dict(PLANES)},
                "iwae-units": {"experiments": dict(BOUNDED)},
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
        metrics = {name: {"replicas": [0.25, 9.0]} for name in names}
        metrics["posterior_kl"] = {"replicas": POSTERIOR_KLS[method]}
        write_json(run / "metrics.json", {"metrics": metrics})
    for name, (_, _, latent) in IWAES.items():
        write_npz(folder / "runs" / name / "arrays.npz", iwae_arrays_of(latent))
    write_npz(folder / "runs" / "classes-run" / "arrays.npz", arrays_of("classes"))
    lines = [
        f"{step},{replica},{50 - step // 10 + replica}" for step in (100, 300) for replica in (0, 1)
    ]
    text = "\n".join(["step,replica,error", *lines])
    write_text(folder / "runs" / "classes-run" / "history.csv", f"{text}\n")
    samples = np.random.default_rng(5).normal(0.3, 0.06, (50, 1))
    write_npz(folder / "runs" / "gan-run" / "arrays.npz", {"samples": samples})
    processed = folder / "processed"
    for name in ("four_points", "two_modes"):
        prepare(name, folder / "raw", processed / f"{name}.npz", processed / f"{name}.json")
    return folder


@pytest.fixture
def sources(study: Study, made: Path) -> dict[str, Sources]:
    """By figure, what it is drawn from."""
    return {
        name: Sources(name, study, made / "runs", made / "processed")
        for name in study.content["figures"]
    }
