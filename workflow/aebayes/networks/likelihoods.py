"""p(x|z): what the decoder's outputs mean. Values are nats, summed over the data's dimensions."""

import math

import torch
from torch import Tensor, nn

from aebayes.streams import Streams


class Bernoulli:
    """Independent Bernoullis; the decoder gives logits."""

    def log_prob(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats: logits (..., X), x broadcastable -> (...)."""
        return BernoulliLogProb.apply(logits, x)

    def mean(self, logits: Tensor) -> Tensor:
        """E[x|z]: (..., X), between 0 and 1."""
        return torch.sigmoid(logits.float())

    def sample(self, logits: Tensor, streams: Streams) -> Tensor:
        """A draw from p(x|z): (R, ..., X) -> the same."""
        mean = self.mean(logits)
        return (streams.uniform(*mean.shape[1:]) < mean).float()


class BernoulliLogProb(torch.autograd.Function):
    """Σ_j x_j l_j − log(1 + exp l_j), with its derivative x − σ(l) in one pass over the logits."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        logits = logits.float()
        if torch.compiler.is_compiling():
            return sliced_bernoulli(logits, x)
        return (x * logits - nn.functional.softplus(logits)).sum(-1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        slope = (x - torch.sigmoid(logits.float())) * gradient.unsqueeze(-1)
        return slope.to(logits.dtype), None


def sliced_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """The same sum, with one logarithm for several logits: (..., X) -> (...).

    Σ_j log(1 + e_j) = log Π_j (1 + e_j) with e_j = exp(−|l_j|): no product of eight such factors
    exceeds 2⁸. Compiled it takes two thirds of softplus' time; as plain calls it would be slower.
    """
    slices = next(n for n in (7, 8, 4, 2, 1) if logits.shape[-1] % n == 0)
    linear, product = 0.0, 1.0
    for part, pixels in zip(
        logits.unflatten(-1, (slices, -1)).unbind(-2),
        x.unflatten(-1, (slices, -1)).unbind(-2),
        strict=True,
    ):
        linear = linear + (pixels * part - part.clamp(min=0))
        product = product * (1 + torch.exp(-part.abs()))
    return (linear - product.log()).sum(-1)


class Gaussian:
    """N(x; m, σ²I) with a fixed σ; the decoder gives m, or its logit."""

    def __init__(self, sd: float, sigmoid: bool = False):
        self.sd = sd
        self.sigmoid = sigmoid

    def log_prob(self, outputs: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats: outputs (..., X), x broadcastable -> (...)."""
        standardised = (x - self.mean(outputs)) / self.sd
        constant = math.log(self.sd) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * standardised.square() - constant).sum(-1)

    def mean(self, outputs: Tensor) -> Tensor:
        """E[x|z]: (..., X)."""
        outputs = outputs.float()
        return torch.sigmoid(outputs) if self.sigmoid else outputs

    def sample(self, outputs: Tensor, streams: Streams) -> Tensor:
        """A draw from p(x|z): (R, ..., X) -> the same."""
        mean = self.mean(outputs)
        return mean + self.sd * streams.normal(*mean.shape[1:])


def make_likelihood(settings: dict) -> Bernoulli | Gaussian:
    """The likelihood that an experiment's `model` asks for."""
    if settings["likelihood"] == "bernoulli":
        return Bernoulli()
    sigmoid = settings["decoder"].get("output") == "sigmoid"
    return Gaussian(settings["likelihood_sd"], sigmoid)
