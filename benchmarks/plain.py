"""Textbook loops in torch's own layers, float32, one model a replica."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import torch
from library import SEED, TRAINING_IMAGES, Size, made_images
from measure import Step
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from aebayes.training.soap import LONGEST, REFRESH

Optimiser = Callable[..., torch.optim.Optimizer]


def soap() -> Optimiser:
    """pytorch-optimizer's SOAP, set as the library's: bases as often, and for as long sides."""
    from pytorch_optimizer import SOAP

    settings = {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.0}
    return partial(SOAP, **settings, precondition_frequency=REFRESH, max_precondition_dim=LONGEST)


def perceptron(*sizes: int) -> nn.Sequential:
    """Affine layers with tanh between."""
    layers = [
        module
        for inputs, outputs in pairwise(sizes)
        for module in (nn.Linear(inputs, outputs), nn.Tanh())
    ]
    return nn.Sequential(*layers[:-1])


def minibatches(size: Size, device: torch.device) -> Iterator[Tensor]:
    """Endless minibatches (B, X) of images on the device, in one random order after another."""
    images = made_images(TRAINING_IMAGES, size.pixels).float().to(device)
    while True:
        order = torch.randperm(len(images), device=device)
        for chosen in order.split(size.batch):
            if len(chosen) == size.batch:
                yield images[chosen]


def descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """One step down the gradient."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def log_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z): (..., X) -> (...)."""
    return -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


