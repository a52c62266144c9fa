"""Tensors on disk: safetensors, whole files, nothing executed."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aebayes.files import write_bytes

UNREADABLE = (SafetensorError, OSError, KeyError, ValueError)
SEAL = "sha256"


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict, sealed: bool = False) -> None:
    """Write tensors and a JSON header as safetensors, atomically, the same bytes for equal values.

    The header is one metadata entry: safetensors writes several in an arbitrary order.

    Args:
        sealed: the header holds a hash of itself and the tensors, which `load_tensors` checks: for
            a file of which no record tells.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if sealed:
        about = about | {SEAL: hashlib.sha256(to_bytes(content, about)).hexdigest()}
    write_bytes(path, to_bytes(content, about))


def to_bytes(tensors: dict[str, Tensor], about: dict) -> bytes:
    """Tensors and a JSON header as safetensors."""
    return save(tensors, metadata={"aebayes": json.dumps(about, sort_keys=True)})


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
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    if SEAL in about:
        sealed = {key: value for key, value in about.items() if key != SEAL}
        if hashlib.sha256(to_bytes(tensors, sealed)).hexdigest() != about[SEAL]:
            raise ValueError("it is not what was saved")
    return tensors, about


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors named `prefix.…`, without the prefix."""
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.")
    }
