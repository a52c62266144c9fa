"""The methods, by the name that a study's experiment gives."""

from aebayes.methods.aae import AAE
from aebayes.methods.avb import AVB
from aebayes.methods.avb_restricted import RestrictedAVB
from aebayes.methods.base import Method
from aebayes.methods.iwae import IWAE
from aebayes.methods.vae import VAE

METHODS: dict[str, type[Method]] = {
    "vae": VAE,
    "iwae": IWAE,
    "avb": AVB,
    "avb_restricted": RestrictedAVB,
    "aae": AAE,
}
