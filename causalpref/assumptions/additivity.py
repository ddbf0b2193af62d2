"""Is Z^X additive, so that it may be left out of the reward? (Section 3.2, why Z^X matters.)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from causalpref.assumptions._check import Check, Settings, run_check
from causalpref.assumptions._units import indicators, modifiers, products
from causalpref.assumptions.evidence import matrix, row, table
from causalpref.assumptions.report import Report, Verdict, Words
from causalpref.data import PreferenceData
from causalpref.statistics import ScoreTest, distinct, holm, score_test, unit_spread

__all__ = ["Additivity", "check_additivity"]


@dataclass(frozen=True, eq=False)
class Additivity:
    """Numbers of the check of additivity.

    Parameters
    ----------
    n : int
        Pairs.
    test : ScoreTest
        Of all interactions.
    cells : list of (str, str)
        Latent of the response and of the prompt, for each z of the test.
    p_values : array
        Of each z, adjusted (Holm).
    alpha : float
    """

    n: int
    test: ScoreTest
    cells: list[tuple[str, str]]
    p_values: np.ndarray
    alpha: float


def check_additivity(data: PreferenceData, *, alpha: float = 0.05) -> Report:
    """Does what a latent of the response is worth depend on the prompt? ("Why Z^X matters")

    If Z^X enters the reward additively it cancels in R - R' and may be left out of the
    model; if it interacts with Z^T it may not (section 3.2). A score test, robust to dependence
    within groups, for (delta, delta of squares) x Z^X in a logistic Bradley-Terry model of
    (delta, delta of squares), with weights of their own for each recorded objective: otherwise
    prompts would be credited with the taste of those who write them (example 4).

    Parameters
    ----------
    data : PreferenceData
        With response latents, and prompt latents or, in their place, prompt types. Prompts of
        one ``prompt_group`` may depend on one another.
    alpha : float

    Returns
    -------
    Report
        ``value`` is chi squared over its degrees of freedom, 1 on average without interaction.
        Violated when the test rejects.

    Notes
    -----
    Needs at least 20 groups for each term, or leaves the squares out; with fewer than that, or
    with prompts that cannot be told from objectives, it cannot be tested. False alarms at most 5 %
    where the reward bends no more than a quadratic. Power is above 80 % with 1,000 pairs when a
    latent is worth 0.5 more and 0.5 less at one standard deviation of Z^X to either side.
    """
    return run_check(ADDITIVITY, data, Settings(alpha=alpha))


def _compute(data: PreferenceData, settings: Settings) -> Additivity | Words:
    n, z, by = len(data), data.response_latents, modifiers(data)
    varies = by.std(axis=0) > 0.5  # those that vary have 1
    if z is None or not varies.any():
        what = (
            "latents of the response" if z is None else "latent or type of the prompt that varies"
        )
        return Words(
            n=n,
            sentence=f"The data have no {what}.",
            next_step="Record what kind of prompt each is: topic, task, length.",
        )
    by = by[:, varies]
    names_x = [name for name, v in zip(_names_of_modifiers(data), varies) if v]
    names_d, phi = data.names_of("response_latents"), unit_spread(z)
    n_groups = len(np.unique(data.pair_group))
    bent = [j for j in range(z.shape[1]) if len(np.unique(z[:, j])) > 2]  # else square is linear
    if n_groups >= 20 * (z.shape[1] + len(bent)) * by.shape[1]:
        phi = np.concatenate([phi, phi[:, bent] ** 2], axis=1)
        names_d = names_d + [f"{names_d[j]} squared" for j in bent]
    first, second = data.pairs.T
    d = phi[first] - phi[second]
    live = (d**2).mean(axis=0) > 1e-12
    d, names_d = d[:, live], [name for name, v in zip(names_d, live) if v]
    too_few = n_groups < 20 * d.shape[1] * by.shape[1]
    if d.shape[1] == 0 or too_few or data.label.min() == data.label.max():
        return Words(
            n=n,
            sentence="There is too little to fit: few prompts for the number of latents, latents "
            "that never differ within a pair, or labels all the same.",
            next_step="Collect more prompts, or look at fewer latents.",
        )
    base = np.column_stack([np.ones(n), d])
    under = indicators(data)
    if under.shape[1]:  # what a latent is worth under each objective is not the prompt's doing
        objectives = under.shape[1] + 1
        if n_groups < 10 * d.shape[1] * objectives:
            return Words(
                n=n,
                sentence=f"What a latent is worth may differ between {objectives} objectives, and "
                "there are too few prompts to tell that apart from the prompt.",
                next_step="Collect more prompts, or merge objectives.",
            )
        base = distinct(np.concatenate([base, products(d, under)], axis=1))
    test = score_test(base, products(d, by), data.label, data.pair_group)
    if test.df == 0:
        return Words(
            n=n,
            sentence="The prompts cannot be told from the objectives: each kind of prompt was "
            "judged under its own.",
            next_step="Have some prompts judged under another objective.",
        )
    cells = [(a, b) for a in names_d for b in names_x]
    return Additivity(n, test, cells, holm(2 * stats.norm.sf(np.abs(test.z))), settings.alpha)


def _names_of_modifiers(data: PreferenceData) -> list[str]:
    if data.prompt_latents is not None:
        return data.names_of("prompt_latents")
    return [f"prompt {name}" for name in data.names_of("prompt_type")[1:]]


def _judge(r: Additivity) -> Verdict:
    return Verdict.VIOLATED if r.test.p_value <= r.alpha else Verdict.NOT_FOUND


def _word(r: Additivity, verdict: Verdict) -> Words:
    z = r.test.z
    worst = np.argsort(-np.abs(z), kind="stable")[:6]
    latent, prompt = r.cells[worst[0]]
    return Words(
        sentence=(
            "What a latent of the response is worth depends on the prompt, most visibly "
            f"{latent} on {prompt}: Z^X may not be left out."
            if verdict.alarm
            else "No latent of the response was seen to be worth more on some prompts than on "
            "others."
        ),
        next_step=(
            "Give the reward model the prompt and let it interact; report effects for each kind of "
            "prompt, or say over which mix they are averaged."
            if verdict.alarm
            else "Keep the prompt in the model where it costs little; this is no proof that it "
            "cancels."
        ),
        statistic="chi squared / df of the interactions",
        short="chi²/df",
        value=r.test.statistic / r.test.df,
        p_value=r.test.p_value,
        n=r.n,
        evidence=table(
            [
                row(f"{' x '.join(r.cells[i])}: z", value=z[i], p_value=r.p_values[i], n=r.n)
                for i in worst
            ]
        ),
        picture=matrix(
            r.cells,
            z,
            "z of latent x prompt",
            "A matrix of z values of interactions, largest "
            f"{latent} x {prompt} with {z[worst[0]]:.1f}.",
        ),
        rests_on=("response_latents", "prompt_latents"),
    )


ADDITIVITY = Check(
    "additivity",
    None,
    "Z^X is additive",
    _compute,
    _judge,
    _word,
    sees="latents of the response whose worth changes with the recorded latents of the prompt",
    blind="features of the prompt that were not recorded, and interactions that are neither "
    "linear nor quadratic in Z^T; where latents of prompt and response go together, a "
    "reward that bends more than a quadratic looks like an interaction",
)
