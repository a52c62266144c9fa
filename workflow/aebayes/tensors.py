"""Tensors on disk: safetensors, whole files, nothing executed."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aebayes.files import write_bytes

UNREADABLE = (SafetensorError, OSError, KeyError, ValueError)


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict) -> None:
    """Write tensors and a JSON header as safetensors, atomically, the same bytes for equal values.

    The header is one metadata entry: safetensors writes several in an arbitrary order.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(content, metadata={"aebayes": json.dumps(about, sort_keys=True)}))


def load_tensors(path: Path, keys: set[str]) -> tuple[dict[str, Tensor], dict]:
    """Read what `save_tensors` wrote.

    Args:
        keys: what its header must have; it tells a checkpoint from a resume state.

    Raises:
        SafetensorError, OSError, KeyError, ValueError: it is not such a file, or not whole.
    """
    with safe_open(path, framework="pt") as file:
        about = json.loads((file.metadata() or {})["aebayes"])
        if not isinstance(about, dict) or not keys <= about.keys():
            raise ValueError(f"its header lacks one of {', '.join(sorted(keys))}")
        # Copies, which lie in memory as what was saved did: products of others can round otherwise.
        return {name: file.get_tensor(name).clone() for name in file.keys()}, about  # noqa: SIM118


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors named `prefix.…`, without the prefix."""
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
