"""Draws with a set P(type(X) = C)."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from causalpref.sampling import attainable_rho, sample_confounded


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


@pytest.mark.parametrize(("rho", "n", "says"), [(1.2, 4, "rho is 1.2"), (-0.1, 4, "rho is -0.1"),
                                                (float("nan"), 4, "rho is nan"),
                                                (0.5, 0, "n is 0")])
def test_impossible_dials(rho, n, says):
    with pytest.raises(ValueError, match=says):
        sample_confounded(toy(), rho, n, seed=0)


def test_needs_two_objectives():
    data = toy()
    with pytest.raises(ValueError, match="one objective only"):
        sample_confounded(data.replace(objective=np.zeros(len(data), int)), 0.5, 4, seed=0)
