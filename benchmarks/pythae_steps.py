"""Steps of pythae (Chadebec et al. 2022), on the library's nets, as its trainers make them."""

from collections.abc import Iterator

import torch
from library import SEED, TRAINING_IMAGES, Size, made_images
from measure import Step
from plain import descend, minibatches, perceptron
from pythae.data.datasets import BaseDataset, collate_dataset_output
from pythae.models import IWAE, VAE, Adversarial_AE, Adversarial_AE_Config, IWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from torch import Tensor

GET_NLL_CHUNK = 100  # `batch_size` of get_nll as pythae sets it
MODELS = ("VAE", "IWAE", "AAE")


class Encoder(BaseEncoder):
    """μ(x) and log σ²(x)."""

    def __init__(self, size: Size):
        super().__init__()
        self.net = perceptron(size.pixels, *size.hidden, 2 * size.latent)

    def forward(self, x: Tensor) -> ModelOutput:
        mean, log_variance = self.net(x).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """The pixels' probabilities."""

    def __init__(self, size: Size):
        super().__init__()
        self.net = perceptron(size.latent, *size.hidden, size.pixels)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))


class Discriminator(BaseDiscriminator):
    """The probability that z is of the prior."""

    def __init__(self, size: Size):
        super().__init__()
        self.net = perceptron(size.latent, *size.hidden, 1)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(embedding=torch.sigmoid(self.net(z)))


def make_model(model: str, size: Size, k: int) -> VAE:
    """pythae's model with these nets."""
    common = {
        "input_dim": (size.pixels,),
        "latent_dim": size.latent,
        "reconstruction_loss": "bce",
    }
    nets = Encoder(size), Decoder(size)
    if model == "VAE":
        return VAE(VAEConfig(**common), *nets)
    if model == "IWAE":
        return IWAE(IWAEConfig(**common, number_samples=k), *nets)
    return Adversarial_AE(Adversarial_AE_Config(**common), *nets, Discriminator(size))


def loaded(size: Size, device: torch.device) -> Iterator[Tensor]:
    """Endless minibatches (B, X) through the loader of pythae's trainer, image by image."""
    images = made_images(TRAINING_IMAGES, size.pixels)
    loader = torch.utils.data.DataLoader(
        BaseDataset(images, torch.zeros(len(images))),
        batch_size=size.batch,
        shuffle=True,
        collate_fn=collate_dataset_output,
    )
    while True:
        for minibatch in loader:
            if len(minibatch["data"]) == size.batch:
                yield minibatch["data"].to(device)


def one_training(
    model: str, size: Size, k: int, device: torch.device, batches: Iterator[Tensor]
) -> Step:
    """The lines of its trainer's step."""
    net = make_model(model, size, k).to(device).train()
    if model == "AAE":
        return adversarial_training(net, batches)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    return lambda: descend(net({"data": next(batches)}).loss, optimiser)


def adversarial_training(net: Adversarial_AE, batches: Iterator[Tensor]) -> Step:
    """The lines of its adversarial trainer's step: both losses of one pass."""
    autoencoder = torch.optim.Adam([*net.encoder.parameters(), *net.decoder.parameters()], lr=1e-3)
    discriminator = torch.optim.Adam(net.discriminator.parameters(), lr=1e-3)

    def step() -> None:
        output = net({"data": next(batches)})
        autoencoder.zero_grad()
        output.autoencoder_loss.backward(retain_graph=True)
        discriminator.zero_grad()
        output.discriminator_loss.backward()
        autoencoder.step()
        discriminator.step()

    return step


def training_step(
    model: str, size: Size, k: int, device: torch.device, loader: bool = False
) -> Step:
    """One step of every replica, one after another.

    Args:
        loader: fetch minibatches with pythae's own loader, not by one indexing.
    """
    torch.manual_seed(SEED)
    make = loaded if loader else minibatches
    steps = [one_training(model, size, k, device, make(size, device)) for _ in range(size.replicas)]
    return lambda: [step() for step in steps]


def evaluation_step(model: str, size: Size, k: int, device: torch.device) -> Step:
    """Mean L_k of a batch of images, by its `get_nll`: an image at a time."""
    torch.manual_seed(SEED)
    net = make_model(model, size, k).to(device).eval()
    x = made_images(size.batch, size.pixels).float().to(device)
    return torch.no_grad()(lambda: net.get_nll(x, k, min(k, GET_NLL_CHUNK)))
