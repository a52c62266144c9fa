"""The methods, by the name that a study's experiment gives."""

from aebayes.methods.aae import AAE
from aebayes.methods.ae_mmd import MMDAutoEncoder
from aebayes.methods.avb import AVB
from aebayes.methods.avb_restricted import RestrictedAVB
from aebayes.methods.base import Method
from aebayes.methods.categorical_aae import CategoricalAAE
from aebayes.methods.classifier import SupervisedClassifier
from aebayes.methods.gan import GAN
from aebayes.methods.gmmn import GMMN
from aebayes.methods.iwae import IWAE
from aebayes.methods.m2 import M2
from aebayes.methods.vae import VAE

METHODS: dict[str, type[Method]] = {
    "vae": VAE,
    "iwae": IWAE,
    "avb": AVB,
    "avb_restricted": RestrictedAVB,
    "aae": AAE,
    "categorical_aae": CategoricalAAE,
    "ae_mmd": MMDAutoEncoder,
    "gan": GAN,
    "gmmn": GMMN,
    "m2": M2,
    "classifier": SupervisedClassifier,
}
