"""What limited latent positivity costs: the paper's appendix D.1 in closed form.

Two latents differ within a pair by delta = (delta_1, delta_2), normal with mean zero, variances
one and correlation rho (equation 7, whose matrix should hold variances on its diagonal). The
reward is r = alpha z_1 + (1 - alpha) z_2 (equation 8), so the pair is decided by the side of the
line alpha delta_1 + (1 - alpha) delta_2 = 0 on which delta falls.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from causalpref.statistics import gaussian_information

__all__ = [
    "accuracy_between",
    "alpha_variance",
    "expected_accuracy",
    "labels_needed",
    "opposed_probability",
]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(200)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def opposed_probability(rho: float | np.ndarray) -> float | np.ndarray:
    """P(delta_1 delta_2 < 0) = 1/2 - arcsin(rho) / pi: the second and fourth quadrant.

    Only there can two weights alpha and alpha-hat in [0, 1] disagree.

    Raises
    ------
    ValueError
        A rho outside [-1, 1].
    """
    return (0.5 - np.arcsin(_correlation(rho)) / np.pi)[()]


def accuracy_between(
    alpha: float | np.ndarray,
    alpha_hat: float | np.ndarray,
    rho: float | np.ndarray,
    *,
    opposed: bool = False,
) -> float | np.ndarray:
    """Share of pairs that the weight alpha-hat orders as alpha does, no noise in the labels.

    One minus the angle between the two boundaries over pi, measured in the metric of the
    correlation matrix S: cos(angle) = w' S v / sqrt(w' S w v' S v) for w = (alpha, 1 - alpha) and
    v = (alpha-hat, 1 - alpha-hat).

    Parameters
    ----------
    alpha, alpha_hat : float or array
        In [0, 1] when ``opposed``.
    rho : float or array in [-1, 1]
        Correlation of delta where the accuracy is measured.
    opposed : bool
        Among pairs of the second and fourth quadrant, where all of the errors are.

    Returns
    -------
    float or array in [0, 1]
        nan where ``opposed`` and rho is 1: there are no such pairs.

    Raises
    ------
    ValueError
        A rho outside [-1, 1], or an alpha outside [0, 1] with ``opposed``.
    """
    rho = _correlation(rho)
    a, b = np.asarray(alpha, dtype=float), np.asarray(alpha_hat, dtype=float)
    if opposed:
        for name, v in (("alpha", a), ("alpha_hat", b)):
            if not ((v >= 0) & (v <= 1)).all():
                raise ValueError(
                    f"{name} = {v[(v < 0) | (v > 1)].flat[0]:g} is outside [0, 1]: errors are "
                    "then not confined to the opposed quadrants"
                )
    # in coordinates in which delta is standard normal, w becomes S^(1/2) w; with the triangular
    # root the angle is a difference of two arc tangents, exact for small angles too
    slope = np.sqrt(np.maximum(1 - rho**2, 0))
    angle = np.abs(
        np.arctan2((1 - a) * slope, a + (1 - a) * rho)
        - np.arctan2((1 - b) * slope, b + (1 - b) * rho)
    )
    angle = np.minimum(angle, 2 * np.pi - angle)
    wrong = angle / np.pi
    if opposed:
        region = np.broadcast_to(opposed_probability(rho), wrong.shape)
        wrong = np.divide(wrong, region, out=np.full(wrong.shape, np.nan), where=region > 0)
    return (1 - wrong)[()]


def alpha_variance(alpha: float, rho: float, *, scale: float = 1.0) -> float:
    """n times the large-sample variance of alpha-hat, from the Fisher information.

    Labels are Bradley-Terry-Luce with log odds ``scale`` (alpha delta_1 + (1 - alpha) delta_2);
    both weights are fitted by maximum likelihood and alpha-hat = w_1 / (w_1 + w_2). With
    s(t) = sigmoid(t) (1 - sigmoid(t)) the information about w of one pair is
    E[s(w' delta) delta delta'] (``causalpref.statistics.gaussian_information``).

    Parameters
    ----------
    alpha : float
    rho : float in (-1, 1)
    scale : float
        Reward differences in units of the judge's noise; positive.

    Returns
    -------
    float
        The standard error of alpha-hat from n pairs is sqrt(alpha_variance / n).

    Raises
    ------
    ValueError
        A rho of -1 or 1 (the weights are not identified), or a scale that is not positive.
    """
    rho = float(_correlation(rho))
    if abs(rho) == 1:
        raise ValueError(f"rho is {rho:g}: the two weights cannot be told apart")
    if not scale > 0:
        raise ValueError(f"scale is {scale:g}, expected a positive number")
    s = np.array([[1.0, rho], [rho, 1.0]])
    w = scale * np.array([alpha, 1 - alpha])
    gradient = np.array([w[1], -w[0]]) / w.sum() ** 2
    return float(gradient @ np.linalg.solve(gaussian_information(s, w), gradient))


def expected_accuracy(
    n: float,
    alpha: float,
    rho: float,
    *,
    rho_test: float | None = None,
    scale: float = 1.0,
    opposed: bool = False,
) -> float:
    """Accuracy to expect of alpha-hat from n training pairs, against the noiseless order.

    The mean of :func:`accuracy_between` over alpha-hat normal with the variance of
    :func:`alpha_variance`, kept within [0, 1] when ``opposed``: a large-sample value.

    Parameters
    ----------
    n : float
        Training pairs.
    alpha, rho, scale
        As for :func:`alpha_variance`.
    rho_test : float, optional
        Correlation in testing. Default: that of training.
    opposed : bool
        As for :func:`accuracy_between`.
    """
    if not n > 0:
        raise ValueError(f"n is {n:g}, expected a positive number of pairs")
    guess = alpha + np.sqrt(alpha_variance(alpha, rho, scale=scale) / n) * _NODES
    if opposed:
        guess = np.clip(guess, 0, 1)
    rho_test = rho if rho_test is None else rho_test
    return float(_WEIGHTS @ accuracy_between(alpha, guess, rho_test, opposed=opposed))


def labels_needed(
    accuracy: float,
    alpha: float,
    rho: float,
    *,
    rho_test: float | None = None,
    scale: float = 1.0,
    opposed: bool = False,
) -> float:
    """Training pairs until :func:`expected_accuracy` reaches ``accuracy``.

    Raises
    ------
    ValueError
        An accuracy outside (1/2, 1), or one that is not passed at any n above 1.
    """
    if not 0.5 < accuracy < 1:
        raise ValueError(f"accuracy is {accuracy:g}, expected a number between 1/2 and 1")

    def short(log_n: float) -> float:
        return (
            expected_accuracy(
                np.exp(log_n), alpha, rho, rho_test=rho_test, scale=scale, opposed=opposed
            )
            - accuracy
        )

    if short(0.0) >= 0:
        return 1.0
    return float(np.exp(optimize.brentq(short, 0.0, 60.0)))


def _correlation(rho: float | np.ndarray) -> np.ndarray:
    rho = np.asarray(rho, dtype=float)
    if not ((rho >= -1) & (rho <= 1)).all():
        raise ValueError(f"rho = {rho[~((rho >= -1) & (rho <= 1))].flat[0]:g} is outside [-1, 1]")
    return rho
