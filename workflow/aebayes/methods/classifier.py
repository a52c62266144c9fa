"""A classifier of the labelled images alone: what semi-supervised methods are compared with.

The "NN" row of Table 2 in Makhzani et al. 2015: one phase, −log q(y|x) of labelled images.
"""

from torch import nn

from aebayes.methods.base import Phase
from aebayes.methods.classes import ClassMethod
from aebayes.methods.distortion import corrupt
from aebayes.networks.convolutions import Shape
from aebayes.networks.encoders import Classifier


class SupervisedModel(nn.Module):
    """What evaluation sees of it: q(y|x) in the place of an encoder."""

    def __init__(self, settings: dict, shape: Shape, replicas: int):
        super().__init__()
        self.encoder = Classifier(replicas, shape, settings["encoder"])


class SupervisedClassifier(ClassMethod):
    """q(y|x)."""

    def __init__(self, experiment: dict, shape: Shape, replicas: int):
        super().__init__()
        self.model = SupervisedModel(experiment["model"], shape, replicas)
        corrupt(self, experiment["objective"], shape)

    def phases(self) -> list[Phase]:
        return [Phase("classification", self.classification_loss, [self.model], self.draw_labelled)]
