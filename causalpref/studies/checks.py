"""How often the checks of the assumptions are right: false alarms and power on simulated data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from causalpref.assumptions import (
    Report,
    check_additivity,
    check_all,
    check_consistency,
    check_latent_positivity,
    check_positivity,
    check_sufficiency,
    check_unconfoundedness,
)
from causalpref.data import PreferenceData
from causalpref.simulation import Embedding, Latent, Simulator, linear_reward, quadratic_reward
from causalpref.statistics import holm, proportion, wilson_interval
from causalpref.studies._seeds import integer_seed

__all__ = ["SCENARIOS", "Scenario", "power_curve", "power_curves", "size_and_power", "sound_alarms"]

Draw = Callable[[float, int, np.random.Generator], PreferenceData]


@dataclass(frozen=True)
class Scenario:
    """A world in which an assumption can be broken by degrees.

    Parameters
    ----------
    assumption : str
    looks_at : str
        Which part of the check is tried.
    check : callable
        Data to :class:`causalpref.assumptions.Report`.
    draw : callable
        ``draw(strength, n_prompts, rng)``: simulated data; at strength 0 the assumption holds.
    dial : str
        What the strength is.
    stated : float
        The strength at which the check's docstring promises a power of 80 %.
    n_prompts : int
        Prompts.
    """

    assumption: str
    looks_at: str
    check: Callable[[PreferenceData], Report]
    draw: Draw
    dial: str
    stated: float
    n_prompts: int


_TWO = Simulator(linear_reward([1.0, 1.0]), name="simulated")


def _place(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    return _TWO.replace(position_bias=strength).sample(n, seed=rng)


def _swapped(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    """Every pair judged in both orders, by two people."""
    model = _TWO.replace(position_bias=strength)
    data = model.sample(n, seed=rng)
    pairs = np.concatenate([data.pairs, data.pairs[:, ::-1]])
    both = data.replace(
        pairs=pairs, label=np.zeros(2 * n, dtype=int), objective=np.zeros(2 * n, dtype=int)
    )
    return both.replace(label=(rng.random(2 * n) < model.outcomes(both)).astype(int))


def _repeats(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    """Every pair judged twice by one person, who answers anew with some probability."""
    data = _TWO.sample(n, seed=rng)
    again = np.where(rng.random(n) < strength, 1 - data.label, data.label)
    rows = np.tile(np.arange(n), 2)
    return data.select(rows).replace(
        label=np.concatenate([data.label, again]), annotator=np.tile(np.arange(n) % 20, 2)
    )


def _asked(strength: float, n: int, rng: np.random.Generator, apart: float = 2.0) -> PreferenceData:
    """Two contexts with different rewards; rho = 1/2 + strength."""
    return Simulator(
        linear_reward([[1.0, 0.2], [-0.3, 1.0]]),
        prompt_latents=(Latent("risk"),),
        type_effect=np.array([[-apart / 2], [apart / 2]]),
        contexts=(0.5, 0.5),
        rho=0.5 + strength,
        name="simulated",
    ).sample(n, seed=rng)


def _apart(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    return _asked(strength, n, rng, apart=3.0)


_FULL = Simulator(linear_reward([1.0, 0.7]), embedding=Embedding(d=32, noise=0.5), name="simulated")


def _missing(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    """The second latent is not in the data; it is worth ``strength``."""
    data = _FULL.replace(reward=linear_reward([0.7, strength])).sample(n, seed=rng)
    return data.replace(response_latents=data.require("response_latents")[:, :1])


_PLAIN = Simulator(
    linear_reward([1.0, 1.0]),
    response_latents=(Latent("a", "binary"), Latent("b", "binary")),
    prompt_latents=(Latent("task", "binary"),),
    name="simulated",
)


def _hole(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    """A response with both features is shown with probability 1 - strength."""
    if strength == 0:
        return _PLAIN.sample(n, seed=rng)

    def hole(z_x: np.ndarray, z: np.ndarray, z_prime: np.ndarray) -> np.ndarray:
        return (z.sum(axis=1) == 2) & (rng.random(len(z)) < strength)

    return _PLAIN.replace(hole=hole).sample(n, seed=rng)


def _tied(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    return _TWO.replace(correlation=strength).sample(n, seed=rng)


def _interact(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    """The first latent is worth 1 + strength times Z^X."""

    def reward(z_x: np.ndarray, z: np.ndarray, c: np.ndarray) -> np.ndarray:
        return z[:, 0] * (1 + strength * z_x[:, 0]) + z[:, 1]

    return Simulator(reward, prompt_latents=(Latent("topic"),), name="simulated").sample(
        n, seed=rng
    )


def _best_level(strength: float, n: int, rng: np.random.Generator) -> PreferenceData:
    """Example 2 with best levels ``strength`` apart."""
    return Simulator(
        quadratic_reward((-1.0, -1.0), (strength / 2, -strength / 2)),
        response_latents=(Latent("conciseness"),),
        prompt_latents=(Latent("creative writing", "binary"),),
        name="simulated",
    ).sample(n, seed=rng)


SCENARIOS: dict[str, Scenario] = {
    "place": Scenario(
        "1, consistency",
        "pull of the first place, random order",
        check_consistency,
        _place,
        "position bias in reward",
        0.35,
        1000,
    ),
    "swapped": Scenario(
        "1, consistency",
        "pairs judged in both orders",
        check_consistency,
        _swapped,
        "position bias in reward",
        0.4,
        400,
    ),
    "repeats": Scenario(
        "1, consistency",
        "one annotator asked twice, deterministic answers",
        partial(check_consistency, answers="deterministic"),
        _repeats,
        "share of changed answers",
        0.12,
        200,
    ),
    "told": Scenario(
        "2, unconfoundedness",
        "is the context told by the texts?",
        check_unconfoundedness,
        _asked,
        "rho less 1/2",
        0.2,
        400,
    ),
    "overlap": Scenario(
        "3, positivity given C",
        "propensities of the context",
        check_positivity,
        _apart,
        "rho less 1/2",
        0.5,
        400,
    ),
    "missing": Scenario(
        "4, latent sufficiency",
        "does the embedding know more?",
        check_sufficiency,
        _missing,
        "worth of the missing latent",
        0.7,
        1000,
    ),
    "hole": Scenario(
        "5, latent positivity",
        "cells of binary latents",
        check_latent_positivity,
        _hole,
        "share left out of one cell",
        1.0,
        1000,
    ),
    "tied": Scenario(
        "5, latent positivity",
        "correlation of continuous latents",
        partial(check_latent_positivity, inflation=5.0),  # by itself a correlation is no alarm
        _tied,
        "correlation of differences",
        0.95,
        1000,
    ),
    "interaction": Scenario(
        "Z^X is additive",
        "worth of a latent by prompt",
        check_additivity,
        _interact,
        "change of worth per sd of Z^X",
        0.5,
        1000,
    ),
    "best_level": Scenario(
        "Z^X is additive",
        "best level by task (example 2)",
        check_additivity,
        _best_level,
        "distance of best levels",
        0.5,
        1000,
    ),
}
"""The worlds in which the checks are tried, by name."""


def power_curve(
    name: str,
    strengths: Sequence[float],
    *,
    n_datasets: int = 100,
    n_prompts: int | None = None,
    seed: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Share of simulated data sets in which a check raises an alarm, by strength of violation.

    Parameters
    ----------
    name : str
        A key of :data:`SCENARIOS`.
    strengths : sequence of float
        0 is no violation.
    n_datasets : int
        Simulated data sets for each strength.
    n_prompts : int, optional
        The scenario's by default.
    seed : int or numpy.random.Generator

    Returns
    -------
    pandas.DataFrame
        ``scenario``, ``strength``, ``n``, ``datasets``, ``alarms`` (share), ``violated`` (share
        with that verdict), ``untestable`` (share), ``source``.
    """
    if name not in SCENARIOS:
        raise ValueError(f"scenario {name!r} is not known; there are {list(SCENARIOS)}")
    scenario, rows = SCENARIOS[name], []
    number = integer_seed(seed)
    for strength in strengths:
        seeds = np.random.SeedSequence([number, list(SCENARIOS).index(name), round(1e6 * strength)])
        verdicts = [
            scenario.check(
                scenario.draw(strength, n_prompts or scenario.n_prompts, np.random.default_rng(s))
            ).verdict
            for s in seeds.spawn(n_datasets)
        ]
        rows.append(
            {
                "scenario": name,
                "strength": strength,
                "n": n_prompts or scenario.n_prompts,
                "datasets": n_datasets,
                "alarms": float(np.mean([v.alarm for v in verdicts])),
                "violated": float(np.mean([v == "violated" for v in verdicts])),
                "untestable": float(np.mean([v == "cannot be tested" for v in verdicts])),
                "source": "simulated",
            }
        )
    return pd.DataFrame(rows)


