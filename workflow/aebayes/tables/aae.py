"""Adversarial Autoencoders, arXiv:1511.05644: Table 1, and how well codes match their prior.

The second has no counterpart in the paper: it puts numbers on what its figures 2, 4 and 7 show.
"""

from aebayes.tables.likelihoods import PROPOSALS
from aebayes.tables.table import Quantity, Quoted, Table

NOT_ASKED = "its evaluation in this study does not ask for it"
BASELINE = "a baseline that the paper quotes from others"
TFD = "the Toronto Face Database is given out on request only"

WINDOWS = (
    "mean log density of test images under Gaussian windows on {} samples of the model, their "
    "width chosen on validation images; the higher the better"
)

TABLE_1 = Table(
    title="Test images under models' samples: Parzen windows, likelihood, precision and recall",
    quantities=(
        Quantity(
            "Parzen log-likelihood, 10K samples",
            "Parzen, 10K",
            "parzen",
            NOT_ASKED,
            WINDOWS.format("{windows}"),
            decimals=(1, 0),
        ),
        Quantity(
            "Parzen log-likelihood, 10M samples",
            "Parzen, 10M",
            "parzen_many",
            NOT_ASKED,
            WINDOWS.format("{many}"),
            decimals=(1, 0),
        ),
        Quantity(
            "−log p(x), k importance samples",
            r"$-\log p(x)$",
            "nll",
            "the model has no encoder, or its prior no density",
            "−L_k of {scored} test images under {pixels}, with {k} importance samples an image, "
            f"drawn {PROPOSALS}; the lower the better",
            decimals=(2, 2),
        ),
        Quantity(
            "precision",
            "precision",
            "precision",
            NOT_ASKED,
            "share of samples among test images: no farther from one of them than that one's third "
            "neighbour",
            unit="share",
            decimals=(3, 3),
        ),
        Quantity(
            "recall",
            "recall",
            "recall",
            NOT_ASKED,
            "share of test images among samples, likewise",
            unit="share",
            decimals=(3, 3),
        ),
    ),
    papers=("aae",),
    quoted=(
        Quoted("DBN", "mnist", BASELINE),
        Quoted("Stacked CAE", "mnist", BASELINE),
        Quoted("Deep GSN", "mnist", BASELINE),
        *(
            Quoted(f"{model}, TFD", "tfd", TFD)
            for model in ("DBN", "Stacked CAE", "Deep GSN", "GAN", "GMMN+AE", "AAE")
        ),
    ),
    long=True,
)

MATCH = Table(
    title="Test images' codes beside draws from the prior, and classes in decoded images",
    quantities=(
        Quantity(
            "KL(q(z), p(z))",
            r"$\mathrm{KL}(q(z), p(z))$",
            "prior_kl",
            NOT_ASKED,
            "k-nearest-neighbour estimate between codes and draws, which can fall below 0; a prior "
            "that is a curve, the Swiss roll, has no density, and the number means little",
            unit="nats",
        ),
        Quantity(
            "squared MMD",
            r"MMD$^2$",
            "prior_mmd",
            NOT_ASKED,
            "maximum mean discrepancy under a Gaussian kernel as wide as the prior's median "
            "distance, without bias, so sometimes below 0",
            unit="1",
            decimals=(4, 4),
        ),
        Quantity(
            "classifier's accuracy",
            "accuracy",
            "prior_accuracy",
            NOT_ASKED,
            "share of right guesses of boosted trees, cross-validated, whether a point is a code "
            "or a draw; 0.5 where they are the same",
            unit="share",
            decimals=(3, 3),
        ),
        Quantity(
            "class recognised",
            "recognised",
            "recognised",
            "neither the discriminator nor the decoder is told classes",
            "share of images, decoded from a class's part of the prior or as that class, that a "
            "classifier of training images takes for it",
            unit="share",
            decimals=(3, 3),
        ),
    ),
    papers=("aae",),
    long=True,
)
