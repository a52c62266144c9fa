"""How to train R replicas at once: batched layers, torch.func.vmap, or one after another.

A gradient of a VAE's bound, the same networks and minibatches each way, interleaved in one
process; medians go to benchmarks/results/replicas.csv.

    uv run python benchmarks/replicas.py
"""

import csv
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from tqdm import trange

from aebayes.methods.base import Batch
from aebayes.methods.vae import VAE
from aebayes.networks.initialise import initialise
from aebayes.networks.normal import kl_to_standard_normal
from aebayes.provenance import processor
from aebayes.streams import Streams

ROUNDS = 40
SIZES = {
    "pocket: 4-64-64-2, batch 256": (4, [64, 64], 2, 256, 5),
    "overnight: 4-512-512-2, batch 256": (4, [512, 512], 2, 256, 5),
    "overnight: 784-200-200-50, batch 200": (784, [200, 200], 50, 200, 3),
}


def settings(hidden: list[int], latent: int) -> dict:
    """A VAE's experiment."""
    layers = {"hidden": hidden, "activation": "tanh"}
    model = {
        "latent": latent,
        "encoder": {"kind": "gaussian", **layers},
        "decoder": layers,
        "likelihood": "bernoulli",
    }
    return {"model": model, "objective": {"kl": "analytic", "samples": 1}}


def batched(pixels: int, hidden: list[int], latent: int, replicas: int) -> Callable:
    """The library's way: one product for all replicas."""
    method = VAE(settings(hidden, latent), (pixels,), replicas)
    streams = Streams(0, range(replicas), "training")
    initialise(method, "glorot_uniform", streams)
    parameters = list(method.parameters())
    bound = method.phases()[0]
    return lambda x: torch.autograd.grad(bound(Batch(x, None), streams).sum(), parameters)


def one_by_one(pixels: int, hidden: list[int], latent: int, replicas: int) -> Callable:
    """R networks, one after another."""
    steps = [batched(pixels, hidden, latent, 1) for _ in range(replicas)]
    return lambda x: [step(x[r : r + 1]) for r, step in enumerate(steps)]


class PlainVAE(nn.Module):
    """The same bound in torch's own layers, for vmap."""

    def __init__(self, pixels: int, hidden: list[int], latent: int):
        super().__init__()
        self.encoder = perceptron([pixels, *hidden, 2 * latent])
        self.decoder = perceptron([latent, *hidden, pixels])

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        mean, log_sd = self.encoder(x).chunk(2, -1)
        logits = self.decoder(mean + log_sd.exp() * noise)
        log_likelihood = (x * logits - nn.functional.softplus(logits)).sum(-1)
        return (kl_to_standard_normal(mean, log_sd) - log_likelihood).mean()


def perceptron(sizes: list[int]) -> nn.Sequential:
    """Affine layers with tanh between."""
    layers = [
        module
        for inputs, outputs in pairwise(sizes)
        for module in (nn.Linear(inputs, outputs), nn.Tanh())
    ]
    return nn.Sequential(*layers[:-1])


def mapped(pixels: int, hidden: list[int], latent: int, replicas: int) -> Callable:
    """torch.func: a gradient of one network, mapped over stacked parameters."""
    models = [PlainVAE(pixels, hidden, latent) for _ in range(replicas)]
    parameters, buffers = stack_module_state(models)
    streams = Streams(0, range(replicas), "training")

    def loss(values: dict, constants: dict, x: Tensor, noise: Tensor) -> Tensor:
        return functional_call(models[0], (values, constants), (x, noise))

    gradient = vmap(grad(loss))
    return lambda x: gradient(parameters, buffers, x, streams.normal(x.shape[1], latent))


WAYS = {"batched layers": batched, "torch.func.vmap": mapped, "one by one": one_by_one}


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for size, (pixels, hidden, latent, batch, replicas) in SIZES.items():
        ways = {name: make(pixels, hidden, latent, replicas) for name, make in WAYS.items()}
        x = (torch.rand(replicas, batch, pixels) < 0.3).float()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in trange(ROUNDS, desc=size):
            for name, step in ways.items():
                began = time.perf_counter()
                step(x)
                times[name].append(1e3 * (time.perf_counter() - began))
        medians = {name: statistics.median(values) for name, values in times.items()}
        for name, median in medians.items():
            ratio = medians["one by one"] / median
            rows.append([size, replicas, name, f"{median:.3f}", f"{ratio:.2f}"])
            print(f"{size}, {replicas} replicas, {name}: {median:.3f} ms, {ratio:.2f}×")
    machine = f"{processor()}, 1 thread, torch {torch.__version__}"
    with Path("benchmarks/results/replicas.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["networks", "replicas", "way", "median_ms", "speed_over_one_by_one", "machine"]
        )
        writer.writerows([*row, machine] for row in rows)


if __name__ == "__main__":
    main()
