"""Checks of the assumptions against closed forms, brute force, other libraries and known worlds."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import toy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from causalpref import PreferenceData, statistics
from causalpref.assumptions import CHECKS as REGISTERED
from causalpref.assumptions import (
    Check,
    Report,
    Settings,
    Verdict,
    Words,
    balance,
    check_additivity,
    check_all,
    check_consistency,
    check_heterogeneity,
    check_latent_positivity,
    check_positivity,
    check_sufficiency,
    check_unconfoundedness,
    crump_cut,
    effective_sample_size,
    hidden_context_bound,
    latent_support,
    overturning_strength,
    propensities,
    run_checks,
    unseen_share,
    variance_inflation,
)
from causalpref.assumptions._check import drawn
from causalpref.assumptions.evidence import excerpt, number, table
from causalpref.assumptions.latent_positivity import _inflation_bound
from causalpref.simulation import EXAMPLES, Embedding, Latent, Simulator, linear_reward

TWO = Simulator(
    linear_reward([[1.0, 0.2], [-0.3, 1.0]]), contexts=(0.5, 0.5), embedding=Embedding(d=8)
)
TOPIC = Simulator(
    linear_reward([[1.0, 0.2], [-0.3, 1.0]]),
    contexts=(0.5, 0.5),
    prompt_latents=(Latent("x"),),
    embedding=Embedding(d=8),
)
BITS = (Latent("a", "binary"), Latent("b", "binary"))


def pairs_of(
    z, *, z_x=None, label=None, objective=None, embeddings=None, per_prompt=1, **fields
) -> PreferenceData:
    """Row 2i of ``z`` against row 2i + 1; ``per_prompt`` pairs in a row answer one prompt."""
    z = np.asarray(z, dtype=float)
    n = len(z) // 2
    n_prompts = -(-n // per_prompt)
    return PreferenceData(
        prompts=[f"prompt {i}" for i in range(n_prompts)],
        responses=[f"response {i}" for i in range(2 * n)],
        response_prompt=np.arange(2 * n) // (2 * per_prompt),
        pairs=np.arange(2 * n).reshape(-1, 2),
        label=np.arange(n) % 2 if label is None else label,
        objective=objective,
        prompt_latents=z_x,
        response_latents=z,
        embeddings=embeddings,
        simulated=True,
        **fields,
    )


def band(n: int, p: float) -> tuple[float, float]:
    """99.9 % band of a binomial, as shares."""
    low, high = stats.binom.ppf([0.0005, 0.9995], n, p) / n
    return float(low), float(high)


# -- a context nobody recorded ----------------------------------------------


@pytest.mark.parametrize("spread", [1.0, 0.6, 0.25, 0.0])
@pytest.mark.parametrize("gamma", [1.0, 1.5, 4.0, 50.0])
def test_hidden_bound_by_brute_force(spread, gamma):
    """Every share s of the higher rate that is possible, on a grid."""
    p = np.linspace(0, 1, 11)
    low, high = hidden_context_bound(p, gamma, spread=spread)
    s = np.linspace(0, 1, 20_001)
    moved = s - s / (s + gamma * (1 - s))
    for rate, lo, hi in zip(p, low, high):
        a = rate - spread * s  # the lower of the two rates
        possible = (a >= -1e-12) & (a + spread <= 1 + 1e-12)
        if spread == 0:
            assert (lo, hi) == (rate, rate)
            continue
        # the clipped ends of s may lie between two points of the grid
        ends = np.clip([rate / spread, (rate - 1 + spread) / spread], 0, 1)
        best = max(moved[possible].max(initial=0), *(e - e / (e + gamma * (1 - e)) for e in ends))
        assert lo == pytest.approx(rate - spread * best, abs=1e-6)
    np.testing.assert_allclose(low, 1 - hidden_context_bound(1 - p, gamma, spread=spread)[1])


def test_hidden_bound_closed_forms():
    p = np.linspace(0.01, 0.99, 30)
    for gamma in (1.0, 2.0, 9.0):
        low, high = hidden_context_bound(p, gamma)
        # contexts that decide the label: the odds are divided and multiplied by gamma
        np.testing.assert_allclose(special.logit(low), special.logit(p) - np.log(gamma), atol=1e-9)
        np.testing.assert_allclose(special.logit(high), special.logit(p) + np.log(gamma), atol=1e-9)
    np.testing.assert_allclose(hidden_context_bound(p, 1.0, spread=0.3), [p, p])
    np.testing.assert_allclose(hidden_context_bound([0.0, 1.0], 3.0), [[0, 1], [0, 1]])
    # inside, where the clip does not bind: spread (root - 1) / (root + 1)
    low, _ = hidden_context_bound(0.6, 4.0, spread=0.3)
    assert low == pytest.approx(0.6 - 0.3 / 3)


def test_hidden_bound_widens():
    p = np.linspace(0, 1, 21)
    gammas = np.geomspace(1, 1000, 20)
    lows = np.stack([hidden_context_bound(p, g, spread=0.7)[0] for g in gammas])
    assert (np.diff(lows, axis=0) <= 1e-12).all(), "wider with gamma"
    assert (np.diff(lows, axis=1) >= -1e-12).all(), "increasing in p"
    lows = np.stack([hidden_context_bound(p, 5.0, spread=s)[0] for s in np.linspace(0, 1, 20)])
    assert (np.diff(lows, axis=0) <= 1e-12).all(), "wider with spread"
    assert ((lows >= 0) & (lows <= p)).all()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_mix_of_contexts_leaves_the_bound(data):
    k = data.draw(st.integers(2, 5))
    unit = st.floats(0, 1)
    spread, gamma = data.draw(st.floats(1e-6, 1)), data.draw(st.floats(1, 100))
    a = data.draw(st.floats(0, 1 - spread))
    rate = a + spread * np.array(data.draw(st.lists(unit, min_size=k, max_size=k)))
    shown = np.array(data.draw(st.lists(st.floats(1e-6, 1), min_size=k, max_size=k)))
    shown /= shown.sum()
    tilt = gamma ** np.array(
        data.draw(st.lists(st.one_of(unit, st.sampled_from([0.0, 1.0])), min_size=k, max_size=k))
    )
    population = shown * tilt / (shown * tilt).sum()
    low, high = hidden_context_bound(min(rate @ shown, 1.0), gamma, spread=spread)
    assert low - 1e-9 <= rate @ population <= high + 1e-9


@pytest.mark.parametrize("gamma,spread", [(4.0, 0.5), (9.0, 0.8)])
def test_a_hidden_context_reaches_the_bound(gamma, spread):
    """Two contexts, one of them gamma times as likely to be shown the pair."""
    s = np.sqrt(gamma) / (1 + np.sqrt(gamma))  # share of the high rate among those shown
    share = s / (s + gamma * (1 - s))  # and in the population
    a = 0.1
    gaps = special.logit([a, a + spread])
    n = 400_000
    everybody = (
        Simulator(linear_reward(gaps[:, None]), (Latent("z"),), contexts=(1 - share, share))
        .do(first={0: 1.0}, second={0: 0.0})
        .sample(n, seed=0)
    )
    rng = np.random.default_rng(1)
    shown = rng.random(n) < np.where(everybody.objective == 1, 1.0, 1 / gamma)
    p = everybody.label[shown].mean()
    assert p == pytest.approx(a + spread * s, abs=0.005)
    low, _ = hidden_context_bound(p, gamma, spread=spread)
    assert everybody.label.mean() == pytest.approx(float(low), abs=0.005)
    assert p - low > 0.1


@pytest.mark.parametrize("p", [0.5, 0.55, 0.7, 0.95])
@pytest.mark.parametrize("spread", [1.0, 0.5])
def test_overturning_strength(p, spread):
    gamma = overturning_strength(p, spread=spread)
    if spread == 1:
        assert gamma == pytest.approx(p / (1 - p))
    assert gamma == pytest.approx(overturning_strength(1 - p, spread=spread))
    grid = np.exp(np.linspace(0, 12, 4001))
    low = np.array([hidden_context_bound(p, g, spread=spread)[0] for g in grid])
    assert grid[np.argmax(low <= 0.5 + 1e-12)] == pytest.approx(gamma, rel=0.004)


def test_overturning_out_of_reach():
    assert overturning_strength(1.0) == np.inf
    assert overturning_strength(0.8, spread=0.3) == np.inf
    assert overturning_strength(0.8, spread=0.25) == np.inf
    assert overturning_strength(0.8, spread=0.4) < np.inf
    with pytest.raises(ValueError, match="p = 1.2 is out of range"):
        overturning_strength(1.2)
    with pytest.raises(ValueError, match="gamma = 0.5 is out of range"):
        hidden_context_bound([0.5, 0.6], [1.0, 0.5])
    with pytest.raises(ValueError, match="spread = -1 is out of range"):
        hidden_context_bound(0.5, 2.0, spread=-1)
    with pytest.raises(ValueError, match="p = nan"):
        hidden_context_bound(np.nan, 2.0)


def test_hidden_bound_at_infinity():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(hidden_context_bound(0.7, np.inf), [0, 1])
        np.testing.assert_allclose(hidden_context_bound(0.7, np.inf, spread=0.2), [0.5, 0.9])


def test_hidden_rows_use_the_end_of_the_interval():
    """The strength is that at the end of the interval nearer to a half, not at the estimate."""
    data = Simulator(linear_reward([1.0, 0.0]), embedding=None).sample(2000, seed=0)
    report = check_unconfoundedness(data.replace(objective=None))
    strong, weak = report.evidence.iloc[0], report.evidence.iloc[1]
    assert report.verdict is Verdict.UNTESTABLE
    alone, half = (float(v) for v in re.findall(r"([\d.]+)-fold", strong.note))
    assert alone == pytest.approx(overturning_strength(strong.low), rel=0.05)
    assert half == pytest.approx(overturning_strength(strong.low, spread=0.5), rel=0.05)
    assert weak.note == "could be chance alone" and weak.low < 0.5 < weak.high


# -- trimming ---------------------------------------------------------------


SMOOTH = {
    "beta(0.5, 0.5)": stats.beta(0.5, 0.5).ppf((np.arange(200) + 0.5) / 200),
    "beta(0.3, 0.6)": stats.beta(0.3, 0.6).ppf((np.arange(500) + 0.5) / 500),
    "logistic, 3 normal": special.expit(3 * stats.norm.ppf((np.arange(300) + 0.5) / 300)),
    "logistic, 1 + 2 normal": special.expit(
        1 + 2 * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    ),
    "uniform on [0.2, 0.8]": np.linspace(0.2, 0.8, 101),
    "ties": np.repeat([0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 0.95], [3, 5, 10, 20, 30, 20, 4]),
    "one far out": np.append(np.full(50, 0.5), 1e-4),
}
# select_cutoff(1 / (e (1 - e))) of the package CausalInference 0.1.3.post1 (PyPI), numpy 2.4.6.
CAUSALINFERENCE = {
    "beta(0.5, 0.5)": 0.09319577524960654,
    "beta(0.3, 0.6)": 0.09254437496973805,
    "logistic, 3 normal": 0.08838599818424292,
    "logistic, 1 + 2 normal": 0.09294255008661823,
    "uniform on [0.2, 0.8]": 0.0,
    "ties": 0.3,
    "one far out": 0.5,
}


def kept(e, cut):
    return np.minimum(e, 1 - e) >= cut * (1 - 1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_crump_cut_agrees_with_causalinference(name):
    """That package returns the last propensity kept, this one the root, a little further out.

    The units kept are the same; with 20,000 of them the cuts agree to four decimals.
    """
    e, theirs = SMOOTH[name], CAUSALINFERENCE[name]
    ours = crump_cut(e)
    np.testing.assert_array_equal(kept(e, ours), kept(e, theirs))
    assert ours <= theirs + 1e-12
    if len(e) == 20_000:
        assert ours == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("name", SMOOTH)
def test_crump_cut_solves_its_equation(name):
    e = SMOOTH[name]
    k, alpha = 1 / (e * (1 - e)), crump_cut(SMOOTH[name])
    if alpha == 0:
        assert k.max() <= 2 * k.mean()
    else:
        bound = 1 / (alpha * (1 - alpha))
        assert bound == pytest.approx(2 * k[k <= bound].mean(), rel=1e-9)
        assert k.max() > bound, "something is trimmed"


@pytest.mark.parametrize("shape", [(0.5, 0.5), (0.2, 0.4), (0.7, 2.0), (3.0, 3.0)])
def test_crump_cut_minimises_the_variance(shape):
    """Asymptotic variance for equal scatter: mean of k over those kept, over their share."""
    e = stats.beta(*shape).ppf((np.arange(40_000) + 0.5) / 40_000)

    def variance(cut):
        keep = kept(e, cut)
        return (1 / (e[keep] * (1 - e[keep]))).mean() / keep.mean()

    grid = np.linspace(0, 0.45, 901)
    values = [variance(c) for c in grid]
    cut = crump_cut(e)
    assert cut == pytest.approx(grid[int(np.argmin(values))], abs=0.002)
    assert variance(cut) <= min(values) * (1 + 1e-6)


def test_crump_cut_takes_the_better_of_two_solutions():
    """70 % at k = 4 and 30 % at k = 13.9: keeping all 30 % raises the variance by a fifth."""
    far = 0.5 - np.sqrt(0.25 - 1 / 13.9)
    e = np.repeat([0.5, far], [700, 300])
    assert kept(e, crump_cut(e)).sum() == 700


def test_crump_cut_at_the_edges():
    assert crump_cut([0.0, 1.0, 0.0]) == 0.5
    assert crump_cut([0.5]) == 0.0
    for extra in ([0.0], [1.0], [0.0, 1.0, 1.0]):
        e = np.append(SMOOTH["uniform on [0.2, 0.8]"], extra)
        cut = crump_cut(e)
        assert 0 < cut < 0.2, "0 and 1 are trimmed, nothing else is"
        k = 1 / (e[:101] * (1 - e[:101]))
        assert 1 / (cut * (1 - cut)) == pytest.approx(2 * k.mean())
    assert crump_cut(SMOOTH["ties"]) == crump_cut(1 - SMOOTH["ties"])
    for bad in ([], [0.5, 1.1], [-0.1], [np.nan]):
        with pytest.raises(ValueError, match="all of them in"):
            crump_cut(bad)


# -- weights and unseen triples ---------------------------------------------


def test_effective_sample_size():
    assert effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert effective_sample_size([1, 1, 0, 0]) == pytest.approx(2)
    assert effective_sample_size([3, 1]) == pytest.approx(16 / 10)
    w = np.random.default_rng(0).exponential(size=50)
    assert effective_sample_size(w) == pytest.approx(w.sum() ** 2 / (w**2).sum())
    for scale in (1e-200, 1e-12, 1e12, 1e300):
        assert effective_sample_size(scale * w) == pytest.approx(effective_sample_size(w))
    assert effective_sample_size([0, 0]) == 0 == effective_sample_size([])
    # weights with coefficient of variation v: n / (1 + v^2)
    v = w.std() / w.mean()
    assert effective_sample_size(w) == pytest.approx(50 / (1 + v**2))
    for bad in ([1, -1], [1, np.inf], [1, np.nan]):
        with pytest.raises(ValueError, match=r"weights\[1\]"):
            effective_sample_size(bad)


def drawn_triples(rng, law, n):
    """n pairs drawn from a known law over triples."""
    drawn = rng.choice(len(law), size=n, p=law)
    data = pairs_of(np.zeros((2 * len(law), 1)))
    return data.select(drawn), 1 - law[np.unique(drawn)].sum()


@pytest.mark.parametrize("law", ["uniform", "zipf"])
def test_unseen_share_estimates_the_missing_mass(law):
    p = np.ones(600) if law == "uniform" else 1 / np.arange(1, 601)
    p /= p.sum()
    rng = np.random.default_rng(0)
    got, truth = [], []
    for _ in range(200):
        data, missing = drawn_triples(rng, p, 600)
        got.append(unseen_share(data).value)
        truth.append(missing)
    assert np.mean(got) == pytest.approx(np.mean(truth), abs=0.007)
    # the law of it for a uniform one: (1 - 1 / 600)^599
    if law == "uniform":
        assert np.mean(got) == pytest.approx((1 - 1 / 600) ** 599, abs=0.007)


def test_unseen_share_at_the_ends():
    data = pairs_of(np.zeros((20, 1)))
    found = unseen_share(data)
    assert found.value == 1 and found.high == pytest.approx(1)
    assert found.low == pytest.approx(statistics.wilson_interval(1.0, 10)[0])
    assert unseen_share(data.select(np.tile(np.arange(10), 2))).value == 0
    swapped = data.replace(pairs=np.concatenate([data.pairs[:5], data.pairs[:5, ::-1]]))
    assert unseen_share(swapped).value == 1, "another order is another triple"


def test_unseen_share_interval_covers():
    p, rng, runs = np.full(600, 1 / 600), np.random.default_rng(0), 200
    covered = 0
    for _ in range(runs):
        data, missing = drawn_triples(rng, p, 600)
        found = unseen_share(data)
        covered += found.low <= missing <= found.high
    assert covered / runs >= band(runs, 0.95)[0]


# -- propensities and balance -----------------------------------------------


def by_prompt(rho=1.0, shares=(0.6, 0.4), apart=1.5, n=20_000, seed=0):
    """Contexts told by one Gaussian latent of the prompt; data and P(C = 1 | Z^X), by Bayes."""
    data = Simulator(
        linear_reward([1.0, 1.0]),
        prompt_latents=(Latent("x"),),
        type_effect=np.array([[-apart / 2], [apart / 2]]),
        contexts=shares,
        rho=rho,
    ).sample(n, seed=seed)
    z = data.prompt_latents[:, 0]
    here, there = stats.norm.pdf(z - apart / 2), stats.norm.pdf(z + apart / 2)
    one = shares[1] * (rho * here + (1 - rho) * there)
    zero = shares[0] * (rho * there + (1 - rho) * here)
    return data, one / (one + zero)


@pytest.mark.parametrize("rho", [1.0, 0.8])
def test_propensities_are_those_of_bayes(rho):
    """Also where they level off: at rho < 1 none lies outside [1 - rho, rho]."""
    data, truth = by_prompt(rho)
    e = propensities(data, features=data.prompt_latents[data.pair_prompt], seed=1)
    assert e.prompt.tolist() == list(range(len(data)))
    np.testing.assert_allclose(e.e_0 + e.e_1, 1)
    parts = np.array_split(np.argsort(e.e_1.to_numpy()), 10)
    for rows in parts:
        assert e.e_1.to_numpy()[rows].mean() == pytest.approx(truth[rows].mean(), abs=0.03)
        rate = data.objective[rows].mean()
        assert e.e_1.to_numpy()[rows].mean() == pytest.approx(
            rate, abs=0.01 + 3.3 * np.sqrt(0.25 / len(rows))
        )


def test_balanced_propensities_do_not_depend_on_the_shares():
    data, truth = by_prompt(shares=(0.9, 0.1))
    x = data.prompt_latents[data.pair_prompt]
    plain, even = (propensities(data, features=x, balanced=b, seed=1) for b in (False, True))
    odds = truth / (1 - truth) * 0.9 / 0.1
    for rows in np.array_split(np.argsort(x[:, 0]), 10)[1:-1]:
        assert even.e_1.to_numpy()[rows].mean() == pytest.approx(
            (odds / (1 + odds))[rows].mean(), abs=0.04
        )
    assert plain.e_1.mean() == pytest.approx(0.1, abs=0.01)
    ratio = special.logit(even.e_1) - special.logit(plain.e_1)
    np.testing.assert_allclose(
        ratio, np.log((1 - data.objective.mean()) / data.objective.mean()), atol=1e-6
    )


def test_propensities_of_three_contexts_and_their_codes():
    data = Simulator(
        linear_reward([[1.0, 0], [0, 1.0], [1, 1]]),
        prompt_latents=(Latent("x"),),
        type_effect=np.array([[-2.0], [0], [2]]),
        contexts=(0.5, 0.3, 0.2),
    ).sample(4000, seed=0)
    codes = np.array([-2, 3, 9])[data.objective]
    e = propensities(data.replace(objective=codes), seed=0)
    p = e[["e_-2", "e_3", "e_9"]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert set(e.objective) == {-2, 3, 9} and ((p > 0) & (p < 1)).all()
    np.testing.assert_allclose(p.mean(axis=0), [0.5, 0.3, 0.2], atol=0.03)


def test_separated_contexts_have_finite_propensities():
    rng = np.random.default_rng(0)
    c = np.arange(200) % 2
    data = pairs_of(
        rng.standard_normal((400, 1)), z_x=(10.0 * c + 0.01 * rng.random(200))[:, None], objective=c
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        e = propensities(data, features=data.prompt_latents[data.pair_prompt])
    own = np.where(c == 1, e.e_1, e.e_0)
    assert np.isfinite(own).all() and (own < 1).all() and own.min() > 0.9


def test_propensities_refuse():
    data = toy(20)
    with pytest.raises(ValueError, match="two values at least"):
        propensities(data.replace(objective=None))
    with pytest.raises(ValueError, match="two values at least"):
        propensities(data.replace(objective=np.zeros(40, int)))
    bare = dict(embeddings=None, prompt_latents=None, response_latents=None)
    with pytest.raises(ValueError, match="no features were passed"):
        propensities(data.replace(**bare))
    with pytest.raises(ValueError, match=r"features\[2, 1\] = nan is not finite"):
        x = np.zeros((40, 3))
        x[2, 1] = np.nan
        propensities(data, features=x)
    with pytest.raises(ValueError, match=r"features has shape \(39, 3\)"):
        check_unconfoundedness(data, features=np.zeros((39, 3)))


def test_balance_by_hand():
    # prompts 0 and 1 under context 0 with Z^X 0 and 2; 2 and 3 under context 1 with 3 and 7
    data = pairs_of(
        [[0, 1], [0, 3], [0, 1], [0, 1], [0, 5], [0, 5], [0, 5], [0, 5]],
        z_x=[[0.0], [2], [3], [7]],
        objective=[0, 0, 1, 1],
    )
    named = data.replace(names={"objective": ["calm", "wild"], "prompt_latents": ["topic"]})
    got = balance(named).set_index("latent")
    assert got.loc["topic", "difference"] == pytest.approx((5 - 1) / np.sqrt((1 + 4) / 2))
    assert got.loc["Z^T_1", "difference"] == 0, "never varies"
    # means over the pair 2, 1 against 5, 5: variances 1/4 and 0
    assert got.loc["Z^T_2", "difference"] == pytest.approx((5 - 1.5) / np.sqrt(0.25 / 2))
    assert set(got.objective) == {"wild"} and set(got.pairs) == {2}
    apart = balance(data.replace(prompt_latents=[[1.0], [1], [4], [4]]))
    assert apart.difference.iloc[0] == np.inf
    assert balance(data.replace(objective=None)).empty
    three = balance(data.replace(objective=[0, 4, 1, 1]))
    assert three.objective.unique().tolist() == ["C = 0", "C = 1", "C = 4"]


# -- rows -------------------------------------------------------------------


def test_the_subsample_holds_whole_groups():
    data = toy(100).replace(prompt_group=np.arange(100) // 4)
    x = np.arange(200.0)[:, None]
    part, settings = drawn(data, Settings(x, most_pairs=60))
    assert len(part) == len(settings.features) <= 60
    rows = settings.features[:, 0].astype(int)
    assert part.responses[part.pairs].tolist() == data.responses[data.pairs[rows]].tolist()
    group = data.pair_group
    assert len(rows) == np.isin(group, group[rows]).sum()
    assert len(part.responses) < len(data.responses), "no text that no pair uses"
    assert len(drawn(data, Settings(most_pairs=200))[0]) == 200


# -- latent positivity ------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.5, 0.99])
def test_variance_inflation_closed_form(rho):
    x = np.random.default_rng(0).standard_normal((500, 2))
    x = np.linalg.qr(x)[0] @ np.linalg.cholesky([[1, rho], [rho, 1]]).T  # correlation exactly rho
    want = 1 / (1 - rho**2)
    np.testing.assert_allclose(variance_inflation(x), [want, want])
    np.testing.assert_allclose(variance_inflation(x * [1e12, 1e-6]), [want, want], rtol=1e-6)


def test_variance_inflation_against_regressions():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5))
    for j in range(5):
        rest = np.delete(x, j, axis=1)
        left = x[:, j] - rest @ np.linalg.lstsq(rest, x[:, j], rcond=None)[0]
        assert variance_inflation(x)[j] == pytest.approx((x[:, j] ** 2).sum() / (left**2).sum())


def test_exact_dependence_is_infinite():
    x = np.random.default_rng(0).standard_normal((100, 3))
    tied = np.column_stack([x, x[:, 0] - 2 * x[:, 1], np.zeros(100)])
    got = variance_inflation(tied)
    assert np.isinf(got[[0, 1, 3, 4]]).all() and got[2] == pytest.approx(1, abs=0.2)
    assert variance_inflation(np.ones((10, 1))).tolist() == [1]


@pytest.mark.parametrize("rho,m,n", [(0.9, 2, 200), (0.0, 4, 100), (0.95, 3, 400)])
def test_the_lower_bound_of_inflation_holds(rho, m, n):
    c = np.full((m, m), 0.0) + np.eye(m)
    c[0, 1] = c[1, 0] = rho
    truth, root = np.diag(np.linalg.inv(c)), np.linalg.cholesky(c)
    rng, runs = np.random.default_rng(0), 400
    bounds = []
    for _ in range(runs):
        x = rng.standard_normal((n, m)) @ root.T
        bounds.append(_inflation_bound(variance_inflation(x), n, m)[0])
    assert np.mean(np.array(bounds) <= truth[0] + 1e-9) >= band(runs, 0.95)[0]
    assert np.median(bounds) > 0.7 * truth[0], "and it is not trivial"


def test_support_of_the_same_law():
    sim = Simulator(linear_reward([1.0, 1.0]), prompt_latents=(Latent("x"),))
    support = latent_support(sim.sample(2000, seed=0))
    new = sim.sample(2000, seed=1)
    z = np.column_stack([new.prompt_latents[new.response_prompt], new.response_latents])
    assert support.columns == ["x", "z1", "z2"]
    assert support.in_support(z).mean() == pytest.approx(0.99, abs=0.008)
    assert not support.in_support([[8.0, 0, 0], [0, 0, -9]]).any()
    assert not support.in_support([[1e12, 0, 0], [0, -1e300, 0]]).any()
    wide = latent_support(sim.sample(2000, seed=0), share=0.9)
    assert wide.in_support(z).mean() == pytest.approx(0.9, abs=0.03)


def test_support_by_brute_force():
    from scipy.spatial.distance import cdist

    z = np.random.default_rng(0).standard_normal((300, 2)) * [1, 1000]
    support = latent_support(pairs_of(z), share=0.9, k=3)
    unit = z / z.std(axis=0)
    # the first of a row's distances is to itself
    want = np.quantile(np.sort(cdist(unit, unit), axis=1)[:, 3], 0.9)
    assert support.radius == pytest.approx(want)
    new = np.array([[0.3, 200.0], [4, -3000]])
    got = np.sort(cdist(new / z.std(axis=0), unit), axis=1)[:, 2] / want
    np.testing.assert_allclose(support.distance(new), got)
    np.testing.assert_array_equal(support.in_support(new), got <= 1)


def test_support_sees_a_hole():
    def hole(z_x, z, z_prime):
        return (z**2).sum(axis=1) < 1

    data = Simulator(linear_reward([1.0, 1.0]), hole=hole).sample(3000, seed=0)
    support = latent_support(data.replace(names={"response_latents": ["p", "q"]}))
    assert not support.in_support([[0.0, 0.0], [0.3, -0.3]]).any()
    assert support.in_support([[1.2, 0.0], [0.9, -0.9]]).all()
    assert (support.distance([[0.0, 0.0]]) > support.distance([[0.7, 0.0]])).all()


def test_support_of_discrete_latents_and_contexts():
    rng = np.random.default_rng(0)
    codes = np.array([[0, 0], [0, 1], [1, 0]])[rng.integers(0, 3, 600)].astype(float)
    data = pairs_of(codes, objective=(np.arange(300) >= 150).astype(int))
    support = latent_support(data)
    assert support.in_support(np.array([[0, 0], [0, 1], [1, 0]])).all()
    assert not support.in_support([[1, 1], [0, 2], [0.5, 0]]).any()
    mixed = pairs_of(np.column_stack([codes[:, 0], rng.standard_normal(600)]))
    assert not latent_support(mixed).in_support([[2.0, 0.0], [0.5, 0.0]]).any()
    only = data.replace(response_latents=np.where(np.arange(600)[:, None] < 300, codes, [1, 1]))
    assert latent_support(only).in_support([[1, 1]]).all()
    assert not latent_support(only, context=0).in_support([[1, 1]]).any()
    with pytest.raises(ValueError, match="7"):
        latent_support(data, context=7)
    with pytest.raises(ValueError, match="share is 2"):
        latent_support(data, share=2)
    with pytest.raises(ValueError, match="k is 0"):
        latent_support(data, k=0)
    with pytest.raises(ValueError, match="too few for k = 5"):
        latent_support(data.select([0, 1]))
    with pytest.raises(ValueError, match="no response_latents"):
        latent_support(data.replace(response_latents=None))
    with pytest.raises(ValueError, match=r"new has shape \(1, 3\)"):
        support.in_support(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"new\[0, 1\] = nan"):
        support.in_support([[0.0, np.nan]])


def test_a_rare_combination_does_not_open_the_support():
    codes = np.repeat([[0, 0], [0, 1], [1, 0]], [60, 57, 3], axis=0).astype(float)
    assert not latent_support(pairs_of(codes)).in_support([[1, 1]]).any()


def test_few_pairs_are_no_violation_of_latent_positivity():
    """Twelve independent latents, ten pairs: delta cannot have rank twelve."""
    sim = Simulator(linear_reward([1.0] * 12), tuple(Latent(f"z{i}") for i in range(12)))
    assert check_latent_positivity(sim.sample(10, seed=0)).verdict is not Verdict.VIOLATED


def test_one_latent_has_no_combinations_to_miss():
    """Neither "no violation found", since nothing was looked at, nor an alarm."""
    sim = Simulator(linear_reward([1.0]), (Latent("a"),))
    report = check_latent_positivity(sim.sample(500, seed=0))
    assert report.verdict is Verdict.UNTESTABLE and "One latent" in report.sentence


def test_a_rare_latent_is_not_blamed():
    """Independent binary latents, one with share 0.01: 0.98^100 of the data sets never show it."""
    sim = Simulator(linear_reward([1.0, 1.0]), (Latent("a", "binary", 0.01), BITS[1]))
    alarms = np.mean(
        [check_latent_positivity(sim.sample(100, seed=s)).verdict.alarm for s in range(200)]
    )
    assert alarms <= band(200, 0.05)[1]


def test_empty_cells_that_are_rare_are_not_holes():
    """Both features rare: the cell of both is empty and nobody can tell why."""
    sim = Simulator(
        linear_reward([1.0, 1.0]), (Latent("a", "binary", 0.06), Latent("b", "binary", 0.06))
    )
    report = check_latent_positivity(sim.sample(300, seed=0))
    assert report.verdict is Verdict.NOT_FOUND
    assert "empty but too rare to judge" in report.evidence.note.iloc[-1]
    assert not report.evidence.note.iloc[-1].startswith("0 empty")


def test_a_context_without_a_combination():
    """Under C = 1 nobody writes about the second topic."""
    rng = np.random.default_rng(0)
    c = np.arange(600) % 2
    topic = np.where(c == 1, 0, rng.integers(0, 2, 600)).astype(float)
    data = pairs_of(rng.standard_normal((1200, 1)), z_x=topic[:, None], objective=c)
    names = {"objective": ["calm", "wild"], "prompt_latents": ["topic"]}
    report = check_latent_positivity(data.replace(names=names))
    assert report.verdict is Verdict.VIOLATED and "topic = 1 under wild" in report.sentence


@pytest.mark.parametrize(
    "correlation,verdict",
    [(0.0, Verdict.NOT_FOUND), (0.5, Verdict.NOT_FOUND), (1.0, Verdict.VIOLATED)],
)
def test_tied_latents(correlation, verdict):
    data = Simulator(linear_reward([1.0, 1.0]), correlation=correlation).sample(1000, seed=0)
    report = check_latent_positivity(data)
    assert report.verdict is verdict
    assert report.value == pytest.approx(
        1 / (1 - correlation**2) if correlation < 1 else np.inf, rel=0.1
    )
    first, second = data.pairs.T
    d = data.response_latents[first] - data.response_latents[second]
    eigenvalues = np.linalg.eigvalsh(d.T @ d / np.outer(*[np.sqrt((d**2).sum(axis=0))] * 2))
    if correlation < 1:
        shown = report.evidence.set_index("what").value[
            "condition number of their correlation matrix"
        ]
        assert shown == pytest.approx(eigenvalues[1] / eigenvalues[0])


# -- verdicts where the truth is known --------------------------------------


def verdicts(check, example, n=2000, seeds=5, **fields):
    out = []
    for seed in range(seeds):
        data = EXAMPLES[example].simulator.sample(n, seed=seed)
        out.append(check(data.replace(**fields)).verdict)
    return out


def test_example_4_confounds_and_lacks_overlap():
    assert set(verdicts(check_unconfoundedness, "4")) == {Verdict.VIOLATED}
    assert set(verdicts(check_unconfoundedness, "1")) == {Verdict.VIOLATED}
    apart = EXAMPLES["4"].simulator.replace(rho=1.0)
    assert {check_positivity(apart.sample(1000, seed=s)).verdict for s in range(5)} == {
        Verdict.VIOLATED
    }


def test_additivity_does_not_blame_the_prompt_for_the_objective():
    """Example 4: worth goes with who asks, not with the prompt; C hidden, it looks otherwise."""
    assert verdicts(check_additivity, "4").count(Verdict.NOT_FOUND) >= 4
    assert set(verdicts(check_additivity, "4", objective=None)) == {Verdict.VIOLATED}
    assert set(verdicts(check_additivity, "2")) == {Verdict.VIOLATED}


def test_hidden_context_is_not_claimed_to_be_tested():
    for fields in ({"objective": None}, {"objective": np.zeros(2000, int)}):
        assert set(verdicts(check_unconfoundedness, "4", seeds=2, **fields)) == {Verdict.UNTESTABLE}


def test_randomised_prompts_confound_nothing():
    """Figure 2b: the same rewards, prompts dealt at random."""
    sim = EXAMPLES["4"].simulator.replace(self_written=False, rho=None)
    reports = [check_unconfoundedness(sim.sample(800, seed=s)) for s in range(10)]
    assert sum(r.verdict.alarm for r in reports) <= 2
    assert np.mean([r.value for r in reports]) == pytest.approx(0.5, abs=0.03)
    changed = [
        r.evidence[r.evidence.what.str.startswith("the context changes")].p_value.item()
        for r in reports
    ]
    assert max(changed) < 0.01, "that C changes the reward is seen all the same"


def test_auc_is_that_of_the_best_linear_score():
    data, truth = by_prompt(rho=1.0, n=4000)
    report = check_unconfoundedness(data, features=data.prompt_latents[data.pair_prompt])
    assert report.value == pytest.approx(stats.norm.cdf(1.5 / np.sqrt(2)), abs=0.02)
    assert report.low < stats.norm.cdf(1.5 / np.sqrt(2)) < report.high
    assert report.p_value == pytest.approx(1 / 1000)


def test_predicted_but_harmless_is_no_violation():
    """C is associated with the topic and changes no reward: nothing is confounded."""
    sim = EXAMPLES["4"].simulator.replace(reward=linear_reward([[1.0, 0.5], [1.0, 0.5]]))
    got = [check_unconfoundedness(sim.sample(1000, seed=s)).verdict for s in range(20)]
    assert Verdict.VIOLATED not in got


def test_the_objective_is_not_blamed_for_the_prompt():
    """Example 2's kind of reward, the same for everybody; C goes with the topic only."""

    def reward(z_x, z, c):
        return z[:, 0] * (1 + 0.8 * z_x[:, 0]) + z[:, 1]

    sim = EXAMPLES["4"].simulator.replace(reward=reward)
    got = [
        check_unconfoundedness(sim.sample(1000, seed=s), permutations=39).verdict for s in range(10)
    ]
    assert Verdict.VIOLATED not in got


