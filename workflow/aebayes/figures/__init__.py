"""Figures: arrays, histories and datasets on disk in, PNG and PDF out. Nothing knows of torch.

To add a figure, write a function from `Sources` to a matplotlib figure and list it in `FIGURES`.
The drawing modules are imported only when one of their figures is drawn: rules that merely ask for
a figure's inputs should not pay for matplotlib.
"""

import importlib
from dataclasses import dataclass, field
from pathlib import Path

from aebayes.config import Study
from aebayes.errors import AebayesError


@dataclass(frozen=True)
class Figure:
    """Where a figure is drawn, and from what.

    Args:
        draw: `module:function` under aebayes.figures.
        needs: the key of the figure's entry in the study without which it cannot be drawn.
        shows_data: it reads its experiments' datasets, too.
        asks: of each of its experiments, settings by their dotted keys: a value, several of which
            one will do, `...` for any, None for none.
        single: it shows one of what it needs.
    """

    draw: str
    needs: str
    shows_data: bool
    asks: dict[str, object] = field(default_factory=dict)
    single: bool = False


EXACT, SAMPLED, CLASSES = ({"evaluation.kind": kind} for kind in ("exact", "sampled", "classes"))
PLANE = {"model.latent": 2}
HAS_ENCODER = {"model.encoder": ...}
LIKELIHOOD = SAMPLED | {"evaluation.importance_samples": ...}
NOT_TOLD = {"model.decoder.classes": None}
SPREAD = ("gaussian", "noise", "basis_noise", "flow", "auxiliary")  # q(z|x) that is no point

FIGURES: dict[str, Figure] = {
    "aae-figure-2": Figure(
        "planes:draw_planes", "experiments", True, SAMPLED | PLANE | HAS_ENCODER | NOT_TOLD
    ),
    "aae-figure-4": Figure(
        "planes:draw_class_planes",
        "experiments",
        True,
        SAMPLED | PLANE | NOT_TOLD | {"model.prior.classes": ...},
    ),
    "aae-figure-5": Figure("images:draw_nearest", "experiments", True, SAMPLED),
    "aae-figure-7": Figure(
        "images:draw_styles", "experiments", True, SAMPLED | {"model.decoder.classes": ...}
    ),
    "aae-figure-9": Figure(
        "classes:draw_clusters", "experiments", True, CLASSES | {"model.decoder": ...}
    ),
    "aae-figure-11": Figure(
        "classes:draw_embeddings",
        "experiments",
        True,
        CLASSES | PLANE | {"model.decoder.heads_apart": ...},
    ),
    "aae-learning-curves": Figure(
        "classes:draw_error_rates", "experiments", True, {"training.track": ...}
    ),
    "avb-figure-2": Figure("images:draw_data", "datasets", True, single=True),
    "avb-figure-3": Figure("codes:draw_codes", "experiments", True, EXACT),
    "avb-figure-4": Figure("images:draw_samples", "experiments", True, SAMPLED),
    "avb-figure-5": Figure("images:draw_samples", "experiments", True, SAMPLED),
    "avb-figure-6": Figure(
        "images:draw_interpolations",
        "experiments",
        True,
        SAMPLED | {"evaluation.interpolations": ...},
    ),
    "avb-objectives": Figure("curves:draw_objectives", "experiments", False, EXACT),
    "avb-posteriors": Figure(
        "posteriors:draw_encoded",
        "experiments",
        True,
        LIKELIHOOD | PLANE | NOT_TOLD | {"model.encoder.kind": SPREAD},
    ),
    "avb-theory": Figure(
        "theory:draw_theory", "experiments", True, EXACT | {"method": "avb"}, single=True
    ),
    "divergences": Figure(
        "divergences:draw_divergences",
        "experiments",
        True,
        SAMPLED | {"dataset": "two_modes"},
        single=True,
    ),
    "iwae-bounds": Figure("bounds:draw_bounds", "experiments", False, LIKELIHOOD),
    "iwae-posteriors": Figure(
        "posteriors:draw_resampled",
        "experiments",
        True,
        LIKELIHOOD | PLANE | NOT_TOLD | {"model.encoder.kind": "gaussian"},
    ),
    "iwae-samples": Figure("images:draw_samples_in_rows", "experiments", True, SAMPLED),
    "iwae-units": Figure(
        "units:draw_units",
        "experiments",
        False,
        SAMPLED | NOT_TOLD | {"model.encoder.kind": ("gaussian", "two_layer")},
    ),
    "reconstructions": Figure(
        "images:draw_reconstructions", "experiments", True, SAMPLED | HAS_ENCODER | NOT_TOLD
    ),
    "training-curves": Figure("curves:draw_curves", "experiments", False),
}


