"""A study of every table with hand-made metrics: numbers whose differences are known."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aebayes.config import Study
from aebayes.files import write_json

EXACT = {"kind": "exact", "grid": 100, "codes": 100}
SAMPLED = {"kind": "sampled", "importance_samples": 5000}
GREY = {"binarisation": "none", "model": {"likelihood": "bernoulli"}}
PLAIN = {"model": {"latent": 8, "decoder": {"hidden": [30]}}}
WINDOWS = {**SAMPLED, "parzen_samples": 10_000}
LABELLED = {"100 labels, AAE": "aae-100-labels-mnist"}
CLUSTERS = {"AAE, 16 clusters": "aae-16-clusters-mnist"}
PLANES = {
    "2-D, 1000 labels": "aae-plane-1000-labels-mnist",
    "2-D, 20 clusters": "aae-plane-20-clusters-mnist",
}
PRUNED = {**SAMPLED, "pruned_images": 1000}


def experiment(method: str, dataset: str = "four_points", evaluation: dict = EXACT) -> dict:
    """What a table asks of an experiment."""
    training = {"seed": 1, "precision": "bfloat16"}
    return {
        "method": method,
        "dataset": dataset,
        "objective": {},
        "evaluation": evaluation,
        "training": training,
    }


@pytest.fixture
def study() -> Study:
    """VAE, AVB and AAE on the four points, a VAE on MNIST; VAEs and IWAEs on MNIST and OMNIGLOT."""
    switched = {**experiment("iwae", "mnist", PRUNED), "start_from": "vae-1-mnist"}
    return Study(
        Path("own.yaml"),
        "own",
        {
            "datasets": {
                "four_points": {"binarisation": "none"},
                "mnist": {"binarisation": "dynamic"},
                "omniglot_drawings": {"binarisation": "dynamic"},
            },
            "experiments": {
                "vae": experiment("vae"),
                "avb": experiment("avb"),
                "aae": experiment("avb_restricted"),
                "vae-mnist": {**experiment("vae", "mnist", SAMPLED), **PLAIN},
                "aae-grey-mnist": {**experiment("aae", "mnist", WINDOWS), **GREY},
                "vae-grey-mnist": {**experiment("vae", "mnist", WINDOWS), **GREY},
                "vae-1-mnist": experiment("iwae", "mnist", PRUNED),
                "iwae-50-mnist-2l": experiment("iwae", "mnist", PRUNED),
                "vae-1-omniglot": experiment("iwae", "omniglot_drawings", PRUNED),
                "vae-1-then-iwae-50-mnist": switched,
                **{
                    name: {
                        **experiment("categorical_aae", "mnist", {"kind": "classes"}),
                        "binarisation": "none",
                    }
                    for name in (*LABELLED.values(), *CLUSTERS.values(), *PLANES.values())
                },
            },
            "tables": {
                "aae-dimensionality": {"experiments": dict(PLANES)},
                "aae-table-2": {"experiments": dict(LABELLED)},
                "aae-table-3": {"experiments": dict(CLUSTERS)},
                "aae-match": {"experiments": {"AAE": "aae-grey-mnist", "VAE": "vae-grey-mnist"}},
                "aae-selection": {"experiments": dict(LABELLED)},
                "aae-table-1": {"experiments": {"AAE": "aae-grey-mnist", "VAE": "vae-grey-mnist"}},
                "avb-faces": {"experiments": {"VAE, z = 8": "vae-mnist"}},
                "avb-table-1": {"experiments": {"VAE": "vae", "AVB": "avb", "AAE": "aae"}},
                "avb-table-2": {"experiments": {"VAE, z = 8": "vae-mnist"}},
                "image-likelihoods": {"experiments": {"VAE, IWAE nets": "vae-mnist"}},
                "iwae-table-1": {
                    "experiments": {
                        "MNIST, 1 layer, VAE, k = 1": "vae-1-mnist",
                        "MNIST, 2 layers, IWAE, k = 50": "iwae-50-mnist-2l",
                        "OMNIGLOT, 1 layer, VAE, k = 1": "vae-1-omniglot",
                    }
                },
                "iwae-table-2": {
                    "experiments": {
                        "VAE, k = 1": "vae-1-mnist",
                        "continued as IWAE, k = 50": "vae-1-then-iwae-50-mnist",
                    }
                },
            },
            "figures": {},
        },
    )


def metric(mean: float | None, sd: float | None = None) -> dict:
    """A metric as metrics.json holds it; of two replicas."""
    return {"unit": "nats/image", "replicas": [mean, mean], "mean": mean, "sd": sd}


@pytest.fixture
def evaluate(study: Study, tmp_path: Path) -> Callable[..., Path]:
    """Write an experiment's metrics.json; further facts replace the study's own."""

    def write(name: str, metrics: dict[str, dict], **facts: object) -> Path:
        settings = study.experiment(name)
        content = {
            "experiment": name,
            **{key: settings[key] for key in ("method", "dataset", "evaluation")},
            "metrics": metrics,
            **facts,
        }
        path = tmp_path / "runs" / name / "metrics.json"
        write_json(path, content)
        return path

    return write


@pytest.fixture
def four_points(evaluate: Callable[..., Path]) -> None:
    """Metrics of the four-point runs."""
    for name, likelihood, kl in (
        ("vae", metric(-1.58, 0.01), metric(0.16, 0.03)),
        ("avb", metric(-1.41234567, 0.002), metric(0.07, 0.04)),
        ("aae", metric(-1.43, 0.02), metric(None)),
    ):
        more = {"elbo_adversary": metric(-1.42, 0.01)} if name == "avb" else {}
        elbo = metric(None) if name == "aae" else metric(-1.7, 0.01)
        evaluate(
            name,
            {
                "log_likelihood": likelihood,
                "reconstruction": metric(0.02, 0.0),
                "reconstruction_per_pixel": metric(0.005, 0.0),
                "elbo": elbo,
                "prior_kl": metric(0.0, 0.001),
                "posterior_kl": kl,
                **more,
            },
        )
