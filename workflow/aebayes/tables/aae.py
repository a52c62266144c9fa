"""Table 1 of Adversarial Autoencoders, arXiv:1511.05644: likelihood by Parzen windows."""

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
            "−L_k of the test images under Bernoulli pixels whose means are grey levels, with {k} "
            "importance samples an image; the lower the better",
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