def test_additivity_cannot_be_told_from_the_objective():
    """type(X) = C always, types the only thing known of prompts: the two cannot be told apart."""
    data = Simulator(linear_reward([[1.0, 0.2], [-0.3, 1.0]]), contexts=(0.5, 0.5), rho=1.0).sample(
        1000, seed=0
    )
    assert check_additivity(data).verdict is Verdict.UNTESTABLE


def test_additivity_with_many_objectives():
    data = EXAMPLES["4"].simulator.sample(1500, seed=0)
    fine = 7 * data.objective + np.random.default_rng(0).integers(0, 7, 1500)
    assert not check_additivity(data).verdict.alarm
    assert check_additivity(data.replace(objective=fine)).verdict is not Verdict.VIOLATED


def test_sufficiency_sees_the_latent_that_is_missing():
    sim = Simulator(linear_reward([0.7, 0.7]), embedding=Embedding(d=32))
    whole = sim.sample(1500, seed=0)
    assert check_sufficiency(whole).verdict is Verdict.NOT_FOUND
    part = check_sufficiency(whole.replace(response_latents=whole.response_latents[:, :1]))
    assert part.verdict is Verdict.VIOLATED and 0 < part.low < part.value < part.high
    # no more can be gained than the truth has over one latent
    truth = (sim.outcomes(whole) > 0.5) == (whole.label == 1)
    d = whole.response_latents[whole.pairs[:, 0], 0] - whole.response_latents[whole.pairs[:, 1], 0]
    assert part.value < truth.mean() - ((d > 0) == (whole.label == 1)).mean() + 0.03


