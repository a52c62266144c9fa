"""Adversarial Autoencoders, arXiv:1511.05644: error rates with few labels and with none.

Tables 2 and 3, and those of low-dimensional representations, which section 6 gives in its text.
"""

from aebayes.tables.aae import BASELINE
from aebayes.tables.table import Quantity, Quoted, Table

NO_CLASSES = "the method has no q(y|x)"
NO_CLUSTERS = "it has no clusters: its classes, if it has some, are learned from labels"
EARLIER = "evaluated before this was measured, or of one replica"
UNTOLD = "no labels are told, or it was evaluated before this was measured"
NO_SVHN = "of the paper study, where the files of SVHN are at hand"

OTHERS = {
    "100 labels": ("VAE (M1)+TSVM", "VAE (M1+M2)", "VAT", "CatGAN", "Ladder", "ADGM"),
    "1000 labels": ("VAE (M1)+TSVM", "VAE (M1+M2)", "VAT", "CatGAN", "Ladder"),
    "all labels": ("VAE (M1+M2)", "VAT", "CatGAN", "Ladder"),
}


def error(note: str, each: bool = True) -> Quantity:
    """The error rate, a column of all these tables."""
    return Quantity(
        "error rate", "error rate", "error", NO_CLASSES, note, "%", decimals=(2, 2), each=each
    )


TABLE_2 = Table(
    title="Test error of classifiers that know the classes of few training images",
    quantities=(
        error("share of test images that are taken for another class; the lower the better"),
    ),
    papers=("aae",),
    quoted=(
        *(
            Quoted(f"{labels}, {method}", "mnist", BASELINE)
            for labels, methods in OTHERS.items()
            for method in methods
        ),
        *(
            Quoted(f"SVHN, 1000 labels, {method}", "svhn", BASELINE)
            for method in ("NN", "VAE (M1)+TSVM", "VAE (M1+M2)", "VAT", "ADGM")
        ),
        Quoted("SVHN, 1000 labels, AAE", "svhn", NO_SVHN),
    ),
    long=True,
)

TABLE_3 = Table(
    title="Clusters of images without labels, beside their classes",
    quantities=(
        error(
            "share of test images of another class than their cluster's, that of the validation "
            "image with the highest q(y|x); the lower the better"
        ),
        Quantity(
            "adjusted Rand index",
            "adjusted Rand",
            "adjusted_rand",
            NO_CLUSTERS,
            "of clusters and classes: 1 where they are the same partition, 0 by chance",
            "1",
            decimals=(3, 3),
        ),
        Quantity(
            "normalised mutual information",
            "mutual information",
            "mutual_information",
            NO_CLUSTERS,
            "of clusters and classes, over the mean of their entropies",
            "1",
            decimals=(3, 3),
        ),
        Quantity(
            "purity",
            "purity",
            "purity",
            NO_CLUSTERS,
            "share of test images that are of their cluster's commonest class",
            "share",
            decimals=(3, 3),
        ),
    ),
    papers=("aae",),
    quoted=(Quoted("CatGAN, 20 clusters", "mnist", BASELINE),),
    long=True,
)

DIMENSIONALITY = Table(
    title="Test error of classes read off low-dimensional representations W y + z",
    quantities=(
        error(
            "share of test images that are taken for another class, by q(y|x), or without labels "
            "by their cluster; the lower the better"
        ),
    ),
    papers=("aae",),
    long=True,
)

SELECTION = Table(
    title="What settings can be chosen by where few classes are known, beside the test error",
    quantities=(
        Quantity(
            "disagreement",
            "disagreement",
            "disagreement",
            EARLIER,
            "share of validation images that a replica and another take for different classes: no "
            "label is looked at but those that name clusters; its spread is of pairs that share "
            "replicas",
            "%",
            decimals=(2, 2),
        ),
        Quantity(
            "error of few validation images",
            "error, few validation images",
            "validation_error",
            UNTOLD,
            "on some labelled validation images alone, the first of each class: no more in all "
            "than there are labels in training",
            "%",
            decimals=(2, 2),
        ),
        error(
            "share of test images that are taken for another class: nothing is chosen by it", False
        ),
    ),
    papers=(),
    long=True,
)
