"""Latent positivity: what the correlation of two latents in training does to accuracy (table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from causalpref import rewards
from causalpref.data import PreferenceData
from causalpref.estimators import delta
from causalpref.rewards import RewardConfig
from causalpref.sampling import Tilt, sample_correlated, sample_opposed
from causalpref.simulation import label_by_reward
from causalpref.statistics import logistic_fit

__all__ = [
    "PAPER_TABLE_1",
    "accuracy_with_readings",
    "aspect_pairs",
    "best_weights",
    "correlated_latents",
    "reading_noise",
    "table_1",
    "without_ties",
]

PAPER_TABLE_1 = pd.DataFrame(
    [
        (rho, split, value, se)
        for split, cells in (
            ("ID", ((69.3, 0.2), (68.3, 0.2), (67.8, 0.2), (67.6, 0.2))),
            ("OOD", ((64.5, 0.2), (62.0, 0.2), (59.7, 0.2), (57.8, 0.1))),
        )
        for rho, (value, se) in zip((0.0, 0.3, 0.6, 0.9), cells)
    ],
    columns=["rho", "split", "mean", "se"],
).assign(mean=lambda t: t["mean"] / 100, se=lambda t: t["se"] / 100, source="the paper, table 1")
"""Accuracies and standard errors in [0, 1] as Kobalczyk & van der Schaar (2025) print them."""


def correlated_latents(
    data: PreferenceData,
    *,
    rhos: Sequence[float] = (0.0, 0.3, 0.6, 0.9),
    n_seeds: int = 3,
    alpha: float | None = 0.25,
    n_train: int = 15_000,
    n_validation: int = 2_000,
    n_test: int = 15_000,
    tilt: Tilt = "normal",
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 1e-4,
    hidden: int = 512,
    device: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Accuracy on pairs drawn like the training pairs and on opposed ones (table 1).

    Each seed splits the prompts into training, validation and test sides, draws training and
    validation pairs with correlation rho of delta_1 and delta_2, fits the paper's model
    (appendix D.2: three layers, width 512, output 64, a linear reward; best epoch by
    validation accuracy) and tests it on pairs of the same rho (ID) and on pairs of the second
    and fourth quadrant (OOD). Test prompts are the same for every rho.

    Parameters
    ----------
    data : PreferenceData
        With embeddings and two response latents.
    rhos : sequence of float
    n_seeds : int
        Seeds 0, 1, ... of split, draw and training.
    alpha : float or None
        Labels by r = alpha z_1 + (1 - alpha) z_2 (equation 9), ties by a coin. None: the labels
        that the data have.
    n_train, n_validation, n_test : int
        Pairs. The prompts are divided in proportion to what the sides need.
    tilt
        See :func:`causalpref.sampling.sample_correlated`.
    epochs, batch_size, learning_rate, device
        See :func:`causalpref.rewards.fit`.
    hidden : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One row a run and test: ``rho``, ``seed``, ``split`` ("ID" or "OOD"), ``accuracy``,
        ``pairs``, ``correlation`` (Pearson's, of delta in the test pairs; the dial is about zero),
        ``ties`` (share of them with equal rewards), ``best_epoch``, ``validation``, ``n_train``,
        ``source``.

    Raises
    ------
    ValueError
        Data without embeddings, or a pool too small for a rho.
    """
    from tqdm import tqdm

    data.require("embeddings", "response_latents")
    if len(rhos) == 0:
        raise ValueError("rhos is empty: there is nothing to run")
    weights = None if alpha is None else (alpha, 1 - alpha)
    config = RewardConfig("base", n_objectives=1, hidden=hidden, latent=64)
    # opposed pairs are the rarest, about one in eight: testing takes the most prompts
    need = np.array([1.2 * n_train, 1.2 * n_validation, 1.0 * n_train + 1.5 * n_test])
    share = need / need.sum()
    rows = []
    bar = tqdm(total=n_seeds * len(rhos), unit="run", desc="reward models", disable=not progress)
    for seed in range(n_seeds):
        judged = data if weights is None else label_by_reward(data, weights, seed=seed)
        side = judged.split(seed=seed, train=share[0], validation=share[1], test=share[2])
        opposed = sample_opposed(side["test"], n_test, seed=seed)
        for rho in rhos:
            train, validation, alike = (
                sample_correlated(side[name], rho, n, tilt=tilt, seed=seed)
                for name, n in (("train", n_train), ("validation", n_validation), ("test", n_test))
            )
            fitted = rewards.fit(
                config,
                train,
                validation,
                seed=seed,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                device=device,
            )
            for split, test in (("ID", alike), ("OOD", opposed)):
                d = delta(test)
                rows.append(
                    {
                        "rho": rho,
                        "seed": seed,
                        "split": split,
                        "accuracy": fitted.accuracy(test).all,
                        "pairs": len(test),
                        "correlation": float(np.corrcoef(d.T)[0, 1]),
                        "ties": float((np.abs(d @ (weights or (0.5, 0.5))) < 1e-9).mean()),
                        "best_epoch": fitted.best_epoch,
                        "validation": fitted.history.validation_accuracy.max(),
                        "n_train": n_train,
                        "source": data.source,
                    }
                )
            bar.update()
    bar.close()
    return pd.DataFrame(rows)


