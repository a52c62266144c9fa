"""A method at step 0, from its experiment."""

import torch

from aebayes.methods import METHODS
from aebayes.methods.base import Method
from aebayes.networks.initialise import initialise
from aebayes.streams import Streams


def make_method(
    experiment: dict, mean: torch.Tensor, replicas: list[int], device: torch.device
) -> Method:
    """Build an experiment's networks at step 0.

    Args:
        experiment: a resolved experiment.
        mean: the training images' mean intensity, in their shape (C, H, W); flat will do
            where neither convolutions nor distortions ask for height and width.
        replicas: which replicas, by number; each is initialised from its own stream.
    """
    method = METHODS[experiment["method"]](experiment, tuple(mean.shape), len(replicas))
    streams = Streams(experiment["training"]["seed"], replicas, "initialisation")
    initialise(method, experiment["model"]["initialisation"], streams)
    if experiment["model"].get("output_bias") == "data_mean":
        method.model.centre_outputs(mean.flatten())
    return method.to(device)