def test_consistency_by_hand():
    """Four people, repeats and swaps counted with a pencil."""
    z = np.zeros((8, 1))
    data = pairs_of(z)  # pairs (0,1) (2,3) (4,5) (6,7)
    # person 0: (0,1) twice, 1 and 0; person 1: (2,3) twice, 1 and 1; (4,5) and (5,4), 1 and 1;
    # (6,7) and (7,6), 0 and 1: the same response both times
    pairs = np.array([[0, 1], [0, 1], [2, 3], [2, 3], [4, 5], [5, 4], [6, 7], [7, 6]])
    label = np.array([1, 0, 1, 1, 1, 1, 0, 1])
    data = data.replace(pairs=pairs, label=label, annotator=[0, 0, 1, 1, 2, 3, 2, 3])
    rows = check_consistency(data).evidence.set_index("what")
    own = rows.loc["one annotator, same pair, same order, two answers"]
    assert (own.value, own.n) == (0.5, 2)
    swaps = rows[rows.index.str.startswith("pairs judged in both orders")].iloc[0]
    assert (swaps.value, swaps.n, swaps.p_value) == (1.0, 1, 1.0)
    assert "of 2 matched" in swaps.note
    place = rows[rows.index.str.startswith("the first response is preferred")].iloc[0]
    assert (place.value, place.n) == (1, 2), "one judgement a pair, none of those in both orders"
    assert place.p_value == pytest.approx(stats.binomtest(2, 2).pvalue)
    shared = rows.loc["same pair, same order, two answers, any annotators"]
    assert (shared.value, shared.n) == (0.5, 2)


