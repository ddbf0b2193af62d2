"""Audits of HH-RLHF as tables that can be kept: verdicts and numbers, no word of the data.

The file is read in two ways: with the labels that GPT-3.5 gave under an objective dealt to it,
and as first released, with the labels that people gave, each kind of prompt under its own
objective.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from causalpref.auditing import audit
from causalpref.data import PreferenceData
from causalpref.estimators import longer_preferred
from causalpref.sources import load_preferences
from causalpref.sources.hh_rlhf import OBJECTIVES
from causalpref.statistics import auc, folds, permutation_p_value, proportion, ridge_scores

if TYPE_CHECKING:
    from causalpref.text.embedding import Template

__all__ = [
    "VIEWS",
    "OrderTest",
    "audit_all",
    "audit_tables",
    "blind_rules",
    "order_told",
    "place_rates",
]

VIEWS: dict[str, dict[str, str]] = {
    "relabelled": {},
    "first release": {"label": "original_label", "objective": "data_subset"},
}
"""Columns to read in place of those of the same name, for each way to read the file."""

HASHED = "hashed n-grams"


def audit_tables(
    source: str | os.PathLike[str],
    view: str,
    *,
    model: str | None = None,
    model_name: str = "",
    template: Template = "last_turn",
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """One audit as tables.

    Parameters
    ----------
    source : path
        A file of the relabelled HH-RLHF data.
    view : str
        A key of :data:`VIEWS`. In the first release the order shown was not recorded.
    model : str, optional
        Hub id or folder of a frozen language model. Default: hashed n-grams.
    model_name : str
        Name of the model in the tables.
    template : {"plain", "last_turn", "chat"}
        See :func:`causalpref.text.embedding.embed`.
    seed : int

    Returns
    -------
    dict of str to pandas.DataFrame
        ``summary``, one row a check (:meth:`Audit.to_frame`); ``evidence``, one row a finding;
        ``baselines``; ``cost``: ``seconds``, of which ``embedding``, and ``peak_mb``, the most
        memory that this process ever held. All with ``view`` and ``features``. Examples, which
        are texts, are left out.
    """
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}, expected one of {list(VIEWS)}")
    spent = [0.0]

    def embedded(data: PreferenceData) -> PreferenceData:
        from causalpref.text.embedding import embed

        start = time.perf_counter()
        data = embed(data, model or "", template=template)
        spent[0] = time.perf_counter() - start
        return data

    start = time.perf_counter()
    loaded = load_preferences(source, columns=VIEWS[view])
    if view != "relabelled":
        loaded = replace(loaded, data=loaded.data.replace(order_known=False))
    found = audit(loaded, seed=seed, features=embedded if model else "hashed")
    seconds = time.perf_counter() - start
    evidence = [r.evidence.assign(assumption=r.assumption) for r in found.reports]
    tables = {
        "summary": found.to_frame().drop(columns="source"),
        "evidence": pd.concat(evidence, ignore_index=True),
        "baselines": found.baselines,
        "cost": pd.DataFrame(
            [
                {
                    "pairs": found.counts["pairs"],
                    "seconds": seconds,
                    "embedding": spent[0],
                    "peak_mb": _peak_mb(),
                }
            ]
        ),
    }
    about = {"view": view, "features": (model_name or str(model)) if model else HASHED}
    for name, frame in tables.items():
        numbers = frame.columns.intersection(["value", "low", "high", "p_value"])
        frame = frame.astype(dict.fromkeys(numbers, float))
        for i, (key, value) in enumerate(about.items()):
            frame.insert(i, key, value)
        tables[name] = frame.assign(source=found.source)
    return tables


def place_rates(source: str | os.PathLike[str]) -> pd.DataFrame:
    """How often the label is the first response, by who labelled, prompts and objective.

    Returns
    -------
    pandas.DataFrame
        ``labels`` ("GPT-3.5" or "people"), ``objective`` that GPT-3.5 was given, ``prompts``
        ("helpful", "harmless" or "all"), ``people`` ("first", "second": which response a person
        preferred, or "either"), ``first`` (share), ``low``, ``high`` (95 %, Wilson), ``p_value``
        (exact binomial test of one half), ``pairs``, ``source``.
    """
    new, old = _both(source)
    kind = new.require("prompt_type")[new.pair_prompt]
    rows = []
    for c, objective in enumerate(OBJECTIVES):
        for prompts, t in (*zip(OBJECTIVES, (0, 1)), ("all", None)):
            cell = (new.objective == c) & (kind == t if t is not None else True)
            for labels, data, person in (
                ("people", old, None),
                ("GPT-3.5", new, None),
                ("GPT-3.5", new, 1),
                ("GPT-3.5", new, 0),
            ):
                here = cell & (old.label == person if person is not None else True)
                ones, n = int(data.label[here].sum()), int(here.sum())
                rows.append(
                    {
                        "labels": labels,
                        "objective": objective,
                        "prompts": prompts,
                        "people": {1: "first", 0: "second", None: "either"}[person],
                        **proportion(ones / n, n).cells("first"),
                        "p_value": float(stats.binomtest(ones, n).pvalue),
                        "pairs": n,
                    }
                )
    return pd.DataFrame(rows).assign(source=new.source)


def blind_rules(source: str | os.PathLike[str]) -> pd.DataFrame:
    """Accuracy on the new labels of rules that read nothing, and of what a person preferred.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``pairs`` ("consistent": type and objective agree, "inconsistent", "all"),
        ``accuracy``, ``low``, ``high`` (95 %, Wilson), ``n``, ``source``. Lengths are in
        characters, as in :func:`causalpref.estimators.longer_preferred`; ties are a coin toss.
    """
    new, old = _both(source)
    longer, harmless = longer_preferred(new), new.objective == 1
    first = new.label.astype(float)
    rules = {
        "the longer one": longer,
        "the first one": first,
        "helpful: the longer one; harmless: the shorter one": np.where(
            harmless, 1 - longer, longer
        ),
        "helpful: the longer one; harmless: the first one": np.where(harmless, first, longer),
        "what a person preferred": (new.label == old.label).astype(float),
    }
    consistent = new.consistent
    rows = []
    for rule, hit in rules.items():
        for pairs, here in (
            ("consistent", consistent),
            ("inconsistent", ~consistent),
            ("all", np.full(len(new), True)),
        ):
            n = int(here.sum())
            rate = proportion(hit[here].mean(), n).cells("accuracy")
            rows.append({"rule": rule, "pairs": pairs, **rate, "n": n})
    return pd.DataFrame(rows).assign(source=new.source)


@dataclass(frozen=True)
class OrderTest:
    """Result of :func:`order_told`.

    Parameters
    ----------
    auc : float
        Of guessing the order.
    low, high : float
        The range of 95 % of the AUCs under fresh random orders.
    p_value : float
        One-sided.
    """

    auc: float
    low: float
    high: float
    p_value: float


def order_told(
    data: PreferenceData, *, n_orders: int = 199, seed: int | np.random.Generator = 0
) -> OrderTest:
    """Can the texts tell which response stands first? AUC, what coins give, and a p-value.

    Each pair enters as the difference of its two embeddings, turned round by a coin; a
    cross-fitted ridge score guesses which were turned. If a coin dealt the order, these turns are
    exchangeable with turns dealt afresh, which gives the law of the AUC. Prompts of one
    ``prompt_group`` share a fold.

    Parameters
    ----------
    data : PreferenceData
        With embeddings.
    n_orders : int
        Fresh random orders; the smallest p-value is 1 / (n_orders + 1).
    seed : int or numpy.random.Generator

    Returns
    -------
    OrderTest

    Raises
    ------
    ValueError
        Data without embeddings.
    """
    rng = np.random.default_rng(seed)
    d = data.difference("embeddings")
    turned = rng.random((len(d), 1 + n_orders)) < 0.5
    d = d * np.where(turned[:, :1], -1, 1)
    sd = d.std(axis=0)
    d = (d[:, sd > 1e-9] - d[:, sd > 1e-9].mean(axis=0)) / sd[sd > 1e-9]
    opening = pd.factorize(data.pair_group)[0]
    areas = auc(ridge_scores(d, turned.astype(float), folds(opening, 5, seed=rng)), turned)
    low, high = np.quantile(areas[1:], [0.025, 0.975])
    p = permutation_p_value(areas[0], areas[1:])
    return OrderTest(float(areas[0]), float(low), float(high), p)


def audit_all(
    source: str | os.PathLike[str],
    *,
    model: str | None = None,
    model_name: str = "",
    template: Template = "last_turn",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, pd.DataFrame]:
    """Every view of a file, audited with n-grams and with a language model.

    Each audit runs in a process of its own, so that its time and memory are its own.

    Parameters
    ----------
    source : path
        One file.
    model, model_name, template, seed
        As for :func:`audit_tables`; without a model n-grams only.
    progress : bool
        Say what each audit took.

    Returns
    -------
    dict of str to pandas.DataFrame
        Those of :func:`audit_tables`; ``position`` (:func:`place_rates`), ``rules``
        (:func:`blind_rules`) and ``order`` (:func:`order_told`, by features).
    """
    parts: list[Mapping[str, pd.DataFrame]] = []
    told = []
    spawn = multiprocessing.get_context("spawn")
    for how in (None, model)[: 1 if model is None else 2]:
        for view in VIEWS:
            options = {"model": how, "model_name": model_name, "template": template, "seed": seed}
            with spawn.Pool(1) as pool:
                parts.append(pool.apply(audit_tables, (os.fspath(source), view), options))
            cost = parts[-1]["cost"].iloc[0]
            if progress:
                print(
                    f"{cost.view}, {cost.features}: {cost.seconds:.1f} s, {cost.peak_mb:,.0f} MB",
                    file=sys.stderr,
                    flush=True,
                )
        with spawn.Pool(1) as pool:
            told.append(
                pool.apply(_order_row, (os.fspath(source), how, model_name, template, seed))
            )
    tables = {name: pd.concat([p[name] for p in parts], ignore_index=True) for name in parts[0]}
    # the baselines read no text with a model
    tables["baselines"] = tables["baselines"].drop(columns="features").drop_duplicates()
    return tables | {
        "position": place_rates(source),
        "rules": blind_rules(source),
        "order": pd.DataFrame(told),
    }


def _order_row(
    source: str, model: str | None, model_name: str, template: Template, seed: int
) -> dict[str, Any]:
    from causalpref.text.embedding import embed, hashed_ngrams

    data = load_preferences(source).data
    data = embed(data, model, template=template) if model else hashed_ngrams(data, n_features=256)
    found = order_told(data, seed=seed)
    return {
        "features": (model_name or model) if model else HASHED,
        "auc": found.auc,
        "coin_low": found.low,
        "coin_high": found.high,
        "p_value": found.p_value,
        "pairs": len(data),
        "source": data.source,
    }


def _both(source: str | os.PathLike[str]) -> tuple[PreferenceData, PreferenceData]:
    """The file with the new labels and with those that people gave, row for row."""
    new = load_preferences(source).data
    old = load_preferences(source, columns=VIEWS["first release"]).data
    return new, old


def _peak_mb() -> float:
    """The most memory that this process has held, in MB; nan where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)
