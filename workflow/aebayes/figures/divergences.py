"""What a Gaussian makes of two modes under each divergence, and what is learnt from samples."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.integrate import trapezoid
from scipy.optimize import minimize
from scipy.special import rel_entr
from scipy.stats import norm

from aebayes.data.two_modes import MEANS, SD, density
from aebayes.figures.sources import Sources
from aebayes.figures.style import COLUMN, PALE, method_colour, new_figure, note

# Beyond its ends neither the modes nor a Gaussian fitted to them has mass that counts.
GRID = np.linspace(-1.0, 2.0, 6001)
STARTS = [(mean, sd) for mean in (*MEANS, float(np.mean(MEANS))) for sd in (SD, 4 * SD)]
TINY = 1e-300

Divergence = Callable[[np.ndarray, np.ndarray], float]


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p ‖ q) of densities on the grid, in nats."""
    return float(trapezoid(rel_entr(p, np.maximum(q, TINY)), GRID))


def reverse_kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(q ‖ p)."""
    return kl(q, p)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """JSD(p, q), what a GAN with an optimal discriminator minimises (Goodfellow et al. 2014)."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


DIVERGENCES: dict[str, tuple[Divergence, str]] = {
    "KL$(p, q)$": (kl, "#0072b2"),
    "KL$(q, p)$": (reverse_kl, "#d55e00"),
    "JSD$(p, q)$": (jensen_shannon, "#009e73"),
}
DASHED = jensen_shannon  # it may take the same mode as the reversed KL


def fitted(divergence: Divergence) -> tuple[float, float, float]:
    """Mean and deviation of the Gaussian q that is nearest to p, and how near, in nats."""
    p = density(GRID)

    def loss(at: np.ndarray) -> float:
        return divergence(p, norm.pdf(GRID, at[0], np.exp(at[1])))

    tried = [minimize(loss, (mean, np.log(sd)), method="Nelder-Mead") for mean, sd in STARTS]
    best = min(tried, key=lambda found: found.fun)
    return float(best.x[0]), float(np.exp(best.x[1])), float(best.fun)


def draw_divergences(sources: Sources) -> Figure:
    """Left: q fitted by quadrature. Right: by maximum likelihood, and a GAN's, from samples."""
    shown = sources.only_experiment()
    dataset = sources.dataset(shown.dataset)
    (samples,) = shown.finite("samples", X=1)
    points = dataset.split("train")[0].ravel() / dataset.scale
    figure = new_figure(COLUMN * 0.62)
    note(figure, "grey: $p$, two Gaussians")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes in (left, right):
        axes.fill_between(GRID, density(GRID), color=PALE, linewidth=0)
    for name, (divergence, colour) in DIVERGENCES.items():
        mean, sd, least = fitted(divergence)
        style = (0, (3, 1.5)) if divergence is DASHED else "-"
        show_gaussian(left, mean, sd, f"{name} = {least:.2f} nats", colour, style)
    colour = DIVERGENCES["KL$(p, q)$"][1]
    show_gaussian(right, points.mean(), points.std(), "maximum likelihood", colour)
    colour = method_colour(shown.method)
    show_gaussian(right, samples.mean(), samples.std(), shown.label, colour)
    left.set_title("nearest Gaussian $q$ by")
    right.set_title("learnt from samples of $p$")
    left.set_ylabel("density")
    for axes in (left, right):
        axes.set(xlim=(0, 1), xlabel="$x$")
        axes.set_ylim(0, 11)
        axes.legend(loc="upper right", frameon=False, borderaxespad=0.1, handlelength=1.2)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def show_gaussian(
    axes: Axes, mean: float, sd: float, label: str, colour: str, style: tuple | str = "-"
) -> None:
    """The density of N(mean, sd²)."""
    axes.plot(GRID, norm.pdf(GRID, mean, sd), color=colour, linestyle=style, label=label)
