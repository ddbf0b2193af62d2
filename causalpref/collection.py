"""Which pairs to ask about next: the information of preferences under a linear reward.

Under Bradley-Terry-Luce with a linear reward, P(L = 1) = sigmoid(w . delta) (equations 1 and 8),
a pair tells sigmoid'(w . delta) delta delta' about w, and independent labels add up. So what a
label is worth can be computed before it is bought. The paper's appendix C.2 asks for this:
rationales, active queries, and pairs that differ in one latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import linalg, optimize, special

from causalpref.statistics import (
    LinearFit,
    logistic_fit,
    newton,
    normal_mean,
    normal_sigmoid,
    sigmoid_slope,
    symmetric,
)

__all__ = [
    "Posterior",
    "design_loss",
    "fit_posterior",
    "fit_rationales",
    "information",
    "labels_worth",
    "mutual_information",
    "next_pairs",
    "rationale_information",
    "rationale_probabilities",
]

Criterion = Literal["D", "A", "c"]


@dataclass(frozen=True)
class Posterior:
    """A normal distribution of the weights.

    Parameters
    ----------
    mean : array, shape (d,)
    covariance : array, shape (d, d)
    """

    mean: np.ndarray
    covariance: np.ndarray


# -- what labels tell ------------------------------------------------------


def information(
    features: np.ndarray, weights: np.ndarray | None = None, *, counts: np.ndarray | float = 1.0
) -> np.ndarray:
    """Fisher information of labels about w: the sum of n_i sigmoid'(w . delta_i) delta_i delta_i'.

    Parameters
    ----------
    features : array, shape (n, d)
        delta = Z - Z' of each pair; its sign does not matter.
    weights : array, shape (d,), optional
        Where the information is taken. Default: zero, where a label tells most.
    counts : float or array, shape (n,)
        Labels bought of each pair; fractions are allowed.

    Returns
    -------
    array, shape (d, d)

    Raises
    ------
    ValueError
        Shapes that do not fit, a number that is not finite, or a negative count.
    """
    x, w = _pairs(features, weights)
    n = _counts(counts, len(x))
    return (x * (n * sigmoid_slope(x @ w))[:, None]).T @ x


def design_loss(
    matrix: np.ndarray, criterion: Criterion = "D", *, contrast: np.ndarray | None = None
) -> float:
    """How poorly an information matrix M lets w be known; smaller is better.

    Parameters
    ----------
    matrix : array, shape (d, d)
        M, from :func:`information`; sums of such matrices.
    criterion : {"D", "A", "c"}
        D: -log det M, the log volume of confidence ellipsoids, twice. A: trace of the inverse,
        the sum of the variances. c: g' M^-1 g, the variance of g . w-hat for a ``contrast`` g.
    contrast : array, shape (d,), optional
        For c alone.

    Returns
    -------
    float
        inf where M does not identify w (for c: where it does not identify g . w).
    """
    m = symmetric("matrix", matrix, semidefinite=True)
    g = _contrast(criterion, contrast, len(m))
    values, vectors = np.linalg.eigh(m)
    seen = values > values.max() * 1e-12 * len(m) if values.max() > 0 else values > 0
    if g is not None:
        along = vectors.T @ g
        if np.linalg.norm(along[~seen]) > 1e-6 * np.linalg.norm(g):
            return float("inf")
        return float((along[seen] ** 2 / values[seen]).sum())
    if not seen.all():
        return float("inf")
    return float(-np.log(values).sum() if criterion == "D" else (1 / values).sum())


def labels_worth(
    bought: np.ndarray,
    passive: np.ndarray,
    *,
    contrast: np.ndarray,
    start: np.ndarray | None = None,
) -> float:
    """How many passive labels tell as much about a contrast as what was bought.

    The n at which start + n passive gives g . w the variance that start + bought gives it.

    Parameters
    ----------
    bought : array, shape (d, d)
        Information of all labels bought; see :func:`information`.
    passive : array, shape (d, d)
        Information of one passive label; see :func:`causalpref.statistics.gaussian_information`.
    contrast : array, shape (d,)
        g.
    start : array, shape (d, d), optional
        Information of labels there already. Default: none.

    Returns
    -------
    float
        inf if no number of passive labels is enough; 0 if ``bought`` adds nothing.

    Raises
    ------
    ValueError
        Matrices that are not symmetric and positive semi-definite, or a contrast that start and
        bought together do not identify.
    """
    buy, each = (
        symmetric(name, m, semidefinite=True)
        for name, m in (("bought", bought), ("passive", passive))
    )
    first = np.zeros_like(each) if start is None else symmetric("start", start, semidefinite=True)
    target = design_loss(first + buy, "c", contrast=contrast)
    if not np.isfinite(target):
        raise ValueError(
            "start and bought together do not identify the contrast: its variance is infinite"
        )

    def short(log_n: float) -> float:
        there = design_loss(first + np.exp(log_n) * each, "c", contrast=contrast)
        return np.log(there / target) if np.isfinite(there) else np.inf

    if short(-20.0) <= 0:
        return 0.0
    if short(30.0) > 0:
        return float("inf")
    return float(np.exp(optimize.brentq(short, -20.0, 30.0, xtol=1e-10)))


# -- which pairs to take ---------------------------------------------------


def next_pairs(
    features: np.ndarray,
    budget: int,
    *,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    criterion: Criterion = "D",
    contrast: np.ndarray | None = None,
    repeat: bool = False,
) -> np.ndarray:
    """Pick pairs one by one, each the one that lowers :func:`design_loss` most.

    Exact greedy selection: every pair is scored by what it adds to all before it, so a batch does
    not ask the same thing many times. A step costs O(n d).

    Parameters
    ----------
    features : array, shape (n, d)
        delta of each candidate pair.
    budget : int
        Labels to buy, at most n unless ``repeat``.
    weights : array, shape (d,), optional
        Present guess of w. Default: zero.
    start : array, shape (d, d), optional
        Positive definite: information of labels there already, plus a prior's precision. Default:
        the identity, a standard normal prior.
    criterion, contrast
        As for :func:`design_loss`.
    repeat : bool
        May a pair be picked again?

    Returns
    -------
    array of int, shape (budget,)
        Rows of ``features`` in the order picked; of equals, the first.

    Raises
    ------
    ValueError
        A budget that is not positive or too large, or a start that is not positive definite.
    """
    x, w = _pairs(features, weights)
    n, d = x.shape
    if not 1 <= budget <= (budget if repeat else n):
        raise ValueError(
            f"budget is {budget}, expected 1 to {n}, the number of candidate pairs (or repeat=True)"
        )
    m = np.eye(d) if start is None else symmetric("start", start)
    if m.shape != (d, d):
        raise ValueError(f"start has shape {m.shape}, expected ({d}, {d}) to go with features")
    m = m.copy()
    g = _contrast(criterion, contrast, d)
    bend = sigmoid_slope(x @ w)
    free = np.ones(n, dtype=bool)
    picked = np.empty(budget, dtype=np.int64)
    for step in range(budget):
        if step % 64 == 0:  # start afresh: rank-one updates collect rounding errors
            inverse = linalg.inv(m)
            own = np.einsum("nd,de,ne->n", x, inverse, x)
            toward = x @ inverse @ g if g is not None else None
            square = ((x @ inverse) ** 2).sum(1) if criterion == "A" else None
        scale = 1 + bend * own
        if criterion == "D":
            gain = bend * own
        elif criterion == "A":
            gain = bend * square / scale
        else:
            gain = bend * toward**2 / scale
        if not repeat:
            gain[~free] = -1
        i = int(np.argmax(gain))
        picked[step], free[i] = i, False
        v = inverse @ x[i]
        f = bend[i] / scale[i]
        across = x @ v
        if criterion == "A":
            square -= 2 * f * across * (x @ (inverse @ v)) - f**2 * (v @ v) * across**2
        if g is not None:
            toward -= f * across * toward[i]
        own -= f * across**2
        inverse -= f * np.outer(v, v)
        m += bend[i] * np.outer(x[i], x[i])
    return picked


def mutual_information(
    features: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
    """I(L; w) of the label of each pair and w normal, in nats: what the label is expected to tell.

    H(E[p]) - E[H(p)] with p = sigmoid(t), t normal with mean m . delta and variance delta' V delta,
    and H the entropy of a coin ("Bayesian active learning by disagreement"). Computed by
    the trapezoidal rule, to about 1e-12; at most log 2.

    Parameters
    ----------
    features : array, shape (n, d)
    mean : array, shape (d,)
    covariance : array, shape (d, d)
        Of w, such as :func:`fit_posterior` returns.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        Shapes that do not fit, or a covariance that is not positive semi-definite.
    """
    x, m = _pairs(features, mean, name="mean")
    v = symmetric("covariance", covariance, semidefinite=True)
    if v.shape != (x.shape[1],) * 2:
        raise ValueError(
            f"covariance has shape {v.shape}, expected ({x.shape[1]}, {x.shape[1]}) "
            "to go with features"
        )
    out = np.empty(len(x))
    for rows in np.array_split(np.arange(len(x)), max(len(x) // 20_000, 1)):
        centre = x[rows] @ m
        sd = np.sqrt(np.maximum(np.einsum("nd,de,ne->n", x[rows], v, x[rows]), 0))
        out[rows] = _coin_entropy(normal_sigmoid(centre, sd)) - normal_mean(
            _entropy_of_logit, centre, sd
        )
    return np.maximum(out, 0.0)


def fit_posterior(features: np.ndarray, label: np.ndarray, *, precision: float = 1.0) -> Posterior:
    """Laplace approximation to the posterior of w under a normal prior.

    Unlike :func:`causalpref.estimators.fit_linear` it exists for any labels, few, tied or
    separated.

    Parameters
    ----------
    features : array, shape (n, d)
        n may be 0.
    label : array of {0, 1}, shape (n,)
    precision : float
        Of each weight's prior, which has mean 0; positive.

    Returns
    -------
    Posterior
        The mode, and the inverse of the information there plus the prior's.

    Raises
    ------
    ValueError
        Labels other than 0 and 1, shapes that do not fit, or a precision that is not positive.
    """
    x, _ = _pairs(features, None)
    y = _labels(label, len(x))
    if not precision > 0:
        raise ValueError(f"precision is {precision}, expected a positive number")
    fit = logistic_fit(x, y, ridge=precision)
    return Posterior(fit.weights, fit.covariance)


# -- rationales ------------------------------------------------------------


def rationale_probabilities(
    features: np.ndarray,
    label: np.ndarray,
    weights: np.ndarray,
    *,
    noise: float = 0.0,
    sharpness: float = 1.0,
) -> np.ndarray:
    """P(K = k | L, delta): which feature a judge names as the one that decided.

    A model of rationales (appendix C.2): among the features that differ, k is named with
    probability proportional to exp(sharpness s w_k delta_k), s = 1 if the first was preferred
    and -1 if the second was: what speaks most for the winner. With probability ``noise`` a
    feature is named blindly, each alike, whether it differs or not.

    Parameters
    ----------
    features : array, shape (n, d)
    label : array of {0, 1}, shape (n,)
    weights : array, shape (d,)
    noise : float in [0, 1]
    sharpness : float
        0: any feature that differs. Large: always the one that speaks loudest.

    Returns
    -------
    array, shape (n, d)
        Rows sum to 1. A pair that differs in nothing gives 1 / d each.
    """
    x, w = _pairs(features, weights)
    sign = 2 * _labels(label, len(x)) - 1
    _dials(noise, sharpness)
    return (1 - noise) * _named(x, sign, w, sharpness) + noise / x.shape[1]


def rationale_information(
    features: np.ndarray,
    weights: np.ndarray,
    *,
    noise: float = 0.0,
    sharpness: float = 1.0,
    counts: np.ndarray | float = 1.0,
) -> np.ndarray:
    """What rationales tell about w *beyond* the labels that they come with.

    By the chain rule the information of (L, K) is that of L plus the expectation over L of that of
    K given L, which is returned; K follows :func:`rationale_probabilities`, noise and sharpness
    known.

    Parameters
    ----------
    features, weights, noise, sharpness
        As for :func:`rationale_probabilities`.
    counts : float or array, shape (n,)
        As for :func:`information`.

    Returns
    -------
    array, shape (d, d)
    """
    x, w = _pairs(features, weights)
    n = _counts(counts, len(x))
    _dials(noise, sharpness)
    d = x.shape[1]
    total = np.zeros((d, d))
    for sign in (1.0, -1.0):
        q = _named(x, np.full(len(x), sign), w, sharpness)
        p = (1 - noise) * q + noise / d
        each = np.divide((1 - noise) ** 2 * q**2, p, out=np.zeros_like(p), where=q > 0)
        each *= (n * special.expit(sign * (x @ w)))[:, None]
        a, b = sharpness * x, sharpness * x * q  # the slope of log q_k is a_k e_k - b
        total += np.diag((each * a**2).sum(0)) - (each * a).T @ b - b.T @ (each * a)
        total += (b * each.sum(1)[:, None]).T @ b
    return total


def fit_rationales(
    features: np.ndarray,
    label: np.ndarray,
    named: np.ndarray,
    *,
    noise: float = 0.0,
    sharpness: float = 1.0,
) -> LinearFit:
    """Maximum likelihood from labels and the features that judges named.

    Parameters
    ----------
    features : array, shape (n, d)
    label : array of {0, 1}, shape (n,)
    named : array of int, shape (n,)
        Feature named, 0 to d - 1; -1 where none was asked for.
    noise, sharpness : float
        Of :func:`rationale_probabilities`, taken as known. A noise of 0 rules out that a feature
        which does not differ is named.

    Returns
    -------
    LinearFit
        Standard errors from the information; ``loss`` counts labels and rationales.

    Raises
    ------
    ValueError
        A feature named that does not exist, or one that the model gives probability 0, with its
        row; or weights that run away, since labels and rationales are separated perfectly.
    """
    x, _ = _pairs(features, None)
    y = _labels(label, len(x))
    k = np.asarray(named)
    _dials(noise, sharpness)
    n, d = x.shape
    if k.shape != (n,) or k.dtype.kind not in "iu":
        raise ValueError(f"named has shape {k.shape} and type {k.dtype}, expected ({n},) integers")
    bad = np.flatnonzero((k < -1) | (k >= d))
    if len(bad):
        raise ValueError(
            f"named[{bad[0]}] = {k[bad[0]]}, expected a feature 0 to {d - 1}, or -1 for none"
        )
    has = np.flatnonzero(k >= 0)
    odd = has[(x[has, k[has]] == 0) & (x[has] != 0).any(1)]
    if noise == 0 and len(odd):
        raise ValueError(
            f"named[{odd[0]}] = {k[odd[0]]} is a feature that does not differ in that "
            f"pair ({len(odd)} such rows): such rationales need noise > 0"
        )
    sign, asked = 2 * y - 1, np.zeros((n, d))
    asked[has, k[has]] = 1
    asked, x_has, s_has = asked[has], x[has], sign[has]

    def loss(w: np.ndarray) -> float:
        value = np.logaddexp(0, -sign * (x @ w)).sum()
        if len(has):
            p = (1 - noise) * (_named(x_has, s_has, w, sharpness) * asked).sum(1) + noise / d
            value -= np.log(np.maximum(p, 1e-300)).sum()
        return float(value)

    def score(w: np.ndarray) -> np.ndarray:
        pull = x.T @ (y - special.expit(x @ w))
        if len(has):
            q = _named(x_has, s_has, w, sharpness)
            own = (1 - noise) * (q * asked).sum(1)
            share = own / np.maximum(own + noise / d, 1e-300)
            pull += ((asked - q) * x_has * (sharpness * share * s_has)[:, None]).sum(0)
        return pull

    def curvature(w: np.ndarray) -> np.ndarray:
        return information(x, w) + rationale_information(x_has, w, noise=noise, sharpness=sharpness)

    def derivatives(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        matrix = curvature(w)
        if np.linalg.cond(matrix) > 1e12 or np.abs(x @ w).max() > 500:
            raise ValueError(
                "the weights are not pinned down: features are linearly dependent, "
                "or labels and rationales are separated perfectly"
            )
        return -score(w), matrix

    found = newton(loss, derivatives, np.zeros(d), most=200)
    covariance = np.linalg.inv(curvature(found.at))
    return LinearFit(found.at, covariance, found.loss / n, found.converged)


# -- entropies -----------------------------------------------------------


def _coin_entropy(p: np.ndarray) -> np.ndarray:
    return special.entr(p) + special.entr(1 - p)


def _entropy_of_logit(t: np.ndarray) -> np.ndarray:
    a = np.abs(t)  # H(sigmoid(t)) = log(1 + e^-a) + a sigmoid(-a), with nothing lost far out
    return np.logaddexp(0, -a) + a * special.expit(-a)


def _named(x: np.ndarray, sign: np.ndarray, w: np.ndarray, sharpness: float) -> np.ndarray:
    """Softmax over the features that differ, shape (n, d)."""
    score = np.where(x != 0, sharpness * sign[:, None] * x * w, -np.inf)
    score[~(x != 0).any(1)] = 0
    return special.softmax(score, axis=1)


# -- what was given --------------------------------------------------------


def _pairs(
    features: np.ndarray, weights: np.ndarray | None, *, name: str = "weights"
) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(features, dtype=float)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"features has shape {x.shape}, expected (n, d) with d of 1 or more")
    w = np.zeros(x.shape[1]) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != (x.shape[1],):
        raise ValueError(
            f"{name} has shape {w.shape}, expected ({x.shape[1]},) to go with features"
        )
    bad = np.flatnonzero(~np.isfinite(x).all(1))
    if len(bad):
        raise ValueError(f"features[{bad[0]}] = {x[bad[0]].tolist()} is not finite")
    if not np.isfinite(w).all():
        raise ValueError(f"{name} = {w.tolist()} is not finite")
    return x, w


def _labels(label: np.ndarray, n: int) -> np.ndarray:
    y = np.asarray(label, dtype=float)
    if y.shape != (n,):
        raise ValueError(f"label has shape {y.shape}, expected ({n},) to go with features")
    bad = np.flatnonzero((y != 0) & (y != 1))
    if len(bad):
        raise ValueError(f"label[{bad[0]}] = {y[bad[0]]:g} is neither 0 nor 1")
    return y


def _counts(counts: np.ndarray | float, n: int) -> np.ndarray:
    c = np.asarray(counts, dtype=float)
    if c.ndim and c.shape != (n,):
        raise ValueError(f"counts has shape {c.shape}, expected ({n},) to go with features")
    c = np.broadcast_to(c, (n,))
    bad = np.flatnonzero(~(c >= 0))
    if len(bad):
        raise ValueError(f"counts[{bad[0]}] = {c[bad[0]]:g} is negative or not a number")
    return c


def _dials(noise: float, sharpness: float) -> None:
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}, a probability lies in [0, 1]")
    if not sharpness >= 0:
        raise ValueError(f"sharpness is {sharpness}, expected no negative number")


def _contrast(criterion: str, contrast: np.ndarray | None, d: int) -> np.ndarray | None:
    if criterion not in ("D", "A", "c"):
        raise ValueError(f"criterion is {criterion!r}, expected 'D', 'A' or 'c'")
    if criterion != "c":
        if contrast is not None:
            raise ValueError(f"a contrast goes with criterion 'c', not {criterion!r}")
        return None
    g = None if contrast is None else np.asarray(contrast, dtype=float)
    if g is None or g.shape != (d,) or not np.isfinite(g).all() or not g.any():
        raise ValueError(
            f"criterion 'c' needs a contrast of {d} finite numbers, not all 0; got "
            f"{None if g is None else g.tolist()}"
        )
    return g
