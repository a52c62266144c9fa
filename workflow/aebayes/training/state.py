"""Resume state: everything the next step depends on, in one file replaced atomically."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aebayes.files import write_bytes


def optimiser_state(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """An optimiser's tensors, named by parameter number: `prefix.3.exp_avg`."""
    return {
        f"{prefix}.{number}.{key}": value
        for number, entry in optimiser.state_dict()["state"].items()
        for key, value in entry.items()
        if value is not None
    }


def load_optimiser_state(
    optimiser: torch.optim.Optimizer, prefix: str, tensors: dict[str, Tensor]
) -> None:
    """The inverse of `optimiser_state`."""
    entries: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(f"{prefix}."):
            number, key = name.removeprefix(f"{prefix}.").split(".")
            entries.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict(
        {"state": entries, "param_groups": optimiser.state_dict()["param_groups"]}
    )


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Write tensors and a JSON header as safetensors, atomically, the same bytes for equal values.

    The header is one metadata entry: safetensors writes several in an arbitrary order.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(content, metadata={"aebayes": json.dumps(about, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read what `save_tensors` wrote.

    Raises:
        SafetensorError, OSError, KeyError, ValueError: it is not such a file, or not whole.
    """
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["aebayes"])
        return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118


UNREADABLE = (SafetensorError, OSError, KeyError, ValueError)
