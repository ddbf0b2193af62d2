"""Beyond the paper's tables: what the models keep of type(X), other remedies, more data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalpref import rewards
from causalpref.assumptions import effective_sample_size, propensities
from causalpref.data import PreferenceData
from causalpref.rewards import KINDS, RewardConfig, Run
from causalpref.studies.hh_rlhf import Confounded, Draw, all_draws, runs_of, score_fits

__all__ = [
    "Sweep",
    "by_size",
    "compare_remedies",
    "lambda_sweep",
    "overlap_weights",
    "probes",
    "represent",
    "with_type",
]


_N_TEST = 10_000
"""Test pairs of each draw, at most: with small training sets, scoring would take longest."""


def represent(model: rewards.RewardModel, e: np.ndarray) -> np.ndarray:
    """What a model makes of embeddings before any objective is asked for, shape (n, hidden).

    Multihead and Adversarial: the output of the trunk. Base, which has no such place: its last
    hidden layer with the objective set to 0.
    """
    import torch

    with torch.inference_mode():
        x = torch.tensor(e)
        if model.config.kind != "base":
            return model.represent(x).numpy()
        blank = torch.zeros(len(x), model.config.sizes[1] - 1)
        layers = list(model.trunk)
        last = max(i for i, layer in enumerate(layers) if isinstance(layer, torch.nn.GELU))
        return torch.nn.Sequential(*layers[: last + 1])(torch.cat([x, blank], dim=-1)).numpy()


def probes(
    fits: Sequence[rewards.Fit], draws: Mapping[tuple[float, int], Draw], *, n_prompts: int = 2000
) -> pd.DataFrame:
    """How well type(X) and C can be read from what each model has learned.

    A logistic regression on the standardised representation of first responses, fitted on half of
    the prompts and scored on the other half. type(X) is read on test pairs with as many prompts of
    each type; C on validation pairs, where P(type(X) = C) = rho as in training.

    Parameters
    ----------
    fits : sequence of Fit
        With the tags ``rho`` and ``model``.
    draws : mapping of (rho, seed) to Draw
    n_prompts : int
        Most prompts for one probe.

    Returns
    -------
    pandas.DataFrame
        ``rho``, ``model`` ("embedding": the embeddings themselves), ``seed``, ``target`` ("type"
        or "objective"), ``accuracy``, ``best`` (accuracy of knowing the type: 1 for the type, rho
        or 1 - rho for C), ``prompts``, ``source``.
    """
    rows = []
    for (rho, seed), draw in draws.items():
        mine = [f for f in fits if f.tags["rho"] == rho and f.seed == seed]
        rng = np.random.default_rng(seed)
        for target, pairs in (("type", draw.test), ("objective", draw.validation)):
            e, value = _balanced(pairs, target, n_prompts, rng)
            held = np.arange(len(value)) % 2 == 0
            for name, z in [
                ("embedding", e),
                *((f.tags["model"], represent(f.model, e)) for f in mine),
            ]:
                rows.append(
                    {
                        "rho": rho,
                        "model": name,
                        "seed": seed,
                        "target": target,
                        "accuracy": _probe(z, value, held),
                        "best": 1.0 if target == "type" else max(rho, 1 - rho),
                        "prompts": len(value),
                        "source": draw.train.source,
                    }
                )
    return pd.DataFrame(rows)


def _balanced(
    pairs: PreferenceData, target: str, n_prompts: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of one first response a prompt, as many of each value, in random order."""
    prompt, first = np.unique(pairs.pair_prompt, return_index=True)
    embeddings, objective, prompt_type = pairs.require("embeddings", "objective", "prompt_type")
    value = prompt_type[prompt] if target == "type" else objective[first]
    order = rng.permutation(len(value))
    each = min(n_prompts // 2, *np.bincount(value, minlength=2))
    rows = np.concatenate([order[value[order] == v][:each] for v in (0, 1)])
    rows = rng.permutation(rows)
    return embeddings[pairs.pairs[first[rows], 0]], value[rows]


def _probe(z: np.ndarray, value: np.ndarray, held: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
    return float(probe.fit(z[~held], value[~held]).score(z[held], value[held]))


def overlap_weights(train: PreferenceData, *, seed: int | np.random.Generator = 0) -> np.ndarray:
    """1 - P(C = c | X) for each pair under objective c, propensities cross-fitted.

    The weights of Li, Morgan & Zaslavsky (2018) for two contexts: pairs whose prompt could as well
    have come with the other objective count most, and in the weighted data the prompts of both
    objectives are alike.

    Returns
    -------
    array, shape (n_pairs,)
    """
    e = propensities(train, seed=seed).set_index(["prompt", "objective"])
    own = np.where(e.index.get_level_values("objective") == 0, e["e_0"], e["e_1"])
    by_pair = pd.Series(1 - own, index=e.index)
    by_pair = by_pair[~by_pair.index.duplicated()]
    key = pd.MultiIndex.from_arrays([train.pair_prompt, train.require("objective")])
    return by_pair.loc[key].to_numpy()


def with_type(data: PreferenceData) -> PreferenceData:
    """The same data whose embeddings have a column more, type(X), as large as their others."""
    embeddings, prompt_type = data.require("embeddings", "prompt_type")
    kind = prompt_type[data.response_prompt].astype(embeddings.dtype)
    size = np.sqrt(np.mean(embeddings.astype(float) ** 2)) + 1e-12
    column = (2 * kind - 1)[:, None] * embeddings.dtype.type(size)
    return data.replace(embeddings=np.concatenate([embeddings, column], axis=1))


def compare_remedies(
    data: PreferenceData,
    *,
    rhos: Sequence[float] = (0.7, 0.8, 0.9, 1.0),
    n_seeds: int = 3,
    n_train: int,
    n_validation: int,
    hidden: int = 512,
    progress: bool = False,
    **training: Any,
) -> Confounded:
    """The three models beside two more: overlap weights, and type(X) given.

    ``"overlap weights"`` is Multihead trained with :func:`overlap_weights`, the textbook remedy for
    poor overlap; ``"type given"`` is Multihead that is told what the prompt is
    (:func:`with_type`), which no one would know, without any regularisation: what there is to gain
    from separating type and objective perfectly.

    Parameters
    ----------
    data, rhos, n_seeds, n_train, n_validation, hidden, progress, **training
        See :func:`causalpref.studies.hh_rlhf.reward_models`.

    Returns
    -------
    Confounded
        ``runs`` has ``effective``, the effective sample size of the weights; the training columns
        of "type given" are of the data with the added column.
    """
    draws = all_draws(
        data, rhos, n_seeds, n_train=n_train, n_validation=n_validation, n_test=_N_TEST
    )
    told = with_type(data).embeddings
    config = RewardConfig("multihead", hidden=hidden)
    configs = {kind: RewardConfig(kind, hidden=hidden) for kind in KINDS}
    runs, effective, wide = [], {}, {}
    for (rho, seed), draw in draws.items():
        sides = draw.train, draw.validation, draw.test
        wide[rho, seed] = Draw(*(side.replace(embeddings=told) for side in sides))
        weighted, given = (
            runs_of({(rho, seed): d}, {model: config})[0]
            for model, d in (("overlap weights", draw), ("type given", wide[rho, seed]))
        )
        weight = overlap_weights(weighted.train, seed=seed)
        effective[rho, seed] = effective_sample_size(weight)
        runs += runs_of({(rho, seed): draw}, configs)
        runs += [dataclasses.replace(weighted, weight=weight), given]
    fits = rewards.fit_runs(runs, progress=progress, **training)
    found = score_fits(fits, draws, wider=wide, progress=progress)
    size = [
        effective[r.rho, r.seed] if r.model == "overlap weights" else np.nan
        for r in found.runs.itertuples()
    ]
    return dataclasses.replace(found, runs=found.runs.assign(effective=size))


@dataclass(frozen=True)
class Sweep:
    """Results of :func:`lambda_sweep`.

    Parameters
    ----------
    runs : pandas.DataFrame
        As ``Confounded.runs``, with ``lambda_``; at 0 the model is Multihead.
    probes : pandas.DataFrame
        Of :func:`probes`, with ``lambda_`` in place of ``model``.
    """

    runs: pd.DataFrame
    probes: pd.DataFrame


def lambda_sweep(
    data: PreferenceData,
    *,
    lambdas: Sequence[float] = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0),
    rhos: Sequence[float] = (0.7, 0.9, 1.0),
    n_seeds: int = 3,
    n_train: int,
    n_validation: int,
    hidden: int = 512,
    progress: bool = False,
    **training: Any,
) -> Sweep:
    """The adversarial model under many weights of its second term (equation 5).

    Returns
    -------
    Sweep
    """
    draws = all_draws(
        data, rhos, n_seeds, n_train=n_train, n_validation=n_validation, n_test=_N_TEST
    )
    runs = [
        Run(
            RewardConfig("adversarial", hidden=hidden, lambda_=v),
            *draw.blind,
            seed=seed,
            tags={"rho": rho, "model": f"{v:g}", "lambda_": v},
        )
        for (rho, seed), draw in draws.items()
        for v in lambdas
    ]
    fits = rewards.fit_runs(runs, progress=progress, **training)
    found = score_fits(fits, draws, progress=progress)
    read = probes(fits, draws)
    read = read[read["model"] != "embedding"].rename(columns={"model": "lambda_"})
    return Sweep(found.runs, read.astype({"lambda_": float}).reset_index(drop=True))


def by_size(
    data: PreferenceData,
    *,
    sizes: Sequence[int],
    rhos: Sequence[float] = (0.5, 0.9),
    n_seeds: int = 3,
    share_validation: float = 0.2,
    hidden: int = 512,
    progress: bool = False,
    **training: Any,
) -> pd.DataFrame:
    """How accuracy moves with the number of training pairs.

    Parameters
    ----------
    sizes : sequence of int
        Training pairs; validation pairs are ``share_validation`` of them.
    data, rhos, n_seeds, hidden, progress, **training
        See :func:`causalpref.studies.hh_rlhf.reward_models`.

    Returns
    -------
    pandas.DataFrame
        As ``Confounded.runs``, for every size (``n_train``).
    """
    configs = {kind: RewardConfig(kind, hidden=hidden) for kind in KINDS}
    draws, runs = {}, []
    for n in sizes:
        n_validation = round(share_validation * n)
        draws[n] = all_draws(
            data, rhos, n_seeds, n_train=n, n_validation=n_validation, n_test=_N_TEST
        )
        runs += runs_of(draws[n], configs, size=n)
    fits = rewards.fit_runs(runs, progress=progress, **training)
    parts = [
        score_fits([f for f in fits if f.tags["size"] == n], by_key).runs
        for n, by_key in draws.items()
    ]
    return pd.concat(parts, ignore_index=True)
