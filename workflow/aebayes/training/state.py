"""An optimiser's state as named tensors, and back."""

from torch import Tensor

from aebayes.tensors import part_of
from aebayes.training.optimisers import Optimiser


def optimiser_state(optimiser: Optimiser, prefix: str) -> dict[str, Tensor]:
    """An optimiser's tensors, named by parameter number: `prefix.3.exp_avg`."""
    return {
        f"{prefix}.{number}.{key}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
        if value is not None
    }


def load_optimiser_state(optimiser: Optimiser, prefix: str, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimiser_state`."""
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part_of(tensors, prefix).items():
        number, key = name.split(".")
        entries.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict(
        {"state": entries, "param_groups": optimiser.state_dict()["param_groups"]}
    )