def size_and_power(
    *, n_datasets: int = 500, seed: int | np.random.Generator = 0, progress: bool = False
) -> pd.DataFrame:
    """False alarms without a violation, power at the stated one, for every check.

    Parameters
    ----------
    n_datasets : int
        Simulated data sets for each number.
    seed : int or numpy.random.Generator
    progress : bool

    Returns
    -------
    pandas.DataFrame
        ``scenario``, ``assumption``, ``looks_at``, ``n`` (prompts), ``false_alarms``, ``dial``,
        ``stated`` (strength), ``power``, ``datasets``, ``source``.
    """
    from tqdm import tqdm

    rows = []
    for name, s in tqdm(SCENARIOS.items(), disable=not progress, unit="check"):
        null, broken = power_curve(name, (0.0, s.stated), n_datasets=n_datasets, seed=seed).alarms
        rows.append(
            {
                "scenario": name,
                "assumption": s.assumption,
                "looks_at": s.looks_at,
                "n": s.n_prompts,
                "false_alarms": null,
                "dial": s.dial,
                "stated": s.stated,
                "power": broken,
                "datasets": n_datasets,
                "source": "simulated",
            }
        )
    return pd.DataFrame(rows)


# -- checks made together --------------------------------------------------------


def power_curves(
    *,
    n_datasets: int = 200,
    sizes: Sequence[float] = (0.5, 1, 2),
    steps: Sequence[float] = (0, 0.25, 0.5, 0.75, 1),
    seed: int | np.random.Generator = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Alarms of every check by strength of the violation and number of prompts.

    Parameters
    ----------
    n_datasets : int
        Simulated data sets for each number.
    sizes : sequence of float
        Numbers of prompts, in multiples of the scenario's.
    steps : sequence of float
        Strengths, in multiples of the one that the check's docstring states.
    seed : int or numpy.random.Generator
    progress : bool

    Returns
    -------
    pandas.DataFrame
        As :func:`causalpref.studies.checks.power_curve`, with ``assumption``, ``looks_at``,
        ``dial``, ``step`` and ``low``, ``high`` (95 %, Wilson) of ``alarms``.
    """
    from tqdm import tqdm

    parts = []
    for name, s in tqdm(SCENARIOS.items(), disable=not progress, unit="check"):
        for size in sizes:
            part = power_curve(
                name,
                [step * s.stated for step in steps],
                n_datasets=n_datasets,
                n_prompts=round(size * s.n_prompts),
                seed=seed,
            )
            ends = np.array([wilson_interval(a, n_datasets) for a in part.alarms])
            parts.append(
                part.assign(
                    assumption=s.assumption,
                    looks_at=s.looks_at,
                    dial=s.dial,
                    step=list(steps),
                    low=ends[:, 0],
                    high=ends[:, 1],
                )
            )
    return pd.concat(parts, ignore_index=True)


def sound_alarms(
    *,
    n_datasets: int = 200,
    n_prompts: int = 800,
    alpha: float = 0.05,
    seed: int | np.random.Generator = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """How often all six checks, made on sound data, raise an alarm: each, and any of them.

    The data have two latents that suffice, two objectives that differ in what they reward and
    were dealt to prompts by a coin, an order dealt by a coin, and embeddings that carry nothing
    but the latents.

    Parameters
    ----------
    n_datasets : int
    n_prompts : int
        Prompts, one pair each.
    alpha : float
        Level of Holm's method over the p-values of a data set's six reports. A report without one
        (its check goes by a threshold) counts as 1.
    seed : int or numpy.random.Generator
    progress : bool

    Returns
    -------
    pandas.DataFrame
        ``check`` (an assumption, ``"any of the six"`` or ``"any p-value, after Holm"``),
        ``alarms``, ``low``, ``high`` (95 %, Wilson), ``datasets``, ``n``, ``source``.
    """
    from tqdm import trange

    sound = Simulator(
        linear_reward([[1.0, 0.2], [-0.3, 1.0]]),
        prompt_latents=(Latent("topic"),),
        contexts=(0.5, 0.5),
        rho=0.5,
        embedding=Embedding(d=32, noise=0.5),
        name="simulated",
    )
    seeds = np.random.SeedSequence(integer_seed(seed)).spawn(n_datasets)
    alarms: dict[str, list[bool]] = {}
    for i in trange(n_datasets, disable=not progress, unit="data set"):
        reports = check_all(sound.sample(n_prompts, seed=np.random.default_rng(seeds[i])))
        p = np.array([1.0 if r.p_value is None else r.p_value for r in reports])
        for report in reports:
            alarms.setdefault(report.assumption, []).append(report.verdict.alarm)
        alarms.setdefault("any of the six", []).append(any(r.verdict.alarm for r in reports))
        alarms.setdefault("any p-value, after Holm", []).append(bool((holm(p) <= alpha).any()))
    rows = [
        {"check": check, **proportion(float(np.mean(raised)), n_datasets).cells("alarms")}
        for check, raised in alarms.items()
    ]
    return pd.DataFrame(rows).assign(datasets=n_datasets, n=n_prompts, source=sound.name)