class VAE(nn.Module):
    """Gaussian encoder and Bernoulli decoder."""

    def __init__(self, size: Size):
        super().__init__()
        self.encoder = perceptron(size.pixels, *size.hidden, 2 * size.latent)
        self.decoder = perceptron(size.latent, *size.hidden, size.pixels)

    def sample(self, x: Tensor, k: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """k codes an image (K, B, Z), mean and log deviation (B, Z)."""
        mean, log_sd = self.encoder(x).chunk(2, -1)
        noise = torch.randn(k, *mean.shape, device=x.device)
        return mean + log_sd.exp() * noise, mean, log_sd

    def loss(self, x: Tensor) -> Tensor:
        """Minus the bound, its KL in closed form."""
        z, mean, log_sd = self.sample(x)
        kl = 0.5 * ((2 * log_sd).exp() + mean.square() - 1 - 2 * log_sd).sum(-1)
        return (kl - log_bernoulli(self.decoder(z[0]), x)).mean()

    def bound(self, x: Tensor, k: int) -> Tensor:
        """L_k of each image: (B,)."""
        z, mean, log_sd = self.sample(x, k)
        standardised = (z - mean) / log_sd.exp()
        log_q = (-0.5 * standardised.square() - log_sd).sum(-1)
        log_p = -0.5 * z.square().sum(-1)  # both without log 2π, which cancels
        log_weights = log_bernoulli(self.decoder(z), x) + log_p - log_q  # (K, B)
        return log_weights.logsumexp(0) - math.log(k)

    def bound_by(self, x: Tensor, proposal: MultivariateNormal, k: int) -> Tensor:
        """L_k of each image by given proposals: (B,)."""
        z = proposal.rsample((k,))  # (K, B, Z)
        log_p = (-0.5 * z.square() - 0.5 * math.log(2 * math.pi)).sum(-1)
        log_weights = log_bernoulli(self.decoder(z), x) + log_p - proposal.log_prob(z)
        return log_weights.logsumexp(0) - math.log(k)


def vae_training(size: Size, k: int, device: torch.device, optimiser: Optimiser) -> Step:
    """One step of a VAE."""
    model, batches = VAE(size).to(device), minibatches(size, device)
    steps = optimiser(model.parameters())
    return lambda: descend(model.loss(next(batches)), steps)


def iwae_training(size: Size, k: int, device: torch.device, optimiser: Optimiser) -> Step:
    """One step of an IWAE."""
    model, batches = VAE(size).to(device), minibatches(size, device)
    steps = optimiser(model.parameters())
    return lambda: descend(-model.bound(next(batches), k).mean(), steps)


def aae_training(size: Size, k: int, device: torch.device, optimiser: Optimiser) -> Step:
    """Reconstruction, discriminator and generator on one minibatch."""
    model, batches = VAE(size).to(device), minibatches(size, device)
    discriminator = perceptron(size.latent, *size.hidden, 1).to(device)
    reconstruction = optimiser(model.parameters())
    regularisation = optimiser(discriminator.parameters())
    generation = optimiser(model.encoder.parameters())

    def step() -> None:
        x = next(batches)
        z = model.sample(x)[0][0]
        descend(-log_bernoulli(model.decoder(z), x).mean(), reconstruction)
        with torch.no_grad():
            z = model.sample(x)[0][0]
        prior = torch.randn_like(z)
        logits = discriminator(torch.stack([z, prior])).squeeze(-1)
        descend((softplus(-logits[0]) + softplus(logits[1])).mean(), regularisation)
        descend(softplus(discriminator(model.sample(x)[0][0])).mean(), generation)

    return step


class AVB(nn.Module):
    """Black-box encoder, Bernoulli decoder, and the adversary's two nets."""

    def __init__(self, size: Size):
        super().__init__()
        self.latent = size.latent
        self.encoder = perceptron(size.pixels + size.latent, *size.hidden, size.latent)
        self.decoder = perceptron(size.latent, *size.hidden, size.pixels)
        self.data_net = perceptron(size.pixels, *size.hidden, size.hidden[-1])
        self.code_net = perceptron(size.latent, *size.hidden, size.hidden[-1])

    def encode(self, x: Tensor) -> Tensor:
        """z = f(x, ε): (B, Z)."""
        noise = torch.randn(len(x), self.latent, device=x.device)
        return self.encoder(torch.cat([x, noise], -1))

    def log_ratio(self, x: Tensor, z: Tensor) -> Tensor:
        """T(x, z): (B, X), (..., B, Z) -> (..., B)."""
        f, g = self.data_net(x), self.code_net(z)
        return (f * g).sum(-1) / math.sqrt(f.shape[-1])

    def bound_loss(self, x: Tensor) -> Tensor:
        """Minus the bound, T in the place of the log ratio."""
        z = self.encode(x)
        return (self.log_ratio(x, z) - log_bernoulli(self.decoder(z), x)).mean()

    def adversary_loss(self, x: Tensor) -> Tensor:
        """T against pairs with codes and pairs with prior samples."""
        with torch.no_grad():
            z = self.encode(x)
        t = self.log_ratio(x, torch.stack([z, torch.randn_like(z)]))
        return (softplus(-t[0]) + softplus(t[1])).mean()


def avb_training(size: Size, k: int, device: torch.device, optimiser: Optimiser) -> Step:
    """The bound and the adversary, on one minibatch."""
    model, batches = AVB(size).to(device), minibatches(size, device)
    bound = optimiser([*model.encoder.parameters(), *model.decoder.parameters()])
    adversary = optimiser([*model.data_net.parameters(), *model.code_net.parameters()])

    def step() -> None:
        x = next(batches)
        descend(model.bound_loss(x), bound)
        descend(model.adversary_loss(x), adversary)

    return step


TRAINING = {"VAE": vae_training, "IWAE": iwae_training, "AAE": aae_training, "AVB": avb_training}


def training_step(
    model: str,
    size: Size,
    k: int,
    device: torch.device,
    optimiser: Optimiser = torch.optim.Adam,
) -> Step:
    """One step of every replica, one after another."""
    torch.manual_seed(SEED)
    steps = [TRAINING[model](size, k, device, optimiser) for _ in range(size.replicas)]
    return lambda: [step() for step in steps]


def evaluation_step(model: str, size: Size, k: int, device: torch.device) -> Step:
    """L_k of a batch of images, all samples at once; of AVB by given Gaussians."""
    torch.manual_seed(SEED)
    net = VAE(size).to(device)
    x = made_images(size.batch, size.pixels).float().to(device)
    mean = torch.zeros(size.batch, size.latent, device=device)
    factor = 0.5 * torch.eye(size.latent, device=device).expand(size.batch, -1, -1)
    proposal = MultivariateNormal(mean, scale_tril=factor)

    @torch.no_grad()
    def step() -> Tensor:
        return net.bound_by(x, proposal, k) if model == "AVB" else net.bound(x, k)

    return step