def test_repeats_are_matched_in_couples():
    """Five judgements of one pair make two couples, so that none is counted twice."""
    data = pairs_of(np.zeros((4, 1))).select([0, 0, 0, 0, 0, 1])
    said = data.replace(label=[1, 0, 0, 0, 1, 1], annotator=np.zeros(6, int))
    rows = check_consistency(said).evidence.set_index("what")
    own = rows.loc["one annotator, same pair, same order, two answers"]
    assert (own.value, own.n) == (0.5, 2)


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_the_ceiling_that_repeats_set(share):
    """Every label wrong with probability q: two disagree 2 q (1 - q), nobody beats 1 - q."""
    disagree = 2 * share * (1 - share)
    n = 1000
    k = round(disagree * n)
    label = np.concatenate([np.ones(n, int), np.where(np.arange(n) < k, 0, 1)])
    data = pairs_of(np.zeros((2 * n, 1)))
    data = data.select(np.tile(np.arange(n), 2)).replace(label=label)
    notes = check_consistency(data).evidence.note
    most = f"between {1 - disagree:.3f} (1 - d) and {1 - share:.3f} ("
    assert any(most in note for note in notes)


def test_place_is_tested_only_where_it_is_known():
    data = Simulator(linear_reward([1.0, 1.0]), position_bias=2.0).sample(500, seed=0)
    assert check_consistency(data).verdict is Verdict.STRAINED
    assert check_consistency(data.replace(order_known=False)).verdict is Verdict.UNTESTABLE
    ones = data.replace(
        pairs=np.where(data.label[:, None] == 1, data.pairs, data.pairs[:, ::-1]),
        label=np.ones(500, int),
    )
    assert check_consistency(ones).verdict is Verdict.UNTESTABLE
    both = np.concatenate([data.pairs, data.pairs[:, ::-1]])
    swapped = data.replace(pairs=both, label=np.tile(data.label, 2), objective=np.zeros(1000, int))
    assert check_consistency(swapped).verdict is Verdict.VIOLATED, "the first both times, or second"


