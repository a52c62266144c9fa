"""MNIST: 28x28 grey hand-written digits, from the four idx files of LeCun, Cortes and Burges.

Split 59,000 / 1,000 / 10,000: test is the original test file; validation is a sample of the
training file, stratified by class, by a fixed seed. Each split keeps the order of its file.

The files are stored decompressed and verified by their content, because mirrors compress them
differently. The official addresses are those that torchvision's `MNIST` uses.
"""

from pathlib import Path

from aebayes.data.idx import read_idx
from aebayes.data.recipe import RawFile, Recipe, Splits
from aebayes.data.splits import hold_out

VALIDATION = 1_000
VALIDATION_SEED = 0
ADDRESSES = ("https://ossci-datasets.s3.amazonaws.com/mnist", "http://yann.lecun.com/exdb/mnist")


def _raw_file(name: str, size: int, sha256: str) -> RawFile:
    addresses = tuple(f"{address}/{name}.gz" for address in ADDRESSES)
    return RawFile(name, sha256, size, addresses, gzipped=True)


FILES = (
    _raw_file(
        "train-images-idx3-ubyte",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _raw_file(
        "train-labels-idx1-ubyte",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _raw_file(
        "t10k-images-idx3-ubyte",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _raw_file(
        "t10k-labels-idx1-ubyte",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def read(folder: Path) -> Splits:
    """Images and classes from the four idx files in `folder`, split."""
    images, labels, test_images, test_labels = (read_idx(folder / file.name) for file in FILES)
    train, validation = hold_out(labels, VALIDATION, VALIDATION_SEED)
    return {
        "train": (images[train, None], labels[train].astype("int64")),
        "validation": (images[validation, None], labels[validation].astype("int64")),
        "test": (test_images[:, None], test_labels.astype("int64")),
    }


RECIPE = Recipe(
    name="mnist",
    shape=(1, 28, 28),
    scale=255,
    classes=10,
    split=(
        "59,000 / 1,000 / 10,000: test is the original test file; validation is taken from the "
        f"training file, stratified by class with the raw stream of PCG64, seed {VALIDATION_SEED}"
    ),
    source="LeCun, Cortes & Burges 1998, The MNIST database of handwritten digits",
    licence="none stated by its authors; often passed on as CC BY-SA 3.0",
    read=read,
    files=FILES,
)
