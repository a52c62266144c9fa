"""AVB with its adversary restricted to T(z): the AAE, as AVB's paper sees it (section 5.2).

The same two phases and losses as AVB's; an adversary that does not see x can only tell the
aggregated posterior from the prior, so that at its optimum T* = log q(z) − log p(z), and encoder
and decoder together descend E_q[T(z) − log p(x|z)]. The AAE of its own paper takes the two terms
in separate phases, each with its own optimiser.
"""

from aebayes.methods.avb import AVB
from aebayes.networks.adversaries import CodeAdversary
from aebayes.networks.convolutions import Shape


class RestrictedAVB(AVB):
    """Black-box encoder, decoder, and the adversary T(z)."""

    estimates_log_ratio = False

    def make_adversary(self, experiment: dict, shape: Shape, replicas: int) -> CodeAdversary:
        """T(z), which ignores x."""
        return CodeAdversary(replicas, self.model.latent, experiment["adversary"])
