"""An experiment's settings: which of them training depends on, and where two differ."""


def with_steps(experiment: dict, images: int) -> dict:
    """The experiment with `training.epochs`, if that is what it gives, turned into `steps`."""
    training = dict(experiment["training"])
    if "epochs" in training:
        training["steps"] = training.pop("epochs") * max(1, images // training["batch"])
    return {**experiment, "training": training}


def without_evaluation(experiment: dict) -> dict:
    """What training depends on."""
    return {key: value for key, value in experiment.items() if key != "evaluation"}


def first_difference(found: dict, expected: dict, key: str = "") -> str | None:
    """Where two settings first differ, in words; None if they are equal."""
    for name in sorted({*found, *expected}):
        here, there = found.get(name), expected.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            inside = first_difference(here, there, f"{key}{name}.")
            if inside:
                return inside
        elif here != there:
            return f"{key}{name} is {here!r} there and {there!r} in the study"
    return None
