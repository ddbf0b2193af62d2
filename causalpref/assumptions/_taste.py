"""What annotators prefer, with standard errors that let prompts and annotators be clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from causalpref.data import PreferenceData
from causalpref.statistics import cluster_sums, logistic_fit, unit_spread

__all__ = ["ANNOTATORS", "TasteFit", "clusters_of", "level", "scaled_latents", "taste_fit"]

ANNOTATORS = 20
"""Fewest annotators whose differences say how far others would differ."""


def clusters_of(data: PreferenceData) -> list[np.ndarray]:
    """Clusters of each pair: by prompt group, and by annotator where several are recorded."""
    found = [np.unique(data.pair_group, return_inverse=True)[1]]
    if data.annotator is not None:
        who = np.unique(data.annotator, return_inverse=True)[1]
        if who.max(initial=0) > 0:
            found.append(who)
    return found


def level(clusters: list[np.ndarray]) -> str:
    """The level of the standard errors, as a sentence of a report."""
    by = "prompt" if len(clusters) == 1 else "prompt and annotator"
    return f"Standard errors are clustered by {by}."


def scaled_latents(data: PreferenceData) -> np.ndarray:
    """Latents of responses of mean 0, scaled so that 1 is a difference to speak of, (n, m).

    One standard deviation, or one value against the other where there are two.
    """
    z = unit_spread(data.require("response_latents"))
    two = np.array([len(np.unique(column)) == 2 for column in z.T], dtype=bool)
    z[:, two] /= np.ptp(z[:, two], axis=0)
    return z


@dataclass(frozen=True, eq=False)
class TasteFit:
    """A logistic fit with what a jackknife over clusters says of its weights.

    Parameters
    ----------
    weights : array, shape (d,)
    covariances : list of array, shape (d, d)
        By each kind of cluster, and by both at once where there are two.
    leverage : array, shape (n, d)
        Rows times the inverse of the curvature, times the root of the variance of the label.
    clusters : list of array, shape (n,)
    informative : float
        Pairs, each counted by the variance of its label, relative to that of a fair coin.
    """

    weights: np.ndarray
    covariances: list[np.ndarray]
    leverage: np.ndarray
    clusters: list[np.ndarray]
    informative: float

    def variance(self, gradient: np.ndarray) -> float:
        """Variance of the combination ``gradient @ weights``.

        The two-way variance of Cameron, Gelbach & Miller (2011), but no less than either
        one-way variance: their sum less the joint one can fall below both, even below 0.
        """
        one = [max(float(gradient @ v @ gradient), 0.0) for v in self.covariances]
        return one[0] if len(one) == 1 else max(one[0] + one[1] - one[2], one[0], one[1])

    def effective(self, gradient: np.ndarray) -> np.ndarray:
        """How many equal clusters of each kind the combination rests on.

        (sum a)^2 / sum a^2 of the clusters' shares a in its variance, after Carter, Schnepel &
        Steigerwald (2017): a few large clusters count as few.
        """
        share = (self.leverage @ gradient) ** 2
        out = []
        for member in self.clusters:
            a = np.bincount(member, weights=share)
            out.append(a.sum() ** 2 / max((a**2).sum(), 1e-300))
        return np.array(out)


def taste_fit(x: np.ndarray, y: np.ndarray, clusters: list[np.ndarray]) -> TasteFit:
    """Logistic fit with cluster-jackknife covariances (CV3), one Newton step a cluster.

    Parameters
    ----------
    x : array, shape (n, d)
        Columns of full rank; their scale does not matter.
    y : array of {0, 1}, shape (n,)
    clusters : list of array of int, shape (n,)
        One kind of cluster, or two that cross, numbered from 0.
    """
    size = np.sqrt((x**2).mean(axis=0))
    scaled = x / size
    w = logistic_fit(scaled, y, ridge=1e-3).weights
    p = special.expit(scaled @ w)
    root = np.sqrt(p * (1 - p))
    rows = scaled * root[:, None]
    curvature = rows.T @ rows
    curvature[np.diag_indices(len(w))] += 1e-3
    inverse = np.linalg.inv(curvature)
    scores = scaled * (y - p)[:, None]
    spread = rows @ inverse
    own = (spread * rows).sum(axis=1)  # leverage of each row
    kinds = list(clusters)
    if len(clusters) == 2:
        a, b = clusters
        kinds.append(np.unique(a * (b.max() + 1) + b, return_inverse=True)[1])
    back = 1 / size
    return TasteFit(
        w * back,
        [
            _jackknife(rows, scores, own, member, curvature, inverse) * np.outer(back, back)
            for member in kinds
        ],
        spread * back,
        list(clusters),
        float(4 * (root**2).sum()),
    )


def _jackknife(
    rows: np.ndarray,
    scores: np.ndarray,
    own: np.ndarray,
    member: np.ndarray,
    curvature: np.ndarray,
    inverse: np.ndarray,
) -> np.ndarray:
    """Sum over clusters of the squared change of the weights when the cluster is left out."""
    step = cluster_sums(scores, member) @ inverse
    n = len(step)
    alone = np.bincount(member) == 1
    single = alone[member]
    step[member[single]] /= np.maximum(1 - own[single], 1e-6)[:, None]
    # clusters of several rows with little leverage change the curvature little
    heavy = np.flatnonzero(~alone & (np.bincount(member, weights=own) > 0.05))
    if len(heavy):
        order = np.argsort(member, kind="stable")
        start = np.searchsorted(member[order], np.arange(n + 1))
        for g in heavy:
            of = order[start[g] : start[g + 1]]
            left = curvature - rows[of].T @ rows[of]
            step[g] = np.linalg.lstsq(left, scores[of].sum(axis=0), rcond=1e-10)[0]
    return step.T @ step * ((n - 1) / n if n > 1 else 1.0)
