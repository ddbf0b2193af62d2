"""Statistics, each against an independent implementation, a closed form or a known simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from causalpref import statistics as st


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


def test_auc_standard_error_by_pairs():
    """DeLong's: how often each positive beats a negative, and the other way round, one by one."""
    rng = np.random.default_rng(0)
    score, positive = np.round(rng.standard_normal(90), 1), np.arange(90) < 30
    score[positive] += 0.7
    ones, zeros = score[positive], score[~positive]
    wins = [[(a > b) + 0.5 * (a == b) for b in zeros] for a in ones]
    by_one, by_zero = np.mean(wins, axis=1), np.mean(wins, axis=0)
    se = np.sqrt(np.var(by_one, ddof=1) / 30 + np.var(by_zero, ddof=1) / 60)
    got = st.auc_interval(score, positive)
    assert (got.value, got.se, got.n) == (pytest.approx(np.mean(wins)), pytest.approx(se), 90)
    odds, half = np.log(got.value / (1 - got.value)), 1.96 * se / got.value / (1 - got.value)
    assert np.log(got.low / (1 - got.low)) == pytest.approx(odds - half)
    assert np.log(got.high / (1 - got.high)) == pytest.approx(odds + half)


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


def nll(x, y, w):
    return np.logaddexp(0, (1 - 2 * y) * (x @ w)).sum()


def correlated_rows(seed, n=600, clusters=80):
    """Columns and binary labels that depend on one another within clusters."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, clusters, n)
    x = rng.standard_normal((clusters, 2))[group] + rng.standard_normal((n, 2))
    x = np.column_stack([np.ones(n), x])
    pull = rng.standard_normal(clusters)[group]
    y = (rng.random(n) < special.expit(x @ [0.2, 0.8, -0.5] + pull)).astype(int)
    return x, y, group, rng


def test_score_test_against_statsmodels():
    """The generalised score test of a GEE, which is robust to clusters too (Boos, 1992)."""
    import statsmodels.api as sm

    for seed in range(3):
        x, y, group, rng = correlated_rows(seed)
        extra = rng.standard_normal((len(y), 2)) + x[:, 1:2]
        family, work = sm.families.Binomial(), sm.cov_struct.Independence()
        small = sm.GEE(y, x, group, family=family, cov_struct=work).fit()
        big = sm.GEE(y, np.column_stack([x, extra]), group, family=family, cov_struct=work)
        want = big.compare_score_test(small)
        got = st.score_test(x, extra, y, group)
        assert got.df == want["df"] == 2
        assert got.statistic == pytest.approx(want["statistic"], rel=1e-4)


def test_score_test_takes_its_p_value_from_hotelling():
    """With an intercept alone, it is a test that the clusters' mean scores are 0."""
    from statsmodels.stats.multivariate import test_mvmean as mvmean

    _, y, group, rng = correlated_rows(5, n=200, clusters=12)
    extra = rng.standard_normal((200, 3))
    scores = (extra - extra.mean(axis=0)) * (y - y.mean())[:, None]
    want = mvmean(pd.DataFrame(scores).groupby(group).sum().to_numpy())
    got = st.score_test(np.ones((200, 1)), extra, y, group)
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-4)
    assert got.p_value > 2 * stats.chi2.sf(got.statistic, 3) or got.p_value > 0.5, "few clusters"


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


def test_holm_against_statsmodels():
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(0)
    for m in (1, 2, 6, 30):
        for p in (rng.random(m), rng.random(m) ** 4, np.round(rng.random(m), 1)):
            np.testing.assert_allclose(st.holm(p), multipletests(p, method="holm")[1], rtol=1e-12)
    np.testing.assert_allclose(st.holm([0.03, 0.005, 0.02]), [0.04, 0.015, 0.04])


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_wilson_against_scipy(level):
    k, n = np.array([0, 3, 10, 50, 1, 1]), np.array([10, 10, 10, 100, 1, 4000])
    low, high = st.wilson_interval(k / n, n, level=level)
    for i in range(len(k)):
        want = stats.binomtest(k[i], n[i]).proportion_ci(level, method="wilson")
        assert (low[i], high[i]) == (pytest.approx(want.low), pytest.approx(want.high))
        one = st.wilson_interval(k[i] / n[i], n[i], level=level)
        assert one == (low[i], high[i])


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


