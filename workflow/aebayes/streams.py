"""One random stream per replica, so that no replica's numbers depend on its neighbours."""

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor


def replica_seed(seed: int, replica: int, purpose: str) -> int:
    """A 63-bit seed for one replica and one purpose, unrelated to every other pair's."""
    digest = hashlib.sha256(f"{seed}/{replica}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Streams:
    """Random numbers for R replicas; axis r of a draw comes from replica r's stream alone.

    Args:
        seed: the experiment's seed.
        replicas: which replicas, by number.
        purpose: "initialisation", "training" or "evaluation": separate streams.
    """

    def __init__(
        self, seed: int, replicas: Sequence[int], purpose: str, device: torch.device | str = "cpu"
    ):
        self.device = torch.device(device)
        self.generators = [
            torch.Generator(self.device).manual_seed(replica_seed(seed, replica, purpose))
            for replica in replicas
        ]

    def __len__(self) -> int:
        return len(self.generators)

    def only(self, replica: int) -> "Streams":
        """One replica's stream, by its place: what is drawn there is drawn here."""
        one = Streams(0, [], "", self.device)
        one.generators = [self.generators[replica]]
        return one

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws: (R, *shape)."""
        out = torch.empty(len(self), *shape, device=self.device)
        for part, generator in zip(out, self.generators, strict=True):
            part.normal_(generator=generator)
        return out

    def uniform(self, *shape: int) -> Tensor:
        """Draws from U[0, 1): (R, *shape)."""
        out = torch.empty(len(self), *shape, device=self.device)
        for part, generator in zip(out, self.generators, strict=True):
            part.uniform_(generator=generator)
        return out

    def classes(self, count: int, *shape: int) -> Tensor:
        """Draws from 0 … count − 1, uniformly: (R, *shape) int64."""
        return (count * self.uniform(*shape)).long().clamp(max=count - 1)

    def int16(self, *shape: int) -> Tensor:
        """Draws from all 65,536 values of int16, uniformly: (R, *shape)."""
        words = -(-math.prod(shape) // 4)
        out = torch.empty(len(self), words, dtype=torch.int64, device=self.device)
        for part, generator in zip(out, self.generators, strict=True):
            part.random_(-(2**63), None, generator=generator)  # all 64 bits
        return out.view(torch.int16)[:, : math.prod(shape)].unflatten(1, shape)

    def permutation(self, n: int) -> Tensor:
        """One permutation of 0 … n−1 per replica: (R, n)."""
        return torch.stack(
            [torch.randperm(n, generator=g, device=self.device) for g in self.generators]
        )

    def state(self) -> Tensor:
        """All generators' states: (R, bytes), for `load_state`."""
        return torch.stack([generator.get_state() for generator in self.generators])

    def load_state(self, state: Tensor) -> None:
        """Go on from where `state` was taken."""
        for generator, row in zip(self.generators, state, strict=True):
            generator.set_state(row.clone())