def test_taste_is_not_inconsistency():
    """Two people who disagree about everything refute nothing."""
    data = pairs_of(np.zeros((200, 1)))
    rows = np.tile(np.arange(100), 2)
    label = np.concatenate([np.arange(100) % 2, 1 - np.arange(100) % 2])
    said = data.select(rows).replace(label=label, annotator=np.repeat([0, 1], 100))
    assert check_consistency(said).verdict is Verdict.NOT_FOUND
    assert check_consistency(said.replace(annotator=np.zeros(200, int))).verdict is Verdict.VIOLATED


def test_one_slip_is_tolerated():
    """P(at least 1 of 17 at 1 %) = 0.16: no ground for an alarm at 5 %."""
    assert stats.binom.sf(0, 17, 0.01) > 0.15
    data = pairs_of(np.zeros((34, 1))).select(np.tile(np.arange(17), 2))
    label = data.label.copy()
    label[0] = 1 - label[0]
    said = data.replace(label=label, annotator=np.zeros(34, int), order_known=False)
    assert check_consistency(said, answers="deterministic").verdict is Verdict.NOT_FOUND


def test_contradictions_in_a_file_that_lists_the_preferred_first():
    rng = np.random.default_rng(0)
    base = Simulator(linear_reward([1.0, 1.0])).sample(300, seed=0)
    again = np.where(rng.random(300) < 0.4, 1 - base.label, base.label)
    data = base.select(np.tile(np.arange(300), 2)).replace(
        label=np.concatenate([base.label, again]), annotator=np.tile(np.arange(300) % 20, 2)
    )
    fixed = partial(check_consistency, answers="deterministic")
    assert fixed(data).verdict is Verdict.VIOLATED
    chosen = data.replace(
        pairs=np.where(data.label[:, None] == 1, data.pairs, data.pairs[:, ::-1]),
        label=np.ones(600, int),
    )
    assert fixed(chosen.replace(order_known=False)).verdict is Verdict.VIOLATED


