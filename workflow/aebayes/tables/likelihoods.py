"""Likelihoods of test images under every method of a study."""

from aebayes.tables.table import Quantity, Table

NLL = Quantity(
    "−log p(x), k importance samples",
    r"$-\log p(x)$",
    "nll",
    "metrics.json of this run lacks it",
    "−L_k of {scored} test images, an upper bound on −log p(x) in expectation, with {k} importance "
    "samples an image; drawn from q(z|x) where it has a density, else from a Gaussian fitted to "
    "the posterior",
)
ELBO = Quantity(
    "ELBO",
    "ELBO",
    "elbo",
    "q(z|x) has no density",
    "a bound, by Monte Carlo, where q(z|x) has a density",
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