def without_ties(data: PreferenceData, *, alpha: float = 0.25) -> PreferenceData:
    """The pairs whose responses differ in the reward alpha z_1 + (1 - alpha) z_2."""
    return data.select(np.abs(delta(data) @ (alpha, 1 - alpha)) > 1e-9)


def table_1(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracies beside the paper's, percent, ± one standard error over seeds.

    Parameters
    ----------
    scores : pandas.DataFrame
        Of :func:`causalpref.studies.summarise` by ``rho`` and ``split``.

    Returns
    -------
    pandas.DataFrame
        Strings; one row a split and rho: ``ours``, ``paper``, ``difference`` (points, ours less
        the paper's); empty where the paper has no such rho.
    """
    both = scores.merge(PAPER_TABLE_1, on=["rho", "split"], how="left", suffixes=("", "_paper"))

    def said(mean: float, se: float) -> str:
        return (
            "" if mean != mean else f"{100 * mean:.1f}" + (f" ± {100 * se:.1f}" if se == se else "")
        )

    table = pd.DataFrame(
        {
            "split": both["split"],
            "ρ": both["rho"].map("{:g}".format),
            "ours": [said(m, s) for m, s in zip(both["mean"], both["se"])],
            "paper": [said(m, s) for m, s in zip(both["mean_paper"], both["se_paper"])],
            "difference": [
                "" if p != p else f"{100 * (m - p):+.1f}".replace("-", "−")
                for m, p in zip(both["mean"], both["mean_paper"])
            ],
        }
    )
    return table.sort_values("split", kind="stable").set_index(["split", "ρ"])


def aspect_pairs(
    data: PreferenceData,
    *,
    rhos: Sequence[float] = (0.0, 0.3, 0.6, 0.9),
    n_splits: int = 10,
    alpha: float = 0.25,
    n_train: int = 1200,
    n_test: int = 400,
    test_share: float = 0.375,
    ridge: float = 1.0,
    tilt: Tilt = "normal",
) -> pd.DataFrame:
    """The same question for every ordered pair of rated aspects, with a linear reward.

    For data of a few thousand pairs, such as HANNA: logistic Bradley-Terry on the
    differences of the embeddings, with an L2 penalty, in place of the network. Pairs with tied
    rewards are left out. Beside each accuracy stands the one to expect from how well the embedding
    shows the two aspects, estimated on the training side (:func:`reading_noise`).

    Parameters
    ----------
    data : PreferenceData
        With embeddings and two response latents or more, with names.
    rhos : sequence of float
        One that a split cannot give is left out there.
    n_splits : int
        Random splits of the prompts.
    alpha : float
        Labels by r = alpha z_1 + (1 - alpha) z_2.
    n_train, n_test : int
        Pairs drawn; the opposed pairs of the test side are all used.
    test_share : float
        Of the prompts.
    ridge : float
        Penalty ``ridge / 2 * |w|^2``, embeddings differences scaled to root mean square 1.
    tilt
        See :func:`causalpref.sampling.sample_correlated`.

    Returns
    -------
    pandas.DataFrame
        One row for each ``z1``, ``z2``, ``rho``, ``seed`` (the split) and ``split`` ("ID", "OOD"):
        ``accuracy``, ``expected`` (:func:`accuracy_with_readings`), ``pairs``, ``natural``
        (correlation of delta in all pairs), ``source``.

    Raises
    ------
    ValueError
        Data without embeddings or response latents.
    """
    data.require("embeddings")
    rows = []
    all_d = data.difference("response_latents")
    names = data.names_of("response_latents")
    natural = np.corrcoef(all_d.T)
    for i, j in permutations(range(len(names)), 2):
        weights = np.zeros(len(names))
        weights[[i, j]] = alpha, 1 - alpha
        untied = data.select(np.abs(all_d @ weights) > 1e-9)
        judged = label_by_reward(untied, weights.tolist(), seed=0)
        for seed in range(n_splits):
            side = judged.split(seed=seed, train=1 - test_share, test=test_share)
            d = delta(side["test"])
            opposed = side["test"].select(d[:, i] * d[:, j] < 0)
            noise = reading_noise(
                side["train"].difference("embeddings"), delta(side["train"])[:, [i, j]]
            )
            for rho in rhos:
                try:
                    train, alike = (
                        sample_correlated(side[name], rho, n, latents=(i, j), tilt=tilt, seed=seed)
                        for name, n in (("train", n_train), ("test", n_test))
                    )
                except ValueError:
                    continue
                x = train.difference("embeddings")
                scale = np.sqrt((x**2).mean(axis=0)) + 1e-12
                w = logistic_fit(x / scale, train.label, ridge=ridge).weights
                seen = delta(train)[:, [i, j]]
                best = best_weights(seen.T @ seen / len(seen), noise, weights[[i, j]])
                for split, test in (("ID", alike), ("OOD", opposed)):
                    right = ((test.difference("embeddings") / scale) @ w > 0) == (test.label == 1)
                    rows.append(
                        {
                            "z1": names[i],
                            "z2": names[j],
                            "rho": rho,
                            "seed": seed,
                            "split": split,
                            "accuracy": float(right.mean()),
                            "expected": accuracy_with_readings(
                                delta(test)[:, [i, j]], best, weights[[i, j]], noise
                            ),
                            "pairs": len(test),
                            "natural": float(natural[i, j]),
                            "source": data.source,
                        }
                    )
    return pd.DataFrame(rows)


# -- what noisy readings of the latents do ---------------------------------


def reading_noise(gap: np.ndarray, d: np.ndarray, *, ridge: float = 0.1) -> np.ndarray:
    """How poorly a representation shows latent differences: covariance of the error.

    The model is gap = Lambda d + error, fitted by least squares. Of all unbiased linear readings
    of d from gap the best (generalised least squares) errs with covariance
    (Lambda' Psi^-1 Lambda)^-1, where Psi is the covariance of the error. Lambda and Psi are fitted
    to the same pairs: unless n is many times p, chance looks like a reading and the error comes
    out too small.

    Parameters
    ----------
    gap : array, shape (n, p)
        Differences of embeddings: ``data.difference("embeddings")``.
    d : array, shape (n, m)
        Differences of latents, known for these pairs.
    ridge : float
        Added to the diagonal of Psi, columns of ``gap`` scaled to root mean square 1.

    Returns
    -------
    array, shape (m, m)
        In the units of d, squared.

    Raises
    ------
    ValueError
        Shapes that do not fit, or latents that do not move separately or do not show at all.
    """
    gap, d = np.asarray(gap, dtype=float), np.asarray(d, dtype=float)
    if gap.ndim != 2 or d.ndim != 2 or len(gap) != len(d) or not len(d):
        raise ValueError(f"gap {gap.shape} and d {d.shape}: expected (n, p) and (n, m)")
    if np.linalg.matrix_rank(d) < d.shape[1]:
        raise ValueError("some latent never differs, or differs only together with another")
    x = gap / (np.sqrt((gap**2).mean(axis=0)) + 1e-12)
    slope = np.linalg.lstsq(d, x, rcond=None)[0]
    error = x - d @ slope
    psi = error.T @ error / len(x) + ridge * np.eye(x.shape[1])
    information = slope @ np.linalg.solve(psi, slope.T)
    if np.linalg.matrix_rank(information) < d.shape[1]:
        raise ValueError("the representation does not show these latents separately")
    return np.linalg.inv(information)


def best_weights(
    spread: np.ndarray, noise: np.ndarray, weights: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Weights on noisy readings that predict the reward difference best.

    With delta of covariance S, readings delta + eta of noise covariance T and the reward
    difference a . delta, they are (S + T)^-1 S a. No number of labels changes them.

    Parameters
    ----------
    spread : array, shape (m, m)
        S, about zero: E[delta delta'].
    noise : array, shape (m, m)
        T; see :func:`reading_noise`.
    weights : sequence of float, shape (m,)
        a.

    Returns
    -------
    array, shape (m,)
    """
    spread, a = np.asarray(spread, dtype=float), np.asarray(weights, dtype=float)
    return np.linalg.solve(spread + np.asarray(noise, dtype=float), spread @ a)


def accuracy_with_readings(
    d: np.ndarray,
    fitted: Sequence[float] | np.ndarray,
    weights: Sequence[float] | np.ndarray,
    noise: np.ndarray,
) -> float:
    """Share of pairs that weights on noisy readings order as the reward does.

    The mean of Phi(w' delta sign(a' delta) / sqrt(w' T w)) over the pairs: normal noise. A tie
    of the reward counts one half, as a label by a coin does.

    Parameters
    ----------
    d : array, shape (n, m)
        delta of the pairs.
    fitted : sequence of float, shape (m,)
        w.
    weights : sequence of float, shape (m,)
        a, those of the reward.
    noise : array, shape (m, m)
        T.
    """
    d, w = np.asarray(d, dtype=float), np.asarray(fitted, dtype=float)
    reward = d @ np.asarray(weights, dtype=float)
    size = np.sqrt(w @ noise @ w)
    gap = np.sign(reward) * (d @ w)
    right = ndtr(gap / size) if size > 0 else (np.sign(gap) + 1) / 2
    return float(np.where(np.abs(reward) < 1e-9, 0.5, right).mean())
