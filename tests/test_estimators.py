"""Estimands against closed forms, other libraries and coverage over simulated data sets."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import toy
from scipy import special

from causalpref.estimators import (
    amce,
    borda_count,
    delta,
    expected_utility,
    fit_linear,
    longer_preferred,
    outcome_table,
    reward_difference,
)
from causalpref.simulation import Latent, Simulator, linear_reward


def test_longer_preferred_by_hand():
    data = toy(2).replace(
        responses=["aaaa", "b", "cc", "d", "ee", "f"], label=np.array([1, 0, 0, 1])
    )
    # pairs: (0, 1), (3, 4), (2, 1), (5, 4)
    assert data.pairs.tolist() == [[0, 1], [3, 4], [2, 1], [5, 4]]
    assert longer_preferred(data).tolist() == [1, 1, 0, 0]
    tied = data.replace(responses=["b"] * 6)
    assert longer_preferred(tied).tolist() == [0.5] * 4
    assert longer_preferred(tied, tie=0).tolist() == [0] * 4


# -- corollary 1, proposition 2 ---------------------------------------------


def test_reward_difference_is_identified_and_shifts_are_not():
    rng = np.random.default_rng(0)
    z_x, z, z2 = rng.standard_normal((3, 50, 2))
    plain = linear_reward([1.0, -2.0])
    shift = lambda z_x, z, c: plain(z_x, z, c) + 7 * np.sin(z_x[:, 0]) + z_x[:, 1] ** 3
    latents = dict(prompt_latents=(Latent("x"), Latent("x2")))
    p, q = (Simulator(r, **latents).potential_outcome(z_x, z, z2) for r in (plain, shift))
    np.testing.assert_allclose(p, q, rtol=1e-9)
    np.testing.assert_allclose(reward_difference(p), (z - z2) @ [1.0, -2.0], atol=1e-9)
    assert reward_difference(0.5) == 0 and reward_difference(1.0) == np.inf
    with pytest.raises(ValueError, match="1.5 is not a probability"):
        reward_difference([0.2, 1.5])


def test_cell_means_are_potential_outcomes():
    sim = Simulator(
        linear_reward([1.0, 0.5]), (Latent("a", "binary"), Latent("b", "binary")), correlation=0.3
    )
    table = outcome_table(sim.sample(40_000, seed=0))
    assert len(table) == 16 and table.pairs.sum() == 40_000
    truth = sim.potential_outcome(None, table[["z0", "z1"]], table[["zp0", "zp1"]])
    inside = ((table.low <= truth) & (truth <= table.high)).mean()
    assert inside >= 13 / 16, "95 % intervals"
    with pytest.raises(ValueError, match="no response_latents"):
        outcome_table(toy(3).replace(response_latents=None))


# -- the linear fit ---------------------------------------------------------


def test_linear_fit_covers_at_its_nominal_level():
    """1,000 data sets: 95 % intervals cover 95 % +- 2 of them, for both kinds of error."""
    sim = Simulator(linear_reward([0.8, -0.4]), correlation=0.5)
    hits = np.zeros((2, 2))
    for seed in range(1000):
        data = sim.sample(150, seed=seed, responses=3)
        for row, clusters in enumerate((None, data.pair_prompt)):
            interval = fit_linear(delta(data), data.label, clusters=clusters).interval()
            hits[row] += (interval[:, 0] <= [0.8, -0.4]) & (interval[:, 1] >= [0.8, -0.4])
    assert (np.abs(hits / 1000 - 0.95) <= 0.02).all(), hits


def test_linear_fit_refuses():
    x = np.random.default_rng(0).standard_normal((50, 2))
    with pytest.raises(ValueError, match="separate the labels perfectly"):
        fit_linear(x, (x @ [1.0, 2.0] > 0).astype(int))
    nearly = np.column_stack([x[:, 0], np.arange(50) < 5])
    with pytest.raises(ValueError, match="separate the labels perfectly"):
        fit_linear(nearly, np.r_[np.ones(5), np.arange(45) % 2])
    with pytest.raises(ValueError, match=r"label\[0\] = -1"):
        fit_linear(x, 2 * (np.arange(50) % 2) - 1)
    with pytest.raises(ValueError, match="linearly dependent"):
        fit_linear(np.column_stack([x, x[:, 0]]), np.arange(50) % 2)
    with pytest.raises(ValueError, match=r"features \(50, 2\) and label \(3,\)"):
        fit_linear(x, np.zeros(3))


# -- AMCE -------------------------------------------------------------------

BINARY = (Latent("a", "binary"), Latent("b", "binary", 0.3))


def test_amce_equals_its_closed_form():
    """A linear reward: sigmoid of the weight, whatever the density."""
    sim = Simulator(linear_reward([0.9, -0.6]), BINARY, correlation=0.2)
    data = sim.sample(60_000, seed=0)
    for k, weight in enumerate((0.9, -0.6)):
        for density in ("uniform", "empirical"):
            got = amce(data, k, density=density)
            assert abs(got.value - special.expit(weight)) < 4 * got.se < 0.04


def test_amce_density_matters_with_an_interaction():
    """r = a b: an effect where b = 1, none where b = 0; m decides how they are averaged."""
    sim = Simulator(lambda z_x, z, c: 2 * z[:, 0] * z[:, 1], BINARY)
    data = sim.sample(60_000, seed=0)
    for density, share in (("uniform", 0.5), ("empirical", 0.3)):
        truth = share * special.expit(2) + (1 - share) * 0.5
        got = amce(data, 0, density=density)
        assert abs(got.value - truth) < 4 * got.se < 0.05


def test_amce_covers_with_clusters():
    """1,000 data sets with four responses a prompt, whose pairs share responses."""
    sim = Simulator(
        linear_reward([0.9, -0.6]),
        BINARY,
        prompt_latents=(Latent("x", "binary"),),
        prompt_effect=np.array([[0.6], [0.0]]),
    )
    truth, hits = special.expit(0.9), 0
    for seed in range(1000):
        got = amce(sim.sample(400, seed=seed, responses=4), 0)
        hits += got.low <= truth <= got.high
    assert abs(hits / 1000 - 0.95) <= 0.02, hits


def test_amce_of_a_handful_is_not_certain():
    """Unanimous pairs have no spread of their own; the interval must not collapse."""
    sim = Simulator(linear_reward([1.0, 0.0]), (Latent("a", "binary"), Latent("b", "ordinal")))
    truth, hits, runs = special.expit(1.0), 0, 0
    for seed in range(400):
        try:
            got = amce(sim.sample(150, seed=seed), 0)
        except ValueError:  # an empty stratum is refused
            continue
        runs += 1
        hits += got.low <= truth <= got.high
        assert got.se > 0.03
    assert runs > 200 and hits / runs > 0.9


def test_amce_is_biased_towards_whoever_asks_when_c_is_ignored():
    """Context 1 likes feature a and is a minority; it writes nearly all prompts of its type.

    A uniform density weights both types alike, so the minority's prompts, hence the minority,
    count for more than their share: ignoring C the effect is too large, by a known amount.
    """
    likes = (-0.5, 1.5)
    sim = Simulator(
        linear_reward([[likes[0], 0.0], [likes[1], 0.0]]),
        BINARY,
        prompt_latents=(Latent("type", "binary"),),
        contexts=(0.8, 0.2),
        rho=0.9,
        type_effect=np.array([[-9.0], [9.0]]),
    )
    data = sim.sample(80_000, seed=0)
    p = special.expit(likes)
    truth = 0.8 * p[0] + 0.2 * p[1]
    adjusted, ignored = amce(data, 0, context="adjust"), amce(data, 0, context="ignore")
    assert abs(adjusted.value - truth) < 4 * adjusted.se < 0.06

    joint = np.array([[0.8 * 0.9, 0.8 * 0.1], [0.2 * 0.1, 0.2 * 0.9]])  # P(C = c, type = t)
    given = joint / joint.sum(0)
    expected = (given.T @ p).mean()
    assert abs(ignored.value - expected) < 4 * ignored.se
    assert min(expected, ignored.value) > truth + 0.05
    for c in (0, 1):
        one = amce(data, 0, context=c)
        assert abs(one.value - p[c]) < 4 * one.se


def test_amce_takes_groups_of_prompts_as_clusters():
    """Every prompt twice: in one group the copies add nothing, on their own they halve variance."""
    sim = Simulator(linear_reward([2.0, 0.5]), (Latent("a", "binary"), Latent("b", "binary")))
    data = sim.sample(4000, seed=0)
    n = len(data.prompts)
    twice = data.replace(
        prompts=[*data.prompts, *(f"again {x}" for x in data.prompts)],
        responses=[*data.responses, *data.responses],
        response_prompt=np.concatenate([data.response_prompt, data.response_prompt + n]),
        response_latents=np.tile(data.response_latents, (2, 1)),
        prompt_type=np.tile(data.prompt_type, 2),
        pairs=np.concatenate([data.pairs, data.pairs + len(data.responses)]),
        label=np.tile(data.label, 2),
        objective=np.tile(data.objective, 2),
    )
    once, apart = amce(data, "a"), amce(twice, "a")
    together = amce(twice.replace(prompt_group=np.tile(np.arange(n), 2)), "a")
    assert once.value == pytest.approx(apart.value) == pytest.approx(together.value)
    assert together.se == pytest.approx(once.se, rel=0.02)
    assert apart.se == pytest.approx(once.se / np.sqrt(2), rel=0.02)


def test_amce_refuses():
    data = Simulator(linear_reward([1.0, 1.0]), BINARY).sample(500, seed=0)
    with pytest.raises(ValueError, match="no response latent 4"):
        amce(data, 4)
    with pytest.raises(ValueError, match="expected 0 and 1"):
        amce(Simulator(linear_reward([1.0, 1.0])).sample(50, seed=0), 0)
    with pytest.raises(ValueError, match="density is 'flat'"):
        amce(data, 0, density="flat")
    with pytest.raises(ValueError, match="no objective"):
        amce(data.replace(objective=None), 0, context="adjust")
    named = data.replace(names={"objective": ["all"], "response_latents": ["long", "kind"]})
    assert amce(named, "kind", context="all") == amce(data, 1, context=0)
    with pytest.raises(ValueError, match="context is 'adjsut'"):
        amce(data, 0, context="adjsut")
    assert amce(data, 0, context=np.int64(0)) == amce(data, 0, context=0)
    same = Simulator(
        linear_reward([1.0, 1.0]), (Latent("a", "binary"), Latent("b", "binary")), correlation=1.0
    ).sample(500, seed=0)
    with pytest.raises(ValueError, match=r"differs in latent 0 \(a\) alone in 2 of 2 strata"):
        amce(same, 0)


# -- hidden context ---------------------------------------------------------


def test_borda_and_expected_utility_can_disagree():
    """60 % prefer a clearly, 40 % prefer b far more: counting heads is not adding utilities."""
    rewards, shares = np.array([[3.0, 0.0], [0.0, 10.0]]), np.array([0.6, 0.4])
    p = sum(s * special.expit(r[:, None] - r[None, :]) for s, r in zip(shares, rewards))
    assert borda_count(p).argmax() == 0 and expected_utility(rewards, shares).argmax() == 1

    table = linear_reward(rewards)  # response i is the i-th unit vector
    sim = Simulator(
        table,
        (Latent("a", "binary"), Latent("b", "binary")),
        contexts=(0.6, 0.4),
        self_written=False,
    )
    shown = sim.do(first={0: 1, 1: 0}, second={0: 0, 1: 1}).sample(20_000, seed=0)
    assert shown.label.mean() == pytest.approx(p[0, 1], abs=0.012)
    assert p[0, 1] == pytest.approx(0.6 * special.expit(3) + 0.4 * special.expit(-10))
    pooled = fit_linear(delta(shown)[:, :1], shown.label)
    assert pooled.weights[0] > 0, "a reward model that ignores C takes the side of the count"


def test_borda_of_three_by_hand():
    p = np.array([[0.5, 0.8, 0.6], [0.2, 0.5, 0.9], [0.4, 0.1, 0.5]])
    np.testing.assert_allclose(borda_count(p), [0.7, 0.55, 0.25])
    np.fill_diagonal(p, np.nan)
    np.testing.assert_allclose(borda_count(p), [0.7, 0.55, 0.25])
    with pytest.raises(ValueError, match=r"p has shape \(2, 3\)"):
        borda_count(np.zeros((2, 3)))