def figure_of(name: str, study: Study) -> Figure:
    """The figure of that name, if it exists and the study has it with what it needs.

    Raises:
        AebayesError: it does not, or the study has not; names those that do.
    """
    if name not in FIGURES:
        where = f"{study.path}: " if name in study.content["figures"] else ""
        raise AebayesError(f"{where}unknown figure {name!r}", f"use one of: {', '.join(FIGURES)}")
    if name not in study.content["figures"]:
        known = ", ".join(study.content["figures"]) or "none"
        raise AebayesError(
            f"{study.path} has no figure {name!r}", f"use one of its figures ({known}), or add it"
        )
    figure = FIGURES[name]
    entry = study.content["figures"][name]
    shown = entry.get(figure.needs)
    if not shown:
        raise AebayesError(
            f"{study.path}: figures.{name} has no {figure.needs}", f"name its {figure.needs}"
        )
    for other in sorted(entry.keys() - {figure.needs}):
        raise AebayesError(
            f"{study.path}: figures.{name}.{other}: the figure shows {figure.needs} alone",
            "leave that key out",
        )
    if figure.single and len(shown) > 1:
        raise AebayesError(
            f"{study.path}: figures.{name} shows one of {figure.needs}, not {len(shown)}: "
            f"{', '.join(shown)}",
            "keep one of them",
        )
    return figure


def check_suited(study: Study) -> None:
    """Find out before anything is trained whether the study's experiments make what figures show.

    Raises:
        AebayesError: names the first that does not, and the figure.
    """
    for name in study.figures:
        check_figure(name, study)


def check_figure(name: str, study: Study) -> None:
    """`check_suited` of one figure."""
    asks = figure_of(name, study).asks
    for label, experiment in study.figures[name].get("experiments", {}).items():
        for key, wanted in asks.items():
            found = setting(study.experiment(experiment), key)
            if fits(found, wanted):
                continue
            has = f"no {key}" if found is None else f"{key}: {found}"
            raise AebayesError(
                f"{study.path}: figures.{name}.experiments.{label}: {experiment} has {has}, "
                f"and the figure shows experiments with {in_words(wanted)}",
                "name another experiment, change it, or leave the figure out",
            )


def fits(found: object, wanted: object) -> bool:
    """Whether a setting, None where there is none, is as a figure asks."""
    if wanted is ...:
        return found is not None
    return found in wanted if isinstance(wanted, tuple) else found == wanted


def in_words(wanted: object) -> str:
    """What a figure asks of a setting."""
    if isinstance(wanted, tuple):
        return " or ".join(map(str, wanted))
    return {...: "one", None: "none"}.get(wanted, str(wanted))


def setting(experiment: dict, key: str) -> object:
    """What an experiment has under a dotted key; None if it has nothing there."""
    value = experiment
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def inputs(name: str, study: Study) -> tuple[list[str], list[str]]:
    """The experiments whose run files, and the datasets whose npz and card, the figure reads.

    Those alone that can be had.

    Raises:
        AebayesError: the figure is unknown, or the study lacks it or what it needs.
    """
    figure = figure_of(name, study)
    entry = study.content["figures"][name]
    experiments = study.present(entry.get("experiments", {}).values())
    read = datasets_of(name, study) if figure.shows_data else entry.get("datasets", [])
    return experiments, [dataset for dataset in dict.fromkeys(read) if dataset not in study.absent]


def datasets_of(name: str, study: Study) -> list[str]:
    """The datasets that the figure names, and those of its experiments; some may be absent."""
    entry = study.content["figures"][name]
    trained = [study.experiment(each)["dataset"] for each in entry.get("experiments", {}).values()]
    return list(dict.fromkeys([*entry.get("datasets", []), *trained]))


def make_figure(name: str, study: Study, runs: Path, processed: Path, out: Path) -> None:
    """Write <name>.png and <name>.pdf.

    Args:
        runs: the folder of all runs, usually results/<study>/runs.
        processed: the folder of prepared datasets, usually data/processed.
        out: the folder to write to.

    Raises:
        AebayesError: the figure is unknown, an input is missing or broken, or a file cannot be
            written.
    """
    module, function = figure_of(name, study).draw.split(":")
    draw = getattr(importlib.import_module(f"aebayes.figures.{module}"), function)
    sources = importlib.import_module("aebayes.figures.sources").Sources(
        name, study, runs, processed
    )
    style = importlib.import_module("aebayes.figures.style")
    foot = style.footer(study.name, datasets_of(name, study))
    absent = [dataset for dataset in datasets_of(name, study) if dataset in study.absent]
    if absent:
        foot += f", without {', '.join(absent)}"
    with style.applied():
        found = dict(zip(("experiments", "datasets"), inputs(name, study), strict=True))
        nothing = absent and not found[FIGURES[name].needs]
        figure = style.blank(f"{', '.join(absent)}: not here") if nothing else draw(sources)
        style.save(figure, foot, out / name)
