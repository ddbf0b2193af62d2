"""Draws with a set P(type(X) = C), and with a set correlation of latent differences."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from causalpref.estimators import delta
from causalpref.sampling import (
    attainable_correlation,
    attainable_rho,
    sample_confounded,
    sample_correlated,
    sample_opposed,
)
from causalpref.simulation import Latent, Simulator, linear_reward


@settings(deadline=None, max_examples=60)
@given(rho=st.floats(0, 1), n=st.integers(1, 60), seed=st.integers(0, 1000))
def test_rho_balance_and_no_repeats(rho, n, seed):
    data = toy(200, seed=1).replace(label=np.zeros(400, int))
    got = sample_confounded(data, rho, n, seed=seed)
    assert len(got) == n
    counts = np.bincount(got.objective, minlength=2)
    assert abs(counts[0] - counts[1]) <= 1
    for c in (0, 1):
        side = got.consistent[got.objective == c]
        assert abs(side.sum() - rho * len(side)) <= 0.5 + 1e-9
    assert len(np.unique(got.pairs, axis=0)) == n


def test_refusal_says_what_can_be_had():
    data = toy(200, seed=1)
    low, high = attainable_rho(data, 300)
    assert 0 < low < high < 1
    assert len(sample_confounded(data, (low + high) / 2, 300, seed=0)) == 300
    for rho in (low - 0.1, high + 0.1):
        with pytest.raises(ValueError, match=rf"rho from {low:.2f} to {high:.2f} is within reach"):
            sample_confounded(data, rho, 300, seed=0)
    own = [np.flatnonzero(data.consistent & (data.objective == c)) for c in (0, 1)]
    odd = data.select(np.concatenate([own[0][:4], own[1][:3]]))
    assert attainable_rho(odd, 7) == (1.0, 1.0), "7 pairs are 4 and 3"
    assert np.isnan(attainable_rho(data, 1000)).all()
    with pytest.raises(ValueError, match="none is within reach"):
        sample_confounded(data, 0.5, 1000, seed=0)


@pytest.mark.parametrize(
    ("rho", "n", "says"),
    [
        (1.2, 4, "rho is 1.2"),
        (-0.1, 4, "rho is -0.1"),
        (float("nan"), 4, "rho is nan"),
        (0.5, 0, "n_pairs is 0"),
    ],
)
def test_impossible_dials(rho, n, says):
    with pytest.raises(ValueError, match=says):
        sample_confounded(toy(), rho, n, seed=0)


def test_needs_two_objectives():
    data = toy()
    with pytest.raises(ValueError, match="one objective only"):
        sample_confounded(data.replace(objective=np.zeros(len(data), int)), 0.5, 4, seed=0)


# -- correlation of two latents --------------------------------------------


def rated(n_prompts=4000, correlation=0.56, seed=0):
    return Simulator(
        linear_reward([0.25, 0.75]),
        correlation=correlation,
        noise=None,
        response_latents=(
            Latent("truthful", "ordinal", (0.05, 0.08, 0.15, 0.32, 0.4)),
            Latent("instruction", "ordinal", (0.06, 0.1, 0.2, 0.34, 0.3)),
        ),
    ).sample(n_prompts, responses=4, seed=seed)


@pytest.mark.parametrize("tilt", ["normal", "difference", "product"])
@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.3, 0.6, 0.9])
def test_correlation_of_differences_is_the_one_asked_for(rho, tilt):
    pool = rated()
    drawn = sample_correlated(pool, rho, 2000, tilt=tilt, seed=1)
    assert np.corrcoef(delta(drawn).T)[0, 1] == pytest.approx(rho, abs=0.01)
    assert len(drawn) == 2000
    rows = {(*pair, label) for pair, label in zip(drawn.pairs.tolist(), drawn.label.tolist())}
    assert len(rows) == 2000, "without replacement: no pair of the pool occurs twice"


def test_tilts_differ_in_how_common_ties_become():
    pool = rated()
    ties = {
        tilt: (delta(sample_correlated(pool, 0.9, 2000, tilt=tilt, seed=0)) == 0).all(1).mean()
        for tilt in ("difference", "product")
    }
    assert ties["difference"] > 2 * ties["product"]


def test_normal_strata_follow_the_normal_density():
    """Counts over cells that are not exhausted are in proportion to the density."""
    drawn = sample_correlated(rated(20_000), 0.4, 4000, seed=0)
    size = np.sqrt((delta(rated(20_000)) ** 2).mean(0))
    cells, counts = np.unique(delta(drawn), axis=0, return_counts=True)
    u, big = cells / size, counts > 30
    design = np.column_stack([np.ones(len(u)), (u**2).sum(1), u.prod(1)])[big]
    fit, left, *_ = np.linalg.lstsq(design, np.log(counts[big]), rcond=None)
    assert np.abs(design @ fit - np.log(counts[big])).max() < 0.05
    r = -fit[2] / (2 * fit[1])
    assert fit[1] == pytest.approx(-1 / (2 * (1 - r**2)), abs=0.02)


def test_within_a_cell_pairs_are_drawn_at_random():
    pool = rated()
    runs = [sample_correlated(pool, 0.3, 500, seed=s) for s in range(2)]
    again = sample_correlated(pool, 0.3, 500, seed=0)
    assert np.array_equal(runs[0].pairs, again.pairs)
    shared = {tuple(p) for p in runs[0].pairs.tolist()} & {tuple(p) for p in runs[1].pairs.tolist()}
    assert len(shared) < 100
    grids = [np.unique(delta(r), axis=0, return_counts=True)[1] for r in runs]
    assert np.array_equal(*grids), "the strata are the same, the pairs in them are not"


def test_a_correlation_out_of_reach_is_refused_with_the_range():
    pool = rated(300)
    low, high = attainable_correlation(pool, 1500)
    assert -0.5 < low < high < 0.95
    with pytest.raises(ValueError, match=rf"from {low:.2f} to {high:.2f} is within reach"):
        sample_correlated(pool, -0.9, 1500, seed=0)
    assert len(sample_correlated(pool, (low + high) / 2, 1500, seed=0)) == 1500


def test_taking_the_whole_pool_leaves_no_choice():
    pool = rated(50)
    d = delta(pool)
    own = float((d[:, 0] * d[:, 1]).mean() / np.sqrt((d**2).mean(0).prod()))
    assert attainable_correlation(pool, len(pool)) == pytest.approx((own, own))
    everything = sample_correlated(pool, own, len(pool), seed=0)
    assert sorted(everything.pairs.tolist()) == sorted(pool.pairs.tolist())


def test_opposed_pairs():
    drawn = sample_opposed(rated(), 1000, seed=0)
    d = delta(drawn)
    assert (d[:, 0] * d[:, 1] < 0).all()
    assert np.corrcoef(d.T)[0, 1] < -0.7
    with pytest.raises(ValueError, match="pairs whose latents disagree, 100000"):
        sample_opposed(rated(), 100_000, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rho": 1.2}, "a correlation lies in"),
        ({"n_pairs": 0}, "the pool holds"),
        ({"n_pairs": 10**6}, "the pool holds"),
        ({"tilt": "steep"}, "expected 'normal', 'difference'"),
        ({"latents": (0, 2)}, "no response latent 2; there are 0"),
        ({"latents": (0, "wit")}, "no response latent 'wit'; there are 0"),
    ],
)
def test_bad_correlations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        sample_correlated(rated(20), **{"rho": 0.5, "n_pairs": 20, "seed": 0} | change)


def test_a_latent_that_never_differs_is_refused():
    pool = rated(20)
    flat = pool.replace(response_latents=pool.response_latents * [1, 0])
    with pytest.raises(ValueError, match="latent 1 never differs"):
        sample_correlated(flat, 0.5, 10, seed=0)


def test_latents_are_named_or_counted():
    pool = rated().replace(names={"response_latents": ("helpful", "honest")})
    for draw in (
        lambda latents: sample_correlated(pool, 0.3, 500, latents=latents),
        lambda latents: sample_opposed(pool, 500, latents=latents),
    ):
        assert draw(("honest", "helpful")) == draw((1, 0))
    for latents in ((0,), (0, 1, 0), (1, 1)):
        with pytest.raises(ValueError, match="expected two different ones"):
            sample_correlated(pool, 0.3, 500, latents=latents)
    reach = attainable_correlation(pool, 500, latents=("helpful", 1))
    assert reach == attainable_correlation(pool, 500)
