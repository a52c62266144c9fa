"""What the training loop knows of a method: named phases, each a loss and what it updates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from aebayes.streams import Streams

Loss = Callable[[Tensor, Streams], Tensor]


@dataclass(frozen=True)
class Phase:
    """One loss and the networks whose parameters it updates.

    Args:
        name: as the paper calls it; the key of its optimiser in the config and its column in the
            history.
        loss: (x (R, B, X), streams) -> (R,), the mean over the batch for each replica.
        networks: what its optimiser updates; every other parameter is held.
    """

    name: str
    loss: Loss
    networks: Sequence[nn.Module]

    def parameters(self) -> list[nn.Parameter]:
        """The parameters it updates, in a fixed order."""
        return [parameter for network in self.networks for parameter in network.parameters()]


class Method(nn.Module):
    """A training algorithm: its networks, and its phases in the order of the paper's algorithm.

    A method is made from its experiment's settings, the number of pixels and of replicas.
    `model` is what evaluation sees; further networks (an adversary) are the method's own.
    `estimates_log_ratio` says that `adversary(x, z)` estimates log q(z|x) − log p(z).
    """

    model: nn.Module
    estimates_log_ratio = False

    def phases(self) -> list[Phase]:
        """The phases of one step, in order."""
        raise NotImplementedError
