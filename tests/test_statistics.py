"""Statistics, each against an independent implementation, a closed form or a known simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from causalpref import statistics as st
from causalpref.estimators import fit_linear
from causalpref.simulation import Simulator, linear_reward


def band(n: int, p: float) -> tuple[float, float]:
    """99.9 % band of a binomial, as shares."""
    low, high = stats.binom.ppf([0.0005, 0.9995], n, p) / n
    return float(low), float(high)


def test_auc_against_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    score = np.round(rng.standard_normal((200, 5)), 1)  # with ties
    positive = rng.random((200, 5)) < 0.3
    want = [roc_auc_score(p, s) for s, p in zip(score.T, positive.T)]
    np.testing.assert_allclose(st.auc(score, positive), want)
    np.testing.assert_allclose(
        [st.auc_interval(s, p).value for s, p in zip(score.T, positive.T)], want
    )


@pytest.mark.parametrize("shift,n1,n0", [(0.0, 60, 60), (1.0, 40, 120), (2.5, 80, 80)])
def test_auc_interval_covers(shift, n1, n0):
    """Binormal scores: the AUC is Phi(shift / sqrt 2)."""
    rng, runs, covered = np.random.default_rng(1), 400, 0
    truth, positive = stats.norm.cdf(shift / np.sqrt(2)), np.arange(n1 + n0) < n1
    for _ in range(runs):
        area = st.auc_interval(rng.standard_normal(n1 + n0) + shift * positive, positive)
        covered += area.low <= truth <= area.high
    assert band(runs, 0.945)[0] <= covered / runs <= band(runs, 0.97)[1]


def test_auc_interval_where_all_are_ranked_right():
    score, positive = np.arange(10.0), np.arange(10) >= 4
    area = st.auc_interval(score, positive)
    assert area.value == area.high == 1 and 0.5 < area.low < 1
    area = st.auc_interval(score, ~positive)
    assert area.value == area.low == 0 and 0 < area.high < 0.5


def test_ridge_scores_against_scikit_learn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, 7))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = rng.standard_normal((90, 3)) + x[:, :3] + 5
    fold = st.folds(np.arange(90) // 3, 4, seed=rng)
    want = np.empty_like(y)
    for k in range(4):
        rest = fold != k
        model = Ridge(alpha=0.05 * rest.sum() + 7).fit(x[rest], y[rest])
        want[~rest] = model.predict(x[~rest])
    np.testing.assert_allclose(st.ridge_scores(x, y, fold), want, atol=1e-10)


def test_folds_keep_groups_together():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 23, 300)
    fold = st.folds(group, 5, seed=rng)
    assert (pd.DataFrame({"g": group, "f": fold}).groupby("g").f.nunique() == 1).all()
    assert sorted(np.unique(fold)) == [0, 1, 2, 3, 4]
    assert np.ptp(np.bincount(pd.DataFrame({"g": group, "f": fold}).drop_duplicates().f)) <= 1
    assert st.folds(np.array([7, 7, 9]), 5, seed=rng).max() == 1


def test_logistic_against_other_fits():
    from sklearn.linear_model import LogisticRegression

    data = Simulator(linear_reward([1.0, -0.5])).sample(600, seed=0)
    x = data.response_latents[data.pairs[:, 0]] - data.response_latents[data.pairs[:, 1]]
    np.testing.assert_allclose(
        st.logistic_fit(x, data.label).weights, fit_linear(x, data.label).weights, atol=1e-6
    )
    for ridge in (0.1, 10.0):
        sk = LogisticRegression(C=1 / ridge, fit_intercept=False, tol=1e-12, max_iter=5000)
        np.testing.assert_allclose(
            st.logistic_fit(x, data.label, ridge=ridge).weights,
            sk.fit(x, data.label).coef_[0],
            atol=1e-5,
        )
    offset = 0.7 * x[:, 0]
    np.testing.assert_allclose(
        st.logistic_fit(x, data.label, offset=offset).weights,
        st.logistic_fit(x, data.label).weights - [0.7, 0],
        atol=1e-6,
    )
    perfect = st.logistic_fit(x, (x[:, 0] > 0).astype(int), ridge=1e-3).weights
    assert np.isfinite(perfect).all()


def nll(x, y, w):
    return np.logaddexp(0, (1 - 2 * y) * (x @ w)).sum()


def test_score_test_agrees_with_the_likelihood_ratio():
    """Independent rows, effects that are small against n: the two statistics have one limit."""
    rng = np.random.default_rng(0)
    for strength in (0.0, 0.05, 0.1):
        base = np.column_stack([np.ones(8000), rng.standard_normal((8000, 2))])
        extra = rng.standard_normal((8000, 3)) + base[:, 1:2]
        y = (rng.random(8000) < special.expit(base @ [0.2, 1, -1] + strength * extra[:, 0])).astype(
            int
        )
        ratio = 2 * (
            nll(base, y, st.logistic_fit(base, y).weights)
            - nll(both := np.column_stack([base, extra]), y, st.logistic_fit(both, y).weights)
        )
        test = st.score_test(base, extra, y, np.arange(8000))
        assert test.df == 3
        assert test.statistic == pytest.approx(ratio, rel=0.08, abs=0.3)
        assert test.p_value == pytest.approx(stats.chi2.sf(ratio, 3), rel=0.5, abs=0.03)


@pytest.mark.parametrize("n,cluster,q", [(60, 1, 4), (400, 1, 3), (400, 8, 3)])
def test_score_test_keeps_its_level(n, cluster, q):
    """Also with few rows for the number of columns, and with labels that hang together."""
    rng, runs, p, naive = np.random.default_rng(2), 400, [], []
    group = np.arange(n) // cluster
    for _ in range(runs):
        shared = rng.standard_normal((n // cluster, q))[group]
        extra = 0.9 * shared + 0.4 * rng.standard_normal((n, q))
        noise = special.ndtr(
            0.9 * rng.standard_normal(n // cluster)[group]
            + np.sqrt(1 - 0.81) * rng.standard_normal(n)
        )
        if cluster == 1:
            noise = rng.random(n)
        base = np.column_stack([np.ones(n), rng.standard_normal(n)])
        y = (noise < special.expit(0.5 * base[:, 1])).astype(int)
        p.append(st.score_test(base, extra, y, group).p_value)
        naive.append(st.score_test(base, extra, y, np.arange(n)).p_value)
    assert np.mean(np.array(p) <= 0.05) <= band(runs, 0.05)[1]
    if cluster > 1:
        assert np.mean(np.array(naive) <= 0.05) > 2 * band(runs, 0.05)[1], "clusters matter here"
    else:
        assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_score_test_counts_directions():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 2))
    y = rng.integers(0, 2, 500)
    base = np.ones((500, 1))
    once = st.score_test(base, x, y, np.arange(500))
    again = st.score_test(base, np.column_stack([x, x @ [1, 2], 5 * x[:, 0]]), y, np.arange(500))
    assert once.df == again.df == 2
    assert again.statistic == pytest.approx(once.statistic)
    assert again.p_value == pytest.approx(once.p_value)
    scaled = st.score_test(base, x * [1e3, 1e-3], y, np.arange(500))
    assert scaled.statistic == pytest.approx(once.statistic)
    two = st.score_test(base, x, y, np.arange(500) // 250)
    assert (two.df, two.p_value) == (0, 1.0), "two clusters"


def test_score_test_of_nothing_new():
    rng = np.random.default_rng(0)
    base = np.column_stack([np.ones(500), rng.standard_normal(500)])
    test = st.score_test(base, 3 * base[:, 1:], rng.integers(0, 2, 500), np.arange(500))
    assert (test.df, test.p_value) == (0, 1.0) and test.z.tolist() == [0]


def test_score_test_of_no_columns():
    test = st.score_test(np.ones((50, 1)), np.zeros((50, 0)), np.arange(50) % 2, np.arange(50))
    assert (test.df, test.p_value) == (0, 1.0) and test.z.shape == (0,)


def test_holm_by_hand():
    np.testing.assert_allclose(st.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(st.holm([0.5, 0.9]), [1, 1])
    assert st.holm([0.02]).tolist() == [0.02]
    # smallest first: reject while p_(i) <= alpha / (m - i), as in Holm's own words
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.random(6) ** 3
        reject, ranked = set(), np.argsort(p)
        for i, j in enumerate(ranked):
            if p[j] > 0.05 / (6 - i):
                break
            reject.add(int(j))
        assert set(np.flatnonzero(st.holm(p) <= 0.05)) == reject


def test_wilson_against_scipy():
    for k, n in [(0, 10), (3, 10), (10, 10), (50, 100), (1, 1), (1, 4000)]:
        want = stats.binomtest(k, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(st.wilson_interval(k / n, n), [want.low, want.high], atol=1e-7)


def test_wilson_holds_its_estimate():
    for n in range(1, 300):
        assert st.wilson_interval(0.0, n)[0] == 0.0 and st.wilson_interval(1.0, n)[1] == 1.0


def test_proportion_knows_clusters():
    rng = np.random.default_rng(0)
    alone = (rng.random(400) < 0.3).astype(float)
    got = st.cluster_proportion(alone, np.arange(400))
    once = st.wilson_interval(got.value, 400)
    np.testing.assert_allclose((got.low, got.high), once, rtol=0.02)
    same = np.repeat(alone, 5)  # five copies say no more than one
    got = st.cluster_proportion(same, np.repeat(np.arange(400), 5))
    np.testing.assert_allclose((got.low, got.high), once, atol=2e-4)
    assert st.cluster_proportion(np.ones(50), np.arange(50) // 10).low == pytest.approx(
        st.wilson_interval(1.0, 5)[0]
    ), "unanimous clusters count as one each"
    covered = 0
    for _ in range(300):
        rate = rng.beta(2, 2, 80)
        got = st.cluster_proportion(
            (rng.random(480) < np.repeat(rate, 6)).astype(float), np.repeat(np.arange(80), 6)
        )
        covered += got.low <= 0.5 <= got.high
    assert band(300, 0.94)[0] <= covered / 300