def test_both_orders_balance_the_place():
    """System A against system B, A the better; every pair in both orders, A first listed first."""
    rng = np.random.default_rng(0)
    data = pairs_of(np.zeros((800, 1)))
    better = rng.random(400) < 0.75
    again = rng.random(400) < 0.75
    both = np.concatenate([data.pairs, data.pairs[:, ::-1]])
    label = np.concatenate([better, ~again]).astype(int)
    assert check_consistency(data.replace(pairs=both, label=label)).verdict is Verdict.NOT_FOUND


def test_positivity_given_the_context():
    apart, near = by_prompt(apart=4.0, n=600)[0], by_prompt(apart=0.0, n=600)[0]
    use = lambda d: dict(features=d.prompt_latents[d.pair_prompt])
    poor, good = (check_positivity(d, **use(d)) for d in (apart, near))
    assert poor.verdict is Verdict.VIOLATED and good.verdict is Verdict.NOT_FOUND
    # types four apart, balanced: odds exp(4 z), outside beyond |z| = log(19) / 4
    edge = np.log(19) / 4
    want = 1 - (stats.norm.cdf(edge - 2) - stats.norm.cdf(-edge - 2))
    assert poor.value == pytest.approx(want, abs=0.08)
    rare = by_prompt(apart=0.0, shares=(0.95, 0.05), n=1000)[0]
    assert check_positivity(rare, **use(rare)).verdict is Verdict.NOT_FOUND, "rare is no blame"


def test_no_overlap_at_all():
    """Contexts that share no prompt: each reaches its own half of the prompts and no other."""
    report = check_positivity(separated())
    assert report.verdict is Verdict.VIOLATED
    assert "count for 100%" not in report.sentence and "leaves out 0%" not in report.next_step
    ess = report.evidence[report.evidence.what.str.startswith("effective sample size")]
    for note in ess.note:
        assert float(re.search(r"reaching (\d+)% of all", note)[1]) < 60


def test_one_prompt_says_nothing_of_overlap():
    assert check_positivity(lone_prompt()).verdict is Verdict.UNTESTABLE


def test_positivity_lists_the_prompts_furthest_off():
    data, _ = by_prompt(apart=3.0, n=400)
    report = check_positivity(
        data.replace(names={"objective": ["calm", "wild"]}),
        features=data.prompt_latents[data.pair_prompt],
    )
    z = data.prompt_latents[:, 0]
    wild = [int(p.split()[1]) for p in report.examples.query("objective == 'wild'").prompt]
    assert set(wild) <= set(np.argsort(-z)[:40]) and len(wild) == 3
    assert (report.examples.propensity > 0.5).all()


def test_without_a_context_positivity_is_about_triples():
    data = TWO.sample(100, seed=0).replace(objective=None)
    report = check_positivity(data)
    assert report.verdict is Verdict.UNTESTABLE, "texts never repeat, which is no news"
    assert "through latents" in report.sentence and report.value == 1
    again = check_positivity(data.select(np.tile(np.arange(100), 5)))
    assert again.verdict is Verdict.NOT_FOUND and again.value == 0


# -- groups and subsamples --------------------------------------------------


def test_answers_do_not_depend_on_more_than_the_seed():
    data = EXAMPLES["4"].simulator.replace(embedding=Embedding(d=8)).sample(300, seed=0)
    for a, b in zip(check_all(data, seed=5), check_all(data, seed=5)):
        assert a.to_dict() == b.to_dict()
    other = data.replace(objective=np.array([3, 9])[data.objective])
    for a, b in zip(check_all(data, seed=5), check_all(other, seed=5)):
        assert (a.verdict, a.value, a.p_value) == (b.verdict, b.value, b.p_value)


def test_the_codes_of_groups_mean_nothing():
    data = EXAMPLES["4"].simulator.replace(embedding=Embedding(d=8)).sample(300, seed=0)
    group = np.arange(300) // 3
    one, other = (data.replace(prompt_group=g) for g in (group, 5 - 7 * group))
    for a, b in zip(check_all(one, most_pairs=200), check_all(other, most_pairs=200)):
        assert a.to_dict() == b.to_dict()
    a, b = check_unconfoundedness(one), check_unconfoundedness(other)
    assert (a.value, a.p_value) == (b.value, b.p_value)


def test_a_subsample_says_how_many_it_used():
    data = EXAMPLES["4"].simulator.replace(embedding=Embedding(d=8)).sample(900, seed=0)
    for check in (check_unconfoundedness, check_positivity, check_sufficiency):
        report = check(data, most_pairs=400)
        assert 390 <= report.n <= 400
    assert check_unconfoundedness(data, most_pairs=400).verdict is Verdict.VIOLATED


