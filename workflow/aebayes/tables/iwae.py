"""Tables 1 and 2 of Importance Weighted Autoencoders, arXiv:1509.00519."""

from dataclasses import replace

from aebayes.tables import likelihoods
from aebayes.tables.table import START, UNITS, Quantity, Table

NLL = replace(
    likelihoods.NLL,
    note="−L_k of {scored} test images, an upper bound on −log p(x) in expectation, with {k} "
    "importance samples an image from q(z|x)",
)
ACTIVE = Quantity(
    "active units",
    "active units",
    "active_units",
    "q(z|x) has no density",
    "units u of the first layer, z or z1, with Var_x(E_q[u]) > 0.01 over the training images",
    unit=UNITS,
    decimals=(1, 0),
)
ACTIVE_2 = Quantity(
    "active units, second layer",
    "in $z_2$",
    "active_units_2",
    "the model has one stochastic layer",
    "the same of z2, with E_q[u] given a sample of z1",
    unit=UNITS,
    decimals=(1, 0),
)
PRUNED = Quantity(
    "−log p(x) without the inactive units",
    "active units only",
    "nll_pruned",
    "evaluation.pruned_images is not given for this run",
    "−L_k again, the inactive units taken out of every network; the change is measured on the "
    "first {pruned} test images and added to −L_k of all",
)

TABLE_1 = Table(
    title="VAE and IWAE with k samples in the bound: likelihood of test images, and active units",
    quantities=(NLL, ACTIVE, ACTIVE_2, PRUNED),
    papers=("iwae",),
    long=True,
)

TABLE_2 = Table(
    title="The objective switched: a trained VAE goes on as IWAE, and a trained IWAE as VAE",
    quantities=(
        NLL,
        replace(
            NLL,
            name="change of −log p(x)",
            tex="change",
            note="replica by replica, from the run that this one goes on from",
            over=START,
        ),
        ACTIVE,
        replace(
            ACTIVE,
            name="change of active units",
            tex="change",
            note="likewise",
            over=START,
        ),
    ),
    papers=("iwae",),
    long=True,
)
