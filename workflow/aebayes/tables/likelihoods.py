"""Likelihoods of test images under every method of a study."""

from aebayes.tables.table import Quantity, Table

# An auxiliary variable's q(a, z|x) is known though its q(z|x) is not.
KNOWN = "where the density of its codes, or of them and an auxiliary variable, is known"
PROPOSALS = (
    f"from the encoder {KNOWN}, else from a Gaussian fitted to the posterior, which can be the "
    "tighter bound: between the two kinds a difference is not one of the models alone"
)
NLL = Quantity(
    "−log p(x), k importance samples",
    r"$-\log p(x)$",
    "nll",
    "metrics.json of this run lacks it",
    "−L_k of {scored} test images, an upper bound on −log p(x) in expectation, with {k} importance "
    f"samples an image, drawn {PROPOSALS}",
)
ELBO = Quantity(
    "ELBO",
    "ELBO",
    "elbo",
    "q(z|x) has no density",
    f"the encoder's bound, by Monte Carlo, {KNOWN}",
)
ELBO_FROM_T = Quantity(
    "ELBO from T",
    r"ELBO from $T$",
    "elbo_adversary",
    "only AVB has a T(x, z) to estimate it from",
    "E_q[log p(x|z) − T(x, z)], an estimate and not a bound",
)

IMAGES = Table(
    title="Test images: negative log-likelihood, ELBO and reconstruction",
    quantities=(
        NLL,
        ELBO,
        ELBO_FROM_T,
        Quantity(
            "reconstruction error",
            "reconstruction error",
            "reconstruction",
            "metrics.json of this run lacks it",
            "−E_q log p(x|z), summed over pixels",
        ),
    ),
    papers=("iwae",),
    decimals=(3, 2),
)
