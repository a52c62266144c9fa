"""p(x|z): what the decoder's outputs mean. Values are nats, summed over the data's dimensions."""

import math

import torch
from torch import Tensor

from aebayes.streams import Streams


class Bernoulli:
    """Independent Bernoullis; the decoder gives logits."""

    def log_prob(self, logits: Tensor, x: Tensor) -> Tensor:
        """log p(x|z) in nats: logits (..., X), x broadcastable -> (...)."""
        compiling = torch.compiler.is_compiling()
        function = FusedBernoulliLogProb if compiling else BernoulliLogProb
        return function.apply(logits, x)

    def mean(self, logits: Tensor) -> Tensor:
        """E[x|z]: (..., X), between 0 and 1."""
        return torch.sigmoid(logits.float())

    def sample(self, logits: Tensor, streams: Streams) -> Tensor:
        """A draw from p(x|z): (R, ..., X) -> the same."""
        mean = self.mean(logits)
        return (streams.uniform(*mean.shape[1:]) < mean).float()


class BernoulliLogProb(torch.autograd.Function):
    """Σ_j x_j l_j − log(1 + exp l_j), with its derivative x − σ(l).

    The logarithm is max(l, 0) − log σ(|l|): torch's softplus takes more than twice as long as all
    of this.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        logits = logits.float()
        softplus = logits.clamp(min=0).sub_(logits.abs().sigmoid_().log_())
        return (x * logits).sum(-1) - softplus.sum(-1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        slope = torch.sigmoid(logits.float())
        torch.sub(x, slope, out=slope).mul_(gradient.unsqueeze(-1))
        return slope.to(logits.dtype), None


class FusedBernoulliLogProb(torch.autograd.Function):
    """The same by one exponential a logit; x − σ(l) is kept instead of the logits.

    Compiled it is one pass; as plain calls it would be slower.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, logits: Tensor, x: Tensor) -> Tensor:
        wide = logits.float()
        sigmoid, softplus = sigmoid_and_softplus(wide)
        ctx.save_for_backward((x - sigmoid).to(logits.dtype))
        return (x * wide - softplus).sum(-1)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return (slope.float() * gradient.unsqueeze(-1)).to(slope.dtype), None


def sigmoid_and_softplus(logits: Tensor) -> tuple[Tensor, Tensor]:
    """σ(l) and log(1 + exp l) by one exponential, one division and no logarithm.

    With e = exp(−|l|) the latter is max(l, 0) + 2 artanh q, q = e / (2 + e) ≤ 1/3, whose series is
    cut where its rest is a seventh of float32's epsilon at most.
    """
    e = torch.exp(-logits.abs())
    reciprocal = 1 / ((1 + e) * (2 + e))
    sigmoid = torch.where(logits < 0, e, 1.0) * (2 + e) * reciprocal
    q = e * (1 + e) * reciprocal
    square = q * q
    series = 1 / 13
    for n in (11, 9, 7, 5, 3, 1):
        series = series * square + 1 / n
    return sigmoid, logits.clamp(min=0) + 2 * q * series


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