def test_proportion_never_counts_for_more_than_its_rows():
    """Clusters of opposites vary less than independent rows; they are not taken at their word."""
    values, cluster = np.tile([0.0, 1.0], 50), np.arange(100) // 2
    got = st.cluster_proportion(values, cluster)
    assert (got.low, got.high) == st.wilson_interval(0.5, 100)
    assert (got.value, got.n) == (0.5, 100)


# -- fits ----------------------------------------------------------------------


def test_logistic_against_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x, y, _, rng = correlated_rows(0)
    for ridge in (0.0, 0.1, 10.0):
        sk = LogisticRegression(
            C=1 / ridge if ridge else np.inf, fit_intercept=False, tol=1e-12, max_iter=5000
        )
        got = st.logistic_fit(x, y, ridge=ridge)
        np.testing.assert_allclose(got.weights, sk.fit(x, y).coef_[0], atol=1e-5)
        assert got.converged and not got.separated
        p = sk.predict_proba(x)[:, 1]
        curvature = (x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(3)
        np.testing.assert_allclose(got.covariance, np.linalg.inv(curvature), rtol=1e-4)
    shifted = st.logistic_fit(x, y, offset=0.7 * x[:, 1]).weights
    np.testing.assert_allclose(shifted, st.logistic_fit(x, y).weights - [0, 0.7, 0], atol=1e-8)
    perfect = st.logistic_fit(x, x[:, 1] > 0, ridge=1e-3)
    assert np.isfinite(perfect.weights).all() and not perfect.separated


@pytest.mark.parametrize("seed", range(3))
def test_standard_errors_against_statsmodels(seed):
    """From the curvature, one-way and two-way clusters."""
    import statsmodels.api as sm

    x, y, group, rng = correlated_rows(seed)
    other = rng.integers(0, 25, len(y))
    logit = sm.Logit(y, x)
    plain, ours = logit.fit(disp=0, method="newton", tol=1e-12), st.logistic_fit(x, y)
    np.testing.assert_allclose(ours.weights, plain.params, rtol=1e-8)
    np.testing.assert_allclose(ours.covariance, plain.cov_params(), rtol=1e-6)
    np.testing.assert_allclose(ours.se, plain.bse, rtol=1e-6)
    np.testing.assert_allclose(ours.interval(0.9), plain.conf_int(0.1), rtol=1e-6)
    assert ours.loss == pytest.approx(-plain.llf / len(y))
    n, d = x.shape
    for clusters in (group, np.column_stack([group, other])):
        theirs = logit.fit(disp=0, tol=1e-12, cov_type="cluster", cov_kwds={"groups": clusters})
        want = theirs.cov_params() * (n - d) / (n - 1)  # statsmodels also counts the columns
        got = st.logistic_fit(x, y, clusters=clusters)
        np.testing.assert_allclose(got.covariance, want, rtol=1e-6)
        np.testing.assert_array_equal(got.weights, ours.weights)


def test_separated_labels_are_seen():
    x = np.random.default_rng(0).standard_normal((60, 2))
    assert st.logistic_fit(x, x @ [1.0, 2.0] > 0).separated
    nearly = np.column_stack([x[:, 0], np.arange(60) < 5])
    assert st.logistic_fit(nearly, np.r_[np.ones(5), np.arange(55) % 2]).separated
    assert not st.logistic_fit(x, np.arange(60) % 2).separated
    twice = st.logistic_fit(np.column_stack([x, x[:, 0]]), np.arange(60) % 2)
    assert not twice.separated, "columns that repeat one another separate nothing"
    once = st.logistic_fit(x, np.arange(60) % 2).weights
    np.testing.assert_allclose(twice.weights, [once[0] / 2, once[1], once[0] / 2], atol=1e-8)


def test_newton_against_scipy():
    from scipy import optimize

    target = np.array([1.0, -2.0, 0.5])
    loss = lambda w: np.cosh(3 * (w - target)).sum() + w @ w
    derivatives = lambda w: (
        3 * np.sinh(3 * (w - target)) + 2 * w,
        np.diag(9 * np.cosh(3 * (w - target)) + 2),
    )
    got = st.newton(loss, derivatives, np.zeros(3))
    want = optimize.minimize(loss, np.zeros(3), tol=1e-12)
    assert got.converged and got.loss == pytest.approx(want.fun)
    np.testing.assert_allclose(got.at, want.x, atol=1e-5)
    assert not st.newton(loss, derivatives, np.zeros(3), most=2).converged


def test_newton_halves_a_step_that_overshoots():
    """Full steps of log cosh from 2 run away: the curvature there is nearly 0."""
    loss = lambda w: float(np.logaddexp(w, -w).sum())
    derivatives = lambda w: (np.tanh(w), np.diag(1 - np.tanh(w) ** 2))
    got = st.newton(loss, derivatives, np.array([2.0]))
    assert got.converged and abs(got.at[0]) < 1e-8


# -- clusters ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_cluster_mean_against_statsmodels(seed):
    import statsmodels.api as sm

    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 30, 400), rng.integers(0, 12, 400)
    values = rng.standard_normal(30)[one] + rng.standard_normal(12)[two] + rng.random(400)
    for clusters in (one, np.column_stack([one, two])):
        ols = sm.OLS(values, np.ones(400)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
        got = st.cluster_mean(values, clusters)
        assert got.value == pytest.approx(values.mean()) and got.n == 400
        assert got.se == pytest.approx(ols.bse[0])
        assert (got.low, got.high) == (got.value - 1.96 * got.se, got.value + 1.96 * got.se)
    large = st.cluster_mean(values, one, small_sample=False).se
    assert st.cluster_mean(values, one).se / large == pytest.approx(np.sqrt(30 / 29))


def test_rows_of_their_own_give_the_textbook_error():
    values = np.random.default_rng(0).random(50)
    assert st.cluster_mean(values, np.arange(50)).se == pytest.approx(stats.sem(values))
    both = np.column_stack([np.arange(50), np.arange(50)])
    assert st.cluster_mean(values, both).se == pytest.approx(stats.sem(values))


def test_cluster_mean_of_one_cluster_has_no_interval():
    got = st.cluster_mean(np.arange(4.0), np.zeros(4))
    assert got.value == 1.5 and np.isnan([got.se, got.low, got.high]).all()
    with pytest.raises(ValueError, match="no values"):
        st.cluster_mean(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"clusters has shape \(3,\), expected \(4,\) or \(4, 2\)"):
        st.cluster_mean(np.zeros(4), np.zeros(3))


def test_two_way_covariance_is_no_less_than_zero():
    """Values that cancel within rows and within columns: the difference of variances is < 0."""
    one, two = np.divmod(np.arange(4), 2)
    values = np.array([1.0, -1.0, -1.0, 1.0])
    clusters = np.column_stack([one, two])
    assert st.cluster_covariance(values, clusters) == 0
    matrix = st.cluster_covariance(np.column_stack([values, np.arange(4.0)]), clusters)
    assert np.linalg.eigvalsh(matrix).min() >= -1e-12


def test_two_way_errors_cover():
    """Means of crossed effects, 40 by 40: 95 % intervals cover 90 to 99 % (few clusters)."""
    rng, hits, one_way = np.random.default_rng(0), 0, 0
    a, b = np.divmod(np.arange(1600), 40)
    for _ in range(300):
        values = rng.standard_normal(40)[a] + rng.standard_normal(40)[b] + rng.standard_normal(1600)
        got = st.cluster_mean(values, np.column_stack([a, b]))
        alone = st.cluster_mean(values, a)
        hits += got.low <= 0 <= got.high
        one_way += alone.low <= 0 <= alone.high
    assert band(300, 0.93)[0] <= hits / 300 <= band(300, 0.96)[1]
    assert one_way / 300 < 0.9, "clusters of one kind are not enough"


def test_cluster_sums_against_pandas():
    rng = np.random.default_rng(0)
    group, x = rng.choice(["b", "a", "c"], 60), rng.random((60, 3))
    want = pd.DataFrame(x).groupby(group).sum().to_numpy()
    np.testing.assert_allclose(st.cluster_sums(x, group), want)
    np.testing.assert_allclose(st.cluster_sums(x[:, 0], group), want[:, 0])
    assert st.cluster_sums(x[:, :0], group).shape == (3, 0)


def test_bootstrap_against_scipy():
    """Clusters of unequal size: scipy redraws their sums and sizes together."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), rng.integers(1, 8, 40))
    values = rng.standard_normal(40)[group] + rng.standard_normal(len(group))
    table = pd.Series(values).groupby(group)
    want = stats.bootstrap(
        (table.sum().to_numpy(), table.size().to_numpy()),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        n_resamples=20_000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    got = st.cluster_bootstrap(values, group, level=0.9, draws=20_000, seed=2)
    assert got.value == pytest.approx(values.mean()) and got.n == len(values)
    near = dict(abs=0.05 * want.standard_error)
    assert got.low == pytest.approx(want.confidence_interval.low, **near)
    assert got.high == pytest.approx(want.confidence_interval.high, **near)
    assert got.se == pytest.approx(want.standard_error, rel=0.03)
    assert got == st.cluster_bootstrap(
        values, group, level=0.9, draws=20_000, seed=np.random.default_rng(2)
    )


def test_bootstrap_covers_with_clusters_and_not_without():
    """Rows of one cluster share an effect: a bootstrap over clusters covers, one over rows not."""
    rng = np.random.default_rng(1)
    runs, covered = 300, {"clusters": 0, "rows": 0}
    cluster = np.repeat(np.arange(60), 4)
    for k in range(runs):
        values = rng.standard_normal(60)[cluster] + 0.5 * rng.standard_normal(240)
        for name, by in (("clusters", cluster), ("rows", np.arange(240))):
            got = st.cluster_bootstrap(values, by, seed=k, draws=300)
            covered[name] += got.low <= 0 <= got.high
    # one point less than nominal for 60 finite clusters
    assert band(runs, 0.94)[0] <= covered["clusters"] / runs
    assert covered["rows"] < 0.85 * runs


def test_bootstrap_refuses():
    with pytest.raises(ValueError, match="two vectors of one length"):
        st.cluster_bootstrap(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="in one cluster"):
        st.cluster_bootstrap(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="above 0"):
        st.cluster_bootstrap(np.zeros(0), np.zeros(0))


# -- permutations ----------------------------------------------------------------


def test_permutations_move_whole_clusters():
    cluster = np.repeat([3, 1, 7, 5], [2, 1, 3, 2])
    value = np.repeat([0, 0, 1, 2], [2, 1, 3, 2])
    got = st.cluster_permutations(value, cluster, 400)
    assert got.shape == (8, 401) and got[:, 0].tolist() == value.tolist()
    by = pd.DataFrame(got).groupby(cluster)
    assert (by.nunique() == 1).all(axis=None), "one value a cluster"
    per_cluster = by.first().to_numpy()
    assert (np.sort(per_cluster, axis=0) == [[0], [0], [1], [2]]).all()
    _, seen = np.unique(per_cluster[:, 1:], axis=1, return_counts=True)
    assert len(seen) == 12, "every order of the four values"
    assert stats.chisquare(seen).pvalue > 1e-3


def test_permutations_move_rows_where_clusters_are_mixed():
    value, cluster = np.array([0, 1, 1, 0, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    got = st.cluster_permutations(value, cluster, 400, seed=1)
    assert (got.sum(axis=0) == 3).all()
    assert len(np.unique(got[:, 1:], axis=1).T) == 20, "6 over 3"


def test_permutation_p_value():
    assert st.permutation_p_value(5.0, np.arange(5.0)) == 1 / 6, "never 0"
    assert st.permutation_p_value(2.0, np.arange(4.0)) == 3 / 5
    assert st.permutation_p_value(0.3, np.array([0.1 + 0.2, 0.2])) == 2 / 3, "ties up to rounding"
    assert st.permutation_p_value(0.1 + 0.2, np.array([0.3, 0.2])) == 2 / 3
    # against scipy, on the same statistic, within the error of 999 draws
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(30) + 0.4, np.arange(30) < 15
    gap = lambda labels: x[labels].mean() - x[~labels].mean()
    drawn = st.cluster_permutations(y, np.arange(30), 999, seed=0)
    got = st.permutation_p_value(gap(y), np.array([gap(d) for d in drawn[:, 1:].T]))
    want = stats.permutation_test(
        (x[y], x[~y]), lambda a, b: a.mean() - b.mean(), alternative="greater", n_resamples=20_000
    ).pvalue
    assert got == pytest.approx(want, abs=4 * np.sqrt(want * (1 - want) / 999))


def test_permutation_test_keeps_its_level():
    """Where labels are given to clusters, permuting rows instead rejects far too often."""
    rng, whole, rows = np.random.default_rng(0), [], []
    cluster = np.arange(60) // 5
    for _ in range(300):
        x = rng.standard_normal(12)[cluster] + 0.3 * rng.standard_normal(60)
        label = (rng.permutation(12) < 6)[cluster]
        for by, p in ((cluster, whole), (np.arange(60), rows)):
            drawn = st.cluster_permutations(label, by, 99, seed=rng)
            gap = np.abs(x @ (drawn - 0.5))
            p.append(st.permutation_p_value(gap[0], gap[1:]))
    assert band(300, 0.05)[0] <= np.mean(np.array(whole) <= 0.05) <= band(300, 0.05)[1]
    assert np.mean(np.array(rows) <= 0.05) > 2 * band(300, 0.05)[1]


# -- features ------------------------------------------------------------------


def test_features_are_scaled_and_projected():
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x = np.column_stack([rng.random((50, 3)) * [1, 1e6, 1e-6] + 7, np.full(50, 0.1)])
    want = StandardScaler().fit_transform(x[:, :3])
    np.testing.assert_allclose(st.standardised(x), want, rtol=1e-6)
    np.testing.assert_allclose(st.unit_spread(x), np.column_stack([want, np.zeros(50)]), rtol=1e-6)
    wide = rng.standard_normal((40, 2000))
    assert st.projected(x) is x and st.projected(wide).shape == (40, st.WIDEST)
    # lengths are kept on average (Johnson & Lindenstrauss, 1984)
    size = (st.projected(wide, 400) ** 2).sum(axis=1) / (wide**2).sum(axis=1) * 2000 / 400
    assert size.mean() == pytest.approx(1, abs=0.05) and size.std() < 0.15


def test_distinct_columns_span_the_same():
    x = np.random.default_rng(0).standard_normal((80, 3))
    many = np.column_stack([x[:, 0], np.zeros(80), 3 * x[:, 0], x[:, 1], x @ [1, 1, 1], x[:, 2]])
    got = st.distinct(many)
    assert got.shape == (80, 3) and np.linalg.matrix_rank(np.column_stack([got, x])) == 3
    np.testing.assert_allclose((got**2).mean(axis=0), 1)


def test_correlation_interval_against_scipy():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    for noise in (0.2, 1.0, 5.0):
        y = x + noise * rng.standard_normal(40)
        want = stats.pearsonr(x, y).confidence_interval()
        got = st.correlation_interval(stats.pearsonr(x, y).statistic, 40)
        np.testing.assert_allclose(got, (want.low, want.high), atol=2e-5)


def test_score_test_keeps_its_level_where_two_kinds_of_clusters_cross():
    """The prompts' columns, with tastes of prompts and of annotators in the labels."""
    rng, runs = np.random.default_rng(0), 150
    p = np.empty((runs, 2))
    for run in range(runs):
        a, b = rng.integers(0, 40, 1200), rng.integers(0, 300, 1200)
        known, x = rng.standard_normal(1200), rng.standard_normal((300, 3))[b]
        logit = known + rng.standard_normal(40)[a] + rng.standard_normal(300)[b]
        y = (rng.random(1200) < 1 / (1 + np.exp(-logit))).astype(int)
        base = np.column_stack([np.ones(1200), known])
        p[run] = [st.score_test(base, x, y, c).p_value for c in (np.column_stack([a, b]), a)]
    assert (p[:, 0] <= 0.05).mean() < 0.1 < (p[:, 1] <= 0.05).mean() + 0.03
