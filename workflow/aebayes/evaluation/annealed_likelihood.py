"""log p(x) of test images by annealing, and how far it may be off, by images the model made itself.

Images are gone through in batches; what a batch gave is saved, and an evaluation that was killed
goes on with the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from aebayes.compilation import compiled
from aebayes.evaluation.annealing import Ladder, annealed
from aebayes.evaluation.likelihood import CHUNK_ELEMENTS, chunks
from aebayes.evaluation.metrics import Metric, over_images
from aebayes.evaluation.proposals import (
    Proposal,
    fitted_proposal,
    gaussian_log_weights,
    prior_log_weights,
)
from aebayes.networks.autoencoder import AutoEncoder
from aebayes.streams import Streams
from aebayes.tensors import SEAL, UNREADABLE, load_tensors, save_tensors

# Of images (R, B, X), the proposal that chains start from, and from which noise it makes a code.
Start = Callable[[Tensor, Streams], tuple[Proposal, Callable[[Tensor], Tensor]]]

SETTINGS = ("temperatures", "schedule", "leapfrog", "acceptance", "burn_in")


@dataclass
class Parts:
    """What batches gave so far, kept in a file until the evaluation is done.

    Args:
        path: of the file, or None to keep nothing.
        fingerprint: of all that the numbers depend on; another evaluation's file is not gone on
            from.
        done: of each batch, its chains' tensors by name.
    """

    path: Path | None
    fingerprint: str = ""
    done: list[dict[str, Tensor]] = field(default_factory=list, init=False)

    def load(self, streams: Streams) -> None:
        """Take over what the file holds, and its place in the random streams."""
        if self.path is None:
            return
        try:
            tensors, about = load_tensors(self.path, {"fingerprint", "batches", SEAL})
        except FileNotFoundError:
            return
        except UNREADABLE as problem:
            print(f"{self.path} is unreadable ({problem}): annealing from the first batch")
            return
        if about["fingerprint"] != self.fingerprint:
            print(f"{self.path} is of another checkpoint: annealing from the first batch")
            return
        streams.load_state(tensors.pop("streams"))
        self.done = [{} for _ in range(about["batches"])]
        for name, tensor in tensors.items():
            number, key = name.split(".")
            self.done[int(number)][key] = tensor.to(streams.device)
        print(f"annealing: going on after {len(self.done)} batches")

    def add(self, part: dict[str, Tensor], streams: Streams) -> None:
        """Keep one more batch."""
        self.done.append(part)
        if self.path is not None:
            tensors = {
                f"{number}.{key}": tensor
                for number, part in enumerate(self.done)
                for key, tensor in part.items()
            }
            about = {"fingerprint": self.fingerprint, "batches": len(self.done)}
            save_tensors(self.path, tensors | {"streams": streams.state()}, about, sealed=True)

    def of(self, key: str) -> Tensor:
        """All batches' tensors of this name, their images one after the other."""
        return torch.cat([part[key] for part in self.done if key in part], -1)


@torch.no_grad()
def annealed_metrics(
    model: AutoEncoder,
    x: Tensor,
    settings: dict,
    streams: Streams,
    compile: bool = False,
    parts: Parts | None = None,
) -> dict[str, Metric]:
    """log p(x) of the first test images, and the gap to an upper bound on the model's own images.

    Args:
        x: test images (R, N, X).
        settings: an experiment's `evaluation.annealing`: SETTINGS; `start`, "prior" or "fitted";
            `chains` an image; how many `images` and `simulated_images`.

    Returns:
        `annealed`: log of the mean weight of an image's chains, below log p(x) in expectation; each
            image's, too.
        `annealed_acceptance`: share of trajectories taken.
        `annealed_gap`: on images the model made, an upper bound less the lower one.
    """
    parts = parts or Parts(None)
    parts.load(streams)
    ladder = Ladder(**{name: settings[name] for name in SETTINGS})
    chains, replicas = settings["chains"], len(x)
    at_once = CHUNK_ELEMENTS[x.device.type] // (replicas * chains * x.shape[-1])
    real = min(settings["images"], x.shape[1])
    batches = [(True, *batch) for batch in chunks(real, at_once)]
    batches += [(False, *batch) for batch in chunks(settings["simulated_images"], at_once)]
    start = start_for(model, settings["start"], compile)
    shown = tqdm(batches, desc="annealing", unit="batch", disable=None, leave=False)
    for number, (is_real, first, size) in enumerate(shown):
        if number < len(parts.done):
            continue
        if is_real:
            images = x[:, first : first + size]
            forward, _ = annealed(start(images, streams)[0], ladder, chains, streams)
            part = {"bound": forward.log_mean_weight, "acceptance": forward.acceptance}
        else:
            part = {"gap": simulated_gap(model, start, size, ladder, chains, streams)}
        parts.add(part, streams)
    return {
        "annealed": over_images(parts.of("bound"), keep=True),
        "annealed_acceptance": over_images(parts.of("acceptance"), "share"),
        "annealed_gap": over_images(parts.of("gap")),
    }


def start_for(model: AutoEncoder, kind: str, compile: bool) -> Start:
    """Chains' start: "prior", p(z), or "fitted", a Gaussian fitted to each image's posterior."""
    if kind == "prior":
        log_weights = compiled(partial(prior_log_weights, model), compile)
        return lambda x, _: (Proposal(x, model.latent, log_weights), model.prior.noise_of)
    log_weights = compiled(partial(gaussian_log_weights, model), compile)
    log_joint = compiled(model.log_joint, compile)

    def fitted(x: Tensor, streams: Streams) -> tuple[Proposal, Callable[[Tensor], Tensor]]:
        gaussian = fitted_proposal(x, model.encode(x, streams), log_joint, streams)
        proposal = Proposal(x, model.latent, log_weights, (gaussian.mean, gaussian.factor))
        return proposal, gaussian.noise_of

    return fitted


def simulated_gap(
    model: AutoEncoder, start: Start, images: int, ladder: Ladder, chains: int, streams: Streams
) -> Tensor:
    """Upper less lower bound on log p(x) of images that the model makes: (R, images).

    The code that an image was made of is an exact draw from its posterior: chains can start there.
    """
    z = model.prior.sample(streams, images)
    x = model.likelihood.sample(model.outputs(z), streams)
    proposal, noise_of = start(x, streams)
    forward, backward = annealed(proposal, ladder, chains, streams, noise_of(z))
    return -backward.log_mean_weight - forward.log_mean_weight
