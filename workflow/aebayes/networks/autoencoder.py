"""Prior, decoder and, where there is one, encoder: all that evaluation knows of a model."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from aebayes.networks.convolutions import Shape, make_writer
from aebayes.networks.encoders import ENCODERS
from aebayes.networks.layers import Linear
from aebayes.networks.likelihoods import make_likelihood
from aebayes.networks.normal import aligned, beside
from aebayes.networks.priors import ClassAndStyle, make_prior
from aebayes.streams import Streams

# IWAE's code clips the training mean to this range before taking its logit.
MEAN_RANGE = (0.001, 0.999)


class ClusterHeads(nn.Module):
    """W_C y + z, the low-dimensional representation of a code (y, z).

    Makhzani et al. 2015, section 6: each class has its cluster head, a row of W_C. Its parameters
    are heads in units of `apart`: Adam takes no longer to move them where that is far.

    Args:
        prior: of the codes, which knows their parts.
        apart: the distance below which two heads repel each other.
    """

    def __init__(self, replicas: int, prior: ClassAndStyle, apart: float):
        super().__init__()
        self.parts, self.apart = prior.parts, apart
        self.heads = Linear(replicas, prior.classes, prior.style.latent, bias=False)

    def forward(self, code: Tensor) -> Tensor:
        """(R, ..., C + Z) -> (R, ..., Z)."""
        y, style = self.parts(code)
        return self.apart * self.heads(y) + style

    def crowding(self) -> Tensor:
        """How much nearer than `apart` heads lie, over all pairs: (R,). The paper's penalty."""
        heads = self.apart * self.heads.weight  # (R, C, Z)
        first, second = torch.triu_indices(heads.shape[1], heads.shape[1], 1, device=heads.device)
        distances = torch.linalg.vector_norm(heads[:, first] - heads[:, second], dim=-1)
        return (self.apart - distances).clamp(min=0).sum(1)


class AutoEncoder(nn.Module):
    """q(z|x), p(z) and p(x|z), for R replicas.

    With two stochastic layers a code z is (z1, z2), one after the other, and the decoder sees z1.
    A GAN's generator has no encoder: `encoder` is None, and images cannot be encoded. A decoder
    that is told each image's class takes it in one-hot form, `told` (R, B, C), beside the code.

    With an encoder of class and style a code is (y, z). The decoder reads it as it is, or, with
    cluster heads, W_C y + z: the class as a point of the plane of styles, and the style as the way
    from there. Makhzani et al. 2015, section 6.

    Args:
        settings: an experiment's `model`.
        shape: of an image: its channels, height and width, or X alone.
    """

    def __init__(self, settings: dict, shape: Shape, replicas: int):
        super().__init__()
        latent, decoder = settings["latent"], settings["decoder"]
        self.replicas = replicas
        self.encoder = None
        if "encoder" in settings:
            kind = ENCODERS[settings["encoder"]["kind"]]
            self.encoder = kind(replicas, shape, latent, settings["encoder"])
        if "classes" in settings.get("encoder", {}):
            self.prior = ClassAndStyle(settings["encoder"]["classes"], latent)
        else:
            self.prior = make_prior(latent, settings.get("prior"), replicas)
        self.layers = latent if isinstance(latent, list) else [self.prior.latent]
        self.classes = decoder.get("classes", 0)
        self.heads = None
        if "heads_apart" in decoder:
            self.heads = ClusterHeads(replicas, self.prior, decoder["heads_apart"])
        read = latent if self.heads else self.layers[0] + self.classes
        self.decoder = make_writer(replicas, read, shape, decoder)
        self.likelihood = make_likelihood(settings)

    @property
    def latent(self) -> int:
        """Z, the numbers of a code, over all layers."""
        return self.prior.latent

    def noise(self, streams: Streams, *shape: int) -> Tensor:
        """What the encoder makes codes from: (R, *shape, N)."""
        return streams.normal(*shape, self.encoder.noise)

    def encode(self, x: Tensor, streams: Streams) -> Tensor:
        """One code per image: (R, B, X) -> (R, B, Z)."""
        return self.encoder(x, self.noise(streams, x.shape[1]))

    def outputs(self, z: Tensor, told: Tensor | None = None) -> Tensor:
        """What the likelihood reads: (R, ..., Z) -> (R, ..., X)."""
        seen = self.heads(z) if self.heads else z[..., : self.layers[0]]
        return self.decoder(seen if told is None else beside(seen, told))

    def sample(self, streams: Streams, *shape: int) -> Tensor:
        """E[x|z] of draws from the prior, of any class: (R, *shape, X)."""
        z = self.prior.sample(streams, *shape)
        if not self.classes:
            return self.decode(z)
        labels = streams.classes(self.classes, *shape)
        return self.decode(z, one_hot(labels, self.classes).float())

    def decode(self, z: Tensor, told: Tensor | None = None) -> Tensor:
        """E[x|z]: (R, ..., Z) -> (R, ..., X)."""
        return self.likelihood.mean(self.outputs(z, told))

    def log_likelihood(self, x: Tensor, z: Tensor, told: Tensor | None = None) -> Tensor:
        """log p(x|z) in nats: (R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        outputs = self.outputs(z, told)
        return self.likelihood.log_prob(outputs, aligned(x, outputs))

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (R, ..., Z) -> (R, ...)."""
        return self.prior.log_prob(z)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) in nats: (R, B, X), (R, ..., B, Z) -> (R, ..., B)."""
        return self.log_likelihood(x, z) + self.log_prior(z)

    def log_weights(self, x: Tensor, noise: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) at the codes that noise makes, of an encoder with weights.

        (R, B, X), (R, K, B, N) -> (R, K, B), in nats.
        """
        z, log_q = self.encoder.posterior(x).transform(noise)
        return self.log_joint(x, z) - log_q

    @torch.no_grad()
    def centre_outputs(self, mean: Tensor) -> None:
        """Set the last bias to the logit of the training mean (X,), as IWAE's code does.

        Of a channel's, where the decoder ends in convolutions.
        """
        self.decoder.centre(torch.logit(self.decoder.of_biases(mean).clamp(*MEAN_RANGE)))
