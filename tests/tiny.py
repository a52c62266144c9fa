"""A study small enough for a test: every method, a few steps, real data."""

import copy
from pathlib import Path

import yaml

ADAM = {
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "betas": [0.5, 0.999],
    "epsilon": 1e-8,
    "schedule": "late_decay",
    "repeats": 1,
}
# Smooth: where all of a few ReLUs are off, q(z|x) would have an atom, and no density.
LAYERS = {"hidden": [8], "activation": "tanh"}
MODEL = {
    "latent": 2,
    "encoder": {"kind": "gaussian", **LAYERS},
    "decoder": LAYERS,
    "likelihood": "bernoulli",
    "initialisation": "glorot_uniform",
    "output_bias": "zero",
}
TRAINING = {
    "seed": 1,
    "replicas": 2,
    "batch": 16,
    "steps": 60,
    "precision": "float32",
    "compile": False,
    "threads": 1,
    "log_every": 7,
}
NOISE = {"kind": "noise", "noise": 3, **LAYERS}
EXPERIMENTS = {
    "vae": {
        "method": "vae",
        "model": MODEL,
        "objective": {"kl": "analytic", "samples": 1},
        "training": TRAINING | {"phases": {"bound": ADAM}},
    },
    "vae_auxiliary": {
        "method": "vae",
        "model": MODEL | {"encoder": {"kind": "auxiliary", "auxiliary": 3, **LAYERS}},
        "objective": {"kl": "monte_carlo", "samples": 1},
        "training": TRAINING | {"phases": {"bound": ADAM}},
    },
    "iwae": {
        "method": "iwae",
        "model": MODEL,
        "objective": {
            "samples": 4,
            "weighting": "importance",
            "gradient": "doubly_reparameterised",
            "draws": 2,
        },
        "training": TRAINING | {"phases": {"bound": ADAM}},
    },
    "avb": {
        "method": "avb",
        "model": MODEL | {"encoder": NOISE},
        "objective": {},
        "adversary": LAYERS | {"features": 8},
        "training": TRAINING | {"phases": {"bound": ADAM, "adversary": ADAM | {"repeats": 2}}},
    },
    "avb_together": {
        "method": "avb",
        "model": MODEL
        | {
            "encoder": {
                "kind": "basis_noise",
                "basis": 4,
                "noise": 3,
                "basis_hidden": [8],
                **LAYERS,
            }
        },
        "objective": {"adaptive_contrast": True, "contrast_correlations": True, "warm_up": 0.5},
        "adversary": LAYERS | {"features": 8},
        "training": TRAINING | {"phases": {"bound": ADAM, "adversary": ADAM}, "simultaneous": True},
    },
    "avb_restricted": {
        "method": "avb_restricted",
        "model": MODEL | {"encoder": NOISE},
        "objective": {},
        "adversary": LAYERS,
        "training": TRAINING | {"phases": {"bound": ADAM, "adversary": ADAM}},
    },
    "aae": {
        "method": "aae",
        "model": MODEL | {"encoder": NOISE},
        "objective": {"generator_loss": "kl"},
        "adversary": LAYERS,
        "training": TRAINING
        | {"phases": dict.fromkeys(("reconstruction", "discriminator", "generator"), ADAM)},
    },
    "aae_style": {
        "method": "aae",
        "model": MODEL
        | {"encoder": {"kind": "deterministic", **LAYERS}, "decoder": LAYERS | {"classes": 10}},
        "objective": {"generator_loss": "non_saturating"},
        "adversary": LAYERS,
        "training": TRAINING
        | {"phases": dict.fromkeys(("reconstruction", "discriminator", "generator"), ADAM)},
    },
    "ae_mmd": {
        "method": "ae_mmd",
        "model": MODEL | {"encoder": NOISE},
        "objective": {"widths": [0.5, 2.0]},
        "training": TRAINING | {"phases": dict.fromkeys(("reconstruction", "matching"), ADAM)},
    },
    "gan": {
        "method": "gan",
        "model": {key: value for key, value in MODEL.items() if key != "encoder"},
        "objective": {"generator_loss": "minimax"},
        "adversary": LAYERS,
        "training": TRAINING | {"phases": dict.fromkeys(("discriminator", "generator"), ADAM)},
    },
    "gmmn": {
        "method": "gmmn",
        "model": MODEL
        | {
            "encoder": {"kind": "deterministic", "code": "sigmoid", **LAYERS},
            "prior": {"kind": "learned", "noise": 3, **LAYERS},
        },
        "objective": {"widths": [0.2, 1.0]},
        "training": TRAINING | {"phases": dict.fromkeys(("reconstruction", "matching"), ADAM)},
    },
}
CLASSES = {"hidden": [8], "activation": "relu", "classes": 10}
EXPERIMENTS |= {
    "categorical_aae": {
        "method": "categorical_aae",
        "model": MODEL | {"encoder": {"kind": "class_and_style", "batch_norm": True, **CLASSES}},
        "objective": {
            "generator_loss": "non_saturating",
            "labelled": 30,
            "distortion": {"rotation": 10, "shift": 0.5},
            "input_noise": 0.1,
        },
        "adversary": LAYERS,
        "training": TRAINING
        | {
            "track": "test",
            "phases": dict.fromkeys(
                ("reconstruction", "discriminator", "generator", "classification"), ADAM
            ),
        },
        "evaluation": {"kind": "classes"},
    },
    "m2": {
        "method": "m2",
        "model": MODEL | {"encoder": {"kind": "class_then_style", **CLASSES}},
        "objective": {"labelled": 30, "alpha": 0.5},
        "training": TRAINING | {"phases": {"bound": ADAM}},
        "evaluation": {"kind": "classes"},
    },
    "classifier": {
        "method": "classifier",
        "model": {
            "encoder": {"kind": "classifier", **CLASSES},
            "initialisation": "glorot_uniform",
        },
        "objective": {"labelled": 30},
        "training": TRAINING | {"phases": {"classification": ADAM}},
        "evaluation": {"kind": "classes"},
    },
}
EVALUATIONS = {
    "four_points": {"kind": "exact", "grid": 121, "codes": 200, "density_codes": 20000},
    "digits": {"kind": "sampled", "importance_samples": 5},
}


def experiment(method: str = "vae", dataset: str = "four_points", **training: object) -> dict:
    """A resolved experiment, as `Study.experiment` gives it."""
    return {"name": f"{method}-test", "binarisation": "none"} | entry(method, dataset, **training)


def entry(method: str, dataset: str, **training: object) -> dict:
    """An experiment as a study's file holds it."""
    settings = {"evaluation": EVALUATIONS[dataset]} | copy.deepcopy(EXPERIMENTS[method])
    settings["dataset"] = dataset
    settings["training"] |= training
    return settings


def study(**changes: object) -> dict:
    """The content of a study: VAE, AVB and AAE on the four points, a VAE on digits."""
    labels = {"VAE": "vae-four-points", "AVB": "avb-four-points", "AAE": "aae-four-points"}
    return {
        "name": "tiny",
        "description": "for tests",
        "datasets": {
            "four_points": {"binarisation": "none"},
            "digits": {"binarisation": "dynamic"},
        },
        "experiments": {name: entry(name[:3], "four_points") for name in labels.values()}
        | {"vae-digits": entry("vae", "digits")},
        "tables": {"avb-table-1": {"experiments": labels}},
        "figures": {"avb-figure-3": {"experiments": labels}},
    } | changes


def write(path: Path, content: dict | None = None) -> Path:
    """Write a study's file."""
    path.write_text(yaml.safe_dump(content or study(), sort_keys=False))
    return path
