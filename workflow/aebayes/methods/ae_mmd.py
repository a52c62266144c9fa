"""An autoencoder whose codes are matched to the prior by maximum mean discrepancy.

What Makhzani et al. 2015 (arXiv:1511.05644), section 1, name as the alternative to their adversary:
the generative moment matching network's criterion as a regulariser of the aggregated posterior.
The reconstruction phase is the AAE's; in the regularisation phase the encoder lowers the
discrepancy itself.
"""

from torch import Tensor

from aebayes.kernels import mmd_squared
from aebayes.methods.base import Method, Phase
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.networks.convolutions import Shape


class MMDAutoEncoder(Method):
    """Encoder and decoder; nobody is trained against them."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = AutoEncoder(experiment["model"], shape, replicas)
        self.widths = experiment["objective"]["widths"]

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "reconstruction",
                self.reconstruction_loss,
                [self.model],
                self.draw_for_reconstruction,
            ),
            Phase("matching", self.matching_loss, [self.model.encoder], self.draw_noise_and_prior),
        ]

    def matching_loss(self, x: Tensor, noise: Tensor, prior: Tensor) -> Tensor:
        """MMD² between q(z) and p(z), without bias: (R, B, X) -> (R,)."""
        return mmd_squared(self.model.encoder(x, noise), prior, self.widths, unbiased=True)