def test_a_subsample_may_lose_a_rare_context():
    data = TWO.sample(3000, seed=0)
    rare = data.replace(objective=(np.arange(3000) < 3).astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = check_unconfoundedness(rare, most_pairs=300)
    assert report.verdict is Verdict.UNTESTABLE


def test_one_rare_context_does_not_stop_the_check():
    data = EXAMPLES["4"].simulator.sample(1000, seed=0)
    odd = data.objective.copy()
    odd[0] = 5
    assert check_unconfoundedness(data.replace(objective=odd)).verdict is Verdict.VIOLATED


# -- defined outcomes -------------------------------------------------------


def few(n, **fields):
    return TOPIC.sample(n, seed=0).replace(**fields)


def one_prompt():
    z = np.random.default_rng(0).standard_normal((12, 2))
    pairs = np.array(list(itertools.combinations(range(12), 2)))
    return PreferenceData(
        prompts=["only"],
        responses=[str(i) for i in range(12)],
        response_prompt=np.zeros(12, int),
        pairs=pairs,
        label=np.arange(66) % 2,
        objective=np.arange(66) // 2 % 2,
        prompt_latents=[[0.5]],
        response_latents=z,
        embeddings=z,
    )


def separated():
    data = few(100)
    c = np.arange(100) % 2
    z_x = 100.0 * c + 0.001 * np.arange(100)
    return data.replace(
        objective=c,
        prompt_latents=z_x[:, None],
        embeddings=data.embeddings + 50 * np.repeat(c, 2)[:, None],
    )


def lone_prompt():
    """Every pair of context 1 answers one prompt."""
    data = TOPIC.sample(30, seed=0, responses=6)
    return data.replace(objective=(data.pair_prompt == 7).astype(int))


def selves(n=60):
    data = few(n)
    return data.replace(pairs=np.stack([data.pairs[:, 0]] * 2, axis=1))


def scaled(by):
    data = few(100)
    return data.replace(
        prompt_latents=data.prompt_latents * by, response_latents=data.response_latents * by
    )


def contexts(k):
    return few(60 * k).replace(objective=np.arange(60 * k) % k)


def constant(n=100, **which):
    data = few(n)
    which = which or {"prompt_latents": 1.0, "response_latents": -2.0}
    return data.replace(**{k: np.full_like(getattr(data, k), v) for k, v in which.items()})


WORLDS = {
    "one row": lambda: few(1),
    "two rows": lambda: few(2),
    "three rows": lambda: few(3),
    "ten rows": lambda: few(10),
    "ten rows, one context": lambda: few(10, objective=[0] * 10),
    "thirty rows": lambda: few(30),
    "one prompt": one_prompt,
    "one context": lambda: few(100, objective=np.full(100, 4)),
    "no context": lambda: few(100, objective=None),
    "constant latents": constant,
    "constant latents, no embeddings": lambda: constant().replace(embeddings=None),
    "constant latents of responses": lambda: constant(response_latents=0.0),
    "constant latents of prompts": lambda: constant(prompt_latents=3.0),
    "all constant": lambda: constant(prompt_latents=0.0, response_latents=0.0, embeddings=0.0),
    "one latent": lambda: few(100).replace(
        response_latents=few(100).response_latents[:, :1], prompt_latents=None
    ),
    "tied latents": lambda: few(100).replace(
        response_latents=few(100).response_latents[:, [0, 0]] * [1, -3]
    ),
    "all preferred first": lambda: few(100, label=np.ones(100, int)),
    "never preferred first": lambda: few(100, label=np.zeros(100, int)),
    "one dissent": lambda: few(100, label=(np.arange(100) == 5).astype(int)),
    "separated": separated,
    "lone prompt": lone_prompt,
    "equal embeddings": lambda: few(100, embeddings=np.ones((200, 5))),
    "against itself": selves,
    "huge": lambda: scaled(1e12),
    "tiny": lambda: scaled(1e-12),
    "far from 0": lambda: few(100).replace(response_latents=few(100).response_latents + 1e9),
    "three contexts": lambda: contexts(3),
    "seven contexts": lambda: contexts(7),
    "forty contexts": lambda: contexts(40),
    "a context a prompt": lambda: few(100, objective=np.arange(100)),
    "odd codes": lambda: few(100, objective=np.array([3, 9])[np.arange(100) % 2]),
    "negative codes": lambda: few(100, objective=np.array([-5, 2])[np.arange(100) % 2]),
    "no latents": lambda: few(100, response_latents=None, prompt_latents=None),
    "no latents of prompts": lambda: few(100, prompt_latents=None, prompt_type=None),
    "no embeddings": lambda: few(100, embeddings=None),
    "nothing but labels": lambda: few(
        100, response_latents=None, prompt_latents=None, embeddings=None, prompt_type=None
    ),
    "discrete": lambda: few(100).replace(response_latents=np.sign(few(100).response_latents)),
    "repeated": lambda: few(20).select(np.tile(np.arange(20), 10)),
    "annotators": lambda: (
        few(50).select(np.tile(np.arange(50), 2)).replace(annotator=np.arange(100) % 3)
    ),
    "ten annotators": lambda: few(200, annotator=np.arange(200) % 10),
    "wider than long": lambda: few(
        60, embeddings=np.random.default_rng(0).standard_normal((120, 300))
    ),
    "same label as latent": lambda: (
        lambda d: d.replace(
            label=(
                d.response_latents[d.pairs[:, 0], 0] > d.response_latents[d.pairs[:, 1], 0]
            ).astype(int)
        )
    )(few(100)),
}
CHECKS = {
    "consistency": check_consistency,
    "consistency, order lost": lambda d: check_consistency(d.replace(order_known=False)),
    "unconfoundedness": lambda d: check_unconfoundedness(d, permutations=19),
    "positivity": check_positivity,
    "sufficiency": lambda d: check_sufficiency(d, permutations=19),
    "latent positivity": check_latent_positivity,
    "additivity": check_additivity,
    "heterogeneity": check_heterogeneity,
}
# infinite by definition
INFINITE = ("variance inflation", "condition number", "standardised mean difference")
_seen: dict[tuple[str, str], Report] = {}


def report_of(check: str, world: str) -> Report:
    if (check, world) not in _seen:
        _seen[check, world] = CHECKS[check](WORLDS[world]())
    return _seen[check, world]


def cases():
    out = []
    for check, world in itertools.product(CHECKS, WORLDS):
        out.append(pytest.param(check, world, id=f"{check}-{world}"))
    return out


def assert_defined(value, where):
    assert isinstance(value, (int, float)) and not isinstance(value, bool), (where, value)
    assert math.isfinite(value) or any(w in where for w in INFINITE), (where, value)
    assert not math.isnan(value), where


@pytest.mark.parametrize("check,world", cases())
def test_every_world_has_a_defined_outcome(check, world):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = report_of(check, world)
        text, frame, plain = str(report), report.to_frame(), report.to_dict()
    assert isinstance(report.verdict, Verdict)
    assert "hold" not in f"{report.sentence} {report.verdict}", "no check says that it holds"
    for part in (report.sentence, report.sees, report.blind, report.next_step):
        assert part and "nan" not in part.split() and part.rstrip()[-1] != " "
        assert part in " ".join(text.split()) or " ".join(part.split()) in " ".join(text.split())
    assert report.n == int(report.n) > 0 and report.unit in ("pairs", "prompts")
    for name in ("value", "low", "high", "p_value"):
        if (v := getattr(report, name)) is not None:
            assert_defined(v, f"{report.statistic} {name}")
    if report.verdict is not Verdict.UNTESTABLE:
        assert report.value is not None and report.statistic
    if report.low is not None:
        assert report.low - 1e-12 <= report.value <= report.high + 1e-12
    if report.p_value is not None:
        assert 0 <= report.p_value <= 1
    for row in report.evidence.to_dict("records"):
        for name in ("value", "low", "high", "p_value", "n"):
            if row[name] is not None:
                assert_defined(row[name], row["what"])
        if row["low"] is not None:
            assert row["low"] - 1e-12 <= row["value"] <= row["high"] + 1e-12
        if row["p_value"] is not None:
            assert 0 <= row["p_value"] <= 1
    assert len(frame) == 1 and frame.verdict.item() == str(report.verdict)
    back = json.loads(json.dumps(plain, allow_nan=True))
    assert back["verdict"] == report.verdict and len(back["evidence"]) == len(report.evidence)
    assert "NaN" not in json.dumps(plain)
    if report.picture is not None:
        shown = report.picture.table.select_dtypes("number").to_numpy(dtype=float)
        assert not np.isnan(shown).any() and report.picture.description


@pytest.mark.parametrize(
    "check", ["consistency", "unconfoundedness", "positivity", "sufficiency", "additivity"]
)
def test_ten_rows_raise_no_alarm(check):
    """Nothing is wrong in this world and ten rows can say little."""
    alarms = []
    for seed in range(40):
        data = TOPIC.replace(self_written=False).sample(10, seed=seed)
        if check == "positivity":
            data = data.select(np.tile(np.arange(10), 3))  # triples that were seen before
        alarms.append(CHECKS[check](data).verdict.alarm)
    assert np.mean(alarms) <= band(40, 0.05)[1]


def test_verdicts_do_not_depend_on_the_unit():
    data = EXAMPLES["4"].simulator.sample(400, seed=0)
    small = data.replace(
        prompt_latents=data.prompt_latents * 1e-13, response_latents=data.response_latents * 1e-13
    )
    for check in ("positivity", "latent positivity", "additivity"):
        assert CHECKS[check](small).verdict is CHECKS[check](data).verdict
        assert CHECKS[check](small).value == pytest.approx(CHECKS[check](data).value, rel=1e-6)


def test_verdicts_do_not_depend_on_a_large_unit():
    data = EXAMPLES["4"].simulator.sample(400, seed=0)
    large = data.replace(
        prompt_latents=data.prompt_latents * 1e12, response_latents=data.response_latents * 1e12
    )
    for check in ("unconfoundedness", "positivity", "latent positivity", "additivity"):
        assert CHECKS[check](large).verdict is CHECKS[check](data).verdict
        assert CHECKS[check](large).value == pytest.approx(CHECKS[check](data).value, rel=1e-6)


def test_many_pairs():
    """Two hundred thousand pairs, every check; nothing is subsampled away without a word."""
    data = EXAMPLES["4"].simulator.replace(embedding=Embedding(d=4)).sample(200_000, seed=0)
    data = data.replace(annotator=np.arange(200_000) % 500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reports = check_all(data)
    got = {r.key: r for r in reports}
    assert {k for k, r in got.items() if r.n == 200_000} == {
        "consistency",
        "latent_positivity",
        "additivity",
        "heterogeneity",
    }
    assert {k for k, r in got.items() if r.n == 20_000} == {
        "unconfoundedness",
        "positivity",
        "sufficiency",
    }
    assert got["unconfoundedness"].verdict is Verdict.VIOLATED
    assert not got["consistency"].verdict.alarm and not got["latent_positivity"].verdict.alarm
    assert got["latent_positivity"].value == pytest.approx(1, abs=0.001)


# -- a check is: compute, judge, word -----------------------------------------


@pytest.mark.parametrize("key", REGISTERED)
def test_numbers_verdict_and_words_are_separate(key):
    """The verdict follows from the numbers, and the words from both; no result can change."""
    check = REGISTERED[key]
    for world in ("three contexts", "one row", "tied latents"):
        data = WORLDS[world]()
        report = check.report(data, Settings())
        again = check.compute(data, Settings())
        if isinstance(again, Words):  # cannot be tested, and says why
            assert report.verdict is Verdict.UNTESTABLE
            words = again
        else:
            assert check.judge(report.result) is check.judge(again) is report.verdict
            words = check.word(again, report.verdict)
        assert words.sentence == report.sentence and words.evidence.equals(report.evidence)
        assert report.value is None or report.short
        with pytest.raises(dataclasses.FrozenInstanceError):
            report.result.n = 0


def test_a_check_of_ones_own():
    """One definition, and the runner makes it with the others, on the same texts."""

    @dataclasses.dataclass(frozen=True)
    class Size:
        n: int

    size = Check(
        "size",
        None,
        "enough pairs",
        lambda data, settings: Size(len(data)),
        lambda result: Verdict.NOT_FOUND if result.n >= 50 else Verdict.STRAINED,
        lambda result, verdict: Words(sentence=f"{result.n} pairs.", next_step="More.", n=result.n),
        sees="few pairs",
        blind="everything else",
        reads_texts=lambda data: True,
    )
    checks = [*REGISTERED.values(), size]
    found = run_checks(toy(60), Settings(most_pairs=30), checks=checks)
    assert [r.key for r in found.reports] == [*REGISTERED, "size"]
    last = found.reports[-1]
    assert (last.verdict, last.result, found.n_texts) == (Verdict.STRAINED, Size(30), 30)
    assert last.title == "enough pairs" and last.blind == "everything else"
    assert last.source == "toy" and "30 pairs." in str(last)


# -- reports ----------------------------------------------------------------


def test_check_all_makes_them_in_order():
    reports = check_all(toy(60))
    assert [r.key for r in reports] == list(REGISTERED)
    assert [r.number for r in reports] == [1, 2, 3, 4, 5, None, None]
    together = pd.concat([r.to_frame() for r in reports], ignore_index=True)
    assert len(together) == len(REGISTERED) and together.source.eq("toy").all()
    assert all(r.simulated for r in reports)


def test_numbers_and_excerpts():
    assert [
        number(v) for v in (3, 1234567, 0.5, 12.345, 1e-5, 123.4, 2.5e7, np.inf, -np.inf, 0.0)
    ] == [
        "3",
        "1,234,567",
        "0.500",
        "12.3",
        "1.0e-05",
        "123",
        "25,000,000",
        "infinite",
        "minus infinite",
        "0.000",
    ]
    assert excerpt("a\n b") == "a b"
    long = excerpt("x" * 100 + "y" * 100, width=21)
    assert long == "x" * 9 + " … " + "y" * 9
    assert table([{"what": "w"}]).iloc[0].tolist() == ["w"] + [None] * 6


def test_no_verdict_says_that_it_holds():
    assert [str(v) for v in Verdict] == [
        "cannot be tested",
        "no violation found",
        "strained",
        "violated",
    ]
    assert [v for v in Verdict if v.alarm] == [Verdict.STRAINED, Verdict.VIOLATED]


HOSTILE = "<script>alert('prompt')</script>\"&"


def hostile(**fields):
    data = separated()
    prompts = [f"{HOSTILE} {i}" for i in range(len(data.prompts))]
    return data.replace(prompts=prompts, source="<b>source</b>", **fields)


NAMES = {
    "objective": ["<i>calm</i>", "<img src=x onerror=alert(1)>"],
    "response_latents": ["<u>z1</u>", "</td>z2"],
    "prompt_latents": ["<script>x"],
}


def test_a_report_without_a_figure_says_so():
    report = check_sufficiency(toy(30).replace(embeddings=None))
    assert report.picture is None
    with pytest.raises(ValueError, match="there is no figure"):
        report.plot()
    assert "cannot be tested" in report.to_html()


def test_text_from_the_data_stays_text():
    report = check_positivity(hostile(names=NAMES))
    assert report.examples.prompt.str.contains("<script>", regex=False).all()
    page = report.to_html()
    assert "<script" not in page and "<img" not in page and "<i>" not in page
    assert "&lt;script&gt;alert(&#x27;prompt&#x27;)&lt;/script&gt;" in page
    assert "&lt;i&gt;calm" in page
    for report in check_all(hostile(names=NAMES)):
        page = report.to_html()
        for tag in ("<script", "<img", "<i>", "<u>", "<b>", "</td>z2"):
            assert tag not in page, (report.assumption, tag)


@pytest.mark.parametrize("check", CHECKS)
def test_every_report_is_a_page_and_a_figure(check):
    """Last, since they need the figures of :mod:`causalpref.figures`."""
    import xml.etree.ElementTree as ET

    for world in WORLDS:
        report = report_of(check, world)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            page = report._repr_html_()
        assert "cp-report" in page and report.verdict in page
        assert ("<svg" in page) == (report.picture is not None)
        if report.picture is not None:
            drawing = page[page.index("<svg") : page.index("</svg>") + 6]
            words = "".join(ET.fromstring(drawing).itertext()).split()
            assert not {"nan", "None", "NaN"} & set(words)
    figure = next(r for r in (report_of(check, w) for w in WORLDS) if r.picture is not None).plot()
    assert figure.svg.count("<svg") == 1
