"""Latent positivity: what is excluded is found, and correlation is no alarm."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from causalpref import PreferenceData
from causalpref.assumptions import Verdict, check_latent_positivity
from causalpref.assumptions.latent_positivity import _association, _two_way


def pairs_of(z, **fields) -> PreferenceData:
    """Row 2i of ``z`` against row 2i + 1."""
    n = len(z) // 2
    return PreferenceData(
        prompts=[f"prompt {i}" for i in range(n)],
        responses=[f"response {i}" for i in range(2 * n)],
        response_prompt=np.arange(2 * n) // 2,
        pairs=np.arange(2 * n).reshape(-1, 2),
        label=np.arange(n) % 2,
        response_latents=z,
        names={"response_latents": [f"z{j}" for j in range(1, z.shape[1] + 1)]},
        simulated=True,
        **fields,
    )


def normal(n, r, rng, k=2):
    c = np.full((k, k), r) + (1 - r) * np.eye(k)
    return rng.standard_normal((n, k)) @ np.linalg.cholesky(c).T


def ratings(g, shares=(0.2,) * 5):
    return 1.0 + np.searchsorted(stats.norm.ppf(np.cumsum(shares)[:-1]), g)


def heavy(n, r, rng):
    return normal(n, r, rng) / np.sqrt(rng.chisquare(3, n) / 3)[:, None]


def binary(n, r, rng, shares):
    return (normal(n, r, rng) < stats.norm.ppf(shares)).astype(float)


SKEWED = (0.05, 0.1, 0.2, 0.4, 0.25)
SOUND = {
    "ratings at 0.6": lambda m, rng: ratings(normal(m, 0.6, rng)),
    "ratings at 0.75": lambda m, rng: ratings(normal(m, 0.75, rng)),
    "skewed ratings": lambda m, rng: ratings(normal(m, 0.75, rng), SKEWED),
    "four ratings": lambda m, rng: ratings(normal(m, 0.75, rng, 4)),
    "heavy-tailed lengths": lambda m, rng: np.exp(heavy(m, 0.8, rng).clip(-9, 9)),
    "normal at 0.9": lambda m, rng: normal(m, 0.9, rng),
    "normal at 0.98": lambda m, rng: normal(m, 0.98, rng),
    "rare features": lambda m, rng: binary(m, 0.0, rng, (0.05, 0.03)),
    "features at odds": lambda m, rng: binary(m, -0.75, rng, (0.3, 0.3)),
}


@pytest.mark.parametrize("world", SOUND)
@pytest.mark.parametrize("n,sets", [(300, 12), (2000, 6), (20_000, 1)])
def test_no_alarm_while_every_combination_is_possible(world, n, sets):
    for seed in range(sets):
        report = check_latent_positivity(
            pairs_of(SOUND[world](2 * n, np.random.default_rng([seed, n])))
        )
        assert report.verdict is Verdict.NOT_FOUND, report.sentence


def without(draw, excluded, n, rng):
    z = draw(5 * n, rng)
    return pairs_of(z[~excluded(z)][: 2 * n])


def test_an_excluded_corner_is_named_and_drawn():
    corner = lambda z: (z[:, 0] >= 4) & (z[:, 1] <= 2)
    data = without(
        lambda m, rng: ratings(normal(m, 0.6, rng)), corner, 2000, np.random.default_rng(0)
    )
    report = check_latent_positivity(data)
    assert report.verdict is Verdict.VIOLATED and report.p_value < 0.05
    assert "No response has z1 at least 4 and z2 at most 2" in report.sentence
    first = report.result.missing[0]
    # without the exclusion this would be the share of the corner
    whole = corner(ratings(normal(200_000, 0.6, np.random.default_rng(1)))).mean()
    assert first.expected / first.of == pytest.approx(whole, rel=0.5)
    drawn = report.picture.table.set_index(["row", "column"]).value
    assert drawn["z1 = 5", "z2 = 1"] == 0 < drawn["z1 = 4", "z2 = 4"]


@pytest.mark.parametrize("r", [0.0, 0.5])
def test_an_excluded_cell_in_the_middle(r):
    data = without(
        lambda m, rng: ratings(normal(m, r, rng)),
        lambda z: (z == 3).all(axis=1),
        5000,
        np.random.default_rng(0),
    )
    report = check_latent_positivity(data)
    assert report.verdict is Verdict.VIOLATED and "z1 = 3 and z2 = 3" in report.sentence


def test_an_excluded_region_of_continuous_latents():
    data = without(
        lambda m, rng: normal(m, 0.3, rng),
        lambda z: (z[:, 0] > 0.5) & (z[:, 1] < -0.5),
        5000,
        np.random.default_rng(0),
    )
    report = check_latent_positivity(data)
    assert report.verdict is Verdict.VIOLATED and "z1 above" in report.sentence


def test_pairs_that_never_trade_one_latent_for_the_other():
    a = normal(2000, 0.3, np.random.default_rng(0)).reshape(-1, 2, 2)
    d = a[:, 0] - a[:, 1]
    against = d.prod(axis=1) < 0
    a[against, 1, 1] = a[against, 0, 1] + d[against, 1]
    report = check_latent_positivity(pairs_of(a.reshape(-1, 2)))
    assert report.verdict is Verdict.VIOLATED
    assert "No pair has an answer that is higher in z1 and lower in z2" in report.sentence


def test_an_exclusion_in_one_context_only():
    rng = np.random.default_rng(0)
    c = rng.integers(0, 2, 4000)
    z = ratings(normal(8000, 0.5, rng))
    bad = (np.repeat(c, 2) == 1) & (z[:, 0] >= 4) & (z[:, 1] <= 3)
    z[bad, 0] = 3
    report = check_latent_positivity(pairs_of(z, objective=c))
    assert report.verdict is Verdict.VIOLATED
    assert all("under C = 1" in cell.where for cell in report.result.missing)


def test_a_combination_of_both_answers_that_never_occurs():
    """Every two latents are free; only all four together are not."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, (4000, 2, 2)).astype(float)
    odd = z.sum(axis=(1, 2)) % 2 == 1
    report = check_latent_positivity(pairs_of(z[~odd].reshape(-1, 2)))
    assert report.verdict is Verdict.VIOLATED and "the other with" in report.sentence


