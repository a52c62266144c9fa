"""The discriminators, as logits."""

from torch import Tensor, nn

from aebayes.networks.convolutions import Shape, make_reader
from aebayes.networks.layers import MLP
from aebayes.networks.normal import aligned, beside


class JointAdversary(nn.Module):
    """T(x, z) = ⟨f(x), g(z)⟩ / √F: one net on x, one on z, joined by an inner product.

    AVB section 6.1. Dividing by √F, F the number of features, keeps T near 0 at step 0 whatever F;
    the last layers' biases let either net act alone.

    Args:
        settings: of both nets; with `convolutions` the one on x has those before its hidden layers;
            with `code_hidden` the one on z has hidden layers of its own.
    """

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        features, activation = settings["features"], settings["activation"]
        self.scale = features**-0.5
        self.data_network = make_reader(replicas, shape, features, settings)
        hidden = settings.get("code_hidden", settings["hidden"])
        self.code_network = MLP(replicas, [latent, *hidden, features], activation)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        f, g = self.data_network(x).float(), self.code_network(z).float()
        f = f.view(f.shape[:1] + (1,) * (g.dim() - f.dim()) + f.shape[1:])
        return self.scale * (f * g).sum(-1)


class ProjectedAdversary(nn.Module):
    """T(x, z): one net on x, which takes z into every hidden layer by a learned projection.

    AVB section 6.2, for faces.

    Args:
        settings: of the net; convolutional if it has `convolutions`.
    """

    def __init__(self, replicas: int, shape: Shape, latent: int, settings: dict):
        super().__init__()
        self.network = make_reader(replicas, shape, 1, settings, latent)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        x = aligned(x, z).expand(*z.shape[:-1], -1)
        return self.network(x, side=z).float().squeeze(-1)


ADVERSARIES = {"inner_product": JointAdversary, "projected": ProjectedAdversary}


class CodeAdversary(nn.Module):
    """T(z), blind to x: the AAE's discriminator, and AVB's under section 5.2's restriction.

    Args:
        told: further inputs beside the code, such as a label in one-hot form.
    """

    def __init__(self, replicas: int, latent: int, settings: dict, told: int = 0):
        super().__init__()
        sizes = [latent + told, *settings["hidden"], 1]
        self.network = MLP(replicas, sizes, settings["activation"])

    def forward(self, x: Tensor, z: Tensor, *told: Tensor) -> Tensor:
        """(R, B, X), of which nothing is read, (R, ..., B, Z), (R, B, told) -> (R, ..., B)."""
        if told:
            z = beside(z, told[0])
        return self.network(z).float().squeeze(-1)
