"""Interval over prompts: closed form, coverage, clustering."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import toy
from scipy import stats

from causalpref.estimands import longer_preferred, mean_interval


def test_single_pairs_give_the_textbook_interval():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(400)
    mean, low, high = mean_interval(values, np.arange(400), seed=0, draws=8000)
    half = stats.norm.ppf(0.975) * values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.008),
                           pytest.approx(mean + half, abs=0.008))


def test_coverage_with_clusters_and_its_loss_without():
    """Pairs of one prompt share an effect: a bootstrap over prompts covers, one over pairs not."""
    rng = np.random.default_rng(1)
    runs, covered = 300, {"prompts": 0, "pairs": 0}
    prompt = np.repeat(np.arange(60), 4)
    for k in range(runs):
        values = rng.standard_normal(60)[prompt] + 0.5 * rng.standard_normal(240)
        for name, clusters in (("prompts", prompt), ("pairs", np.arange(240))):
            _, low, high = mean_interval(values, clusters, seed=k, draws=300)
            covered[name] += low <= 0 <= high
    # 99.9 % band of a binomial at the nominal level, one more point for 60 finite clusters
    band = stats.binom.ppf([0.0005, 0.9995], runs, 0.94)
    assert band[0] <= covered["prompts"] <= runs
    assert covered["pairs"] < 0.85 * runs


def test_interval_refuses():
    with pytest.raises(ValueError, match="two vectors of one length"):
        mean_interval(np.zeros(3), np.zeros(2), seed=0)
    with pytest.raises(ValueError, match="in one cluster"):
        mean_interval(np.zeros(3), np.zeros(3), seed=0)
    with pytest.raises(ValueError, match="above 0"):
        mean_interval(np.zeros(0), np.zeros(0), seed=0)


def test_longer_preferred_by_hand():
    data = toy(2).replace(responses=["aaaa", "b", "cc", "d", "ee", "f"],
                          label=np.array([1, 0, 0, 1]))
    # pairs: (0, 1), (3, 4), (2, 1), (5, 4)
    assert data.pairs.tolist() == [[0, 1], [3, 4], [2, 1], [5, 4]]
    assert longer_preferred(data).tolist() == [1, 1, 0, 0]
    tied = data.replace(responses=["b"] * 6)
    assert longer_preferred(tied).tolist() == [0.5] * 4
    assert longer_preferred(tied, tie=0).tolist() == [0] * 4