def test_few_pairs_cannot_show_what_never_occurs():
    data = pairs_of(ratings(normal(600, 0.75, np.random.default_rng(0))))
    report = check_latent_positivity(data)
    assert report.verdict is Verdict.NOT_FOUND
    assert report.result.unsure > 0 and "cannot be seen in 300 pairs" in report.sentence


def test_correlation_is_a_price_and_an_alarm_only_on_request():
    z = normal(4000, 0.9, np.random.default_rng(0))
    report = check_latent_positivity(pairs_of(z))
    assert "5." in report.sentence and "times as many labels" in report.sentence
    strained = check_latent_positivity(pairs_of(z), inflation=3.0)
    assert strained.verdict is Verdict.STRAINED and "times as many labels" in strained.sentence


def test_thin_support_depends_on_the_margin():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, (20_000, 2)).astype(float)
    both = np.flatnonzero(z.sum(axis=1) == 2)
    z[both[60:], 0] = 0  # 60 left, of 5,000
    data = pairs_of(z)
    assert check_latent_positivity(data).verdict is Verdict.STRAINED
    assert check_latent_positivity(data, thin=0.001).verdict is Verdict.NOT_FOUND
    with pytest.raises(ValueError, match="margin is 2"):
        check_latent_positivity(data, margin=2)


def test_rows_of_one_cluster_do_not_count_as_many():
    """A rare feature of a few prompts, or of a few annotators, with many pairs each."""
    rng = np.random.default_rng(0)
    alarms = {"prompts": 0, "annotators": 0, "rows": 0}
    for _ in range(40):
        a = np.repeat(rng.random(30) < 0.2, 200).astype(float)
        b = np.repeat(rng.random(30) < 0.2, 200).astype(float)
        data = pairs_of(np.repeat(np.column_stack([a, b]), 2, axis=0))
        group = np.repeat(np.arange(30), 200)
        for name, fields in (
            ("prompts", {"prompt_group": group}),
            ("annotators", {"annotator": group}),
            ("rows", {}),
        ):
            found = check_latent_positivity(data.replace(**fields)).result
            alarms[name] += any(len(c.latents) == 2 for c in found.missing + found.thin)
    assert alarms["prompts"] <= 2 and alarms["annotators"] <= 2 < 9 < alarms["rows"]


def test_too_few_clusters_are_counted():
    z = ratings(normal(800, 0.2, np.random.default_rng(0)))
    report = check_latent_positivity(pairs_of(z, annotator=np.arange(400) % 3))
    assert report.verdict is Verdict.UNTESTABLE and "3 annotators" in report.sentence


@pytest.mark.parametrize("r", [0.0, 0.4, 0.75])
@pytest.mark.parametrize("hidden", [(), [(0, 4)], [(2, 2)], [(3, 0), (3, 1), (4, 0), (4, 1)]])
def test_association_is_recovered_from_the_rest_of_the_table(hidden, r):
    """Ratings cut out of a bivariate normal, of which the cells not used are predicted."""
    cut = np.append(stats.norm.ppf([1e-9, 0.2, 0.4, 0.6, 0.8]), 6.0)
    law = stats.multivariate_normal([0, 0], [[1, r], [r, 1]])
    grid = np.array([[law.cdf([a, b]) for b in cut] for a in cut])
    truth = 10_000 * np.diff(np.diff(grid, axis=0), axis=1)
    use, count = np.ones((5, 5), dtype=bool), truth.copy()
    for cell in hidden:
        use[cell], count[cell] = False, 0
    off = _association(count, use)[~use].sum() / max(truth[~use].sum(), 1e-9)
    assert not hidden or 0.4 < off < 2
    assert hidden or np.abs(_association(count, use) - truth).max() < 60


def test_two_way_interactions_are_kept():
    count = np.random.default_rng(0).integers(1, 50, (2, 3, 4, 2)).astype(float)
    fit = _two_way(count)
    for pair in itertools.combinations(range(4), 2):
        others = tuple(k for k in range(4) if k not in pair)
        np.testing.assert_allclose(fit.sum(axis=others), count.sum(axis=others), rtol=1e-3)
    assert np.abs(fit - count).max() > 1
