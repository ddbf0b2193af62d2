"""The check of additivity: sound worlds of annotators, scale that is not taste, margins."""

from __future__ import annotations

import numpy as np
import pytest
from annotated import annotated
from scipy import stats
from scipy.special import expit

from causalpref.assumptions import Verdict, check_additivity
from causalpref.assumptions._taste import taste_fit
from causalpref.statistics import cluster_covariance, logistic_fit

N = 40
SOUND = {
    "tastes of their own": {"slopes": 0.7},
    "and topics of their own": {"slopes": 0.7, "topics": 1.0},
    "twenty annotators": {"annotators": 20, "slopes": 0.7, "topics": 1.0},
    "three pairs each": {"annotators": 400, "each": 3, "slopes": 0.7, "topics": 1.0},
    "unbalanced": {"slopes": 0.7, "unbalanced": True},
    "shared prompts": {"slopes": 0.7, "prompts": 150},
    "experts": {"experts": 2.0, "topics": 1.0},
    "surer on some prompts": {"surer": 0.6},
    "surer, unequal weights": {"surer": 0.6, "weights": (1.2, 0.3)},
    "heavy tails": {"heavy": True, "surer": 0.5, "slopes": 0.4},
    "no taste on average": {"weights": (0.0, 0.0), "slopes": 0.7},
}


@pytest.mark.parametrize("world", SOUND)
def test_sound_worlds_raise_no_more_alarms_than_promised(world):
    found = [check_additivity(annotated(seed, **SOUND[world])) for seed in range(N)]
    rejected = [r.result.p_values.min() <= 0.05 for r in found if r.p_value is not None]
    assert len(rejected) >= 0.9 * N
    assert np.mean(rejected) <= stats.binom.ppf(0.999, N, 0.05) / N
    assert sum(r.verdict.alarm for r in found) <= sum(rejected)
    assert sum(r.verdict is Verdict.VIOLATED for r in found) <= 1


def test_a_change_of_taste_is_found_whoever_judges_and_however_surely():
    worlds = (
        {"interaction": 0.5},
        {"interaction": 0.5, "slopes": 0.4, "experts": 2.0},
        {"interaction": 0.8, "weights": (0.0,)},  # liked on some prompts, disliked on others
        {"interaction": 0.8, "weights": (0.0, 0.0)},
    )
    for world in worlds:
        report = check_additivity(annotated(0, **world))
        assert report.verdict is Verdict.VIOLATED, world
        assert min(abs(report.low), abs(report.high)) > 0.05 and "topic" in report.sentence


def test_the_change_is_that_of_the_truth():
    """Weights (w + c x, w): what a factor explains is taken out in the metric of delta."""
    w, c, ends = 0.8, 0.4, stats.norm.ppf([0.1, 0.9])
    report = check_additivity(annotated(0, annotators=100, each=400, interaction=c))
    left = c / 2  # of (c, 0), less its projection on (w, w): up for one, down for the other
    found = report.evidence.set_index("what").value
    for latent, sign in (("length", 1), ("tone", -1)):
        truth = np.diff(expit(w + sign * left * ends)).item()
        assert found[f"change of P(preferred), {latent} x topic"] == pytest.approx(truth, abs=0.02)
    assert report.low < report.value < report.high < report.low + 0.05


def test_certainty_is_reported_apart_from_taste():
    report = check_additivity(annotated(3, surer=0.5, annotators=60, each=60))
    assert report.verdict is Verdict.NOT_FOUND and "surer on prompts with a high topic" in (
        report.sentence
    )
    row = report.evidence[report.evidence.what.str.contains("how many times as sure")].iloc[0]
    # over the middle 80 % of a normal latent, by the ratio of the two ends
    assert row.low < np.exp(0.5 * 2 * stats.norm.ppf(0.9)) < 2 * row.high and row.low > 1.5


@pytest.mark.parametrize("interaction", [0.5, 1.6])
def test_of_one_feature_only_a_reversal_is_a_change_of_taste(interaction):
    """Worth more on some prompts may be certainty; worth less than nothing may not."""
    data = annotated(0, annotators=60, each=60, weights=(0.7,), interaction=0.0)
    z = (data.response_latents > 0).astype(float)
    d = z[data.pairs[:, 0], 0] - z[data.pairs[:, 1], 0]
    p = expit((1.0 + interaction * data.prompt_latents[data.pair_prompt, 0]) * d)
    label = (np.random.default_rng(0).random(len(data)) < p).astype(int)
    report = check_additivity(data.replace(response_latents=z, label=label))
    if interaction > 1:
        assert report.verdict is Verdict.VIOLATED
    else:
        assert report.verdict is Verdict.NOT_FOUND and report.value == 0
        assert "surer on prompts with a high topic" in report.sentence


def test_the_margin_decides_how_large_is_large():
    data = annotated(1, annotators=60, each=60, interaction=0.25)
    verdicts = [check_additivity(data, margin=m).verdict for m in (0.005, 0.05, 0.3)]
    assert verdicts[0] is Verdict.VIOLATED and verdicts[-1] is Verdict.NOT_FOUND
    assert "no change larger than" in check_additivity(data, margin=0.3).sentence
    assert "could have been missed" in check_additivity(annotated(1, each=5)).sentence
    with pytest.raises(ValueError, match="margin is 0, expected a change of a probability"):
        check_additivity(data, margin=0)


def test_too_few_annotators_say_how_many_it_takes():
    report = check_additivity(annotated(0, annotators=19, slopes=0.7))
    assert report.verdict is Verdict.UNTESTABLE
    assert "19 annotators" in report.sentence and "20 annotators" in report.sentence
    one = annotated(0, annotators=1, each=800)  # one person: the statement is about them
    assert check_additivity(one).verdict is Verdict.NOT_FOUND


def test_prompts_of_one_annotator_each_cannot_be_separated_from_annotators():
    data = annotated(0, topics=1.0)
    own = data.prompt_latents[:, 0] * 0 + data.annotator
    report = check_additivity(data.replace(prompt_latents=own[:, None].astype(float)))
    assert report.verdict is Verdict.UNTESTABLE and "separated from annotators" in report.sentence


def test_one_annotator_with_most_pairs_is_not_enough():
    """Forty annotators, nearly all pairs by two of them."""
    data = annotated(0, annotators=40, each=60)
    rare = np.flatnonzero((data.annotator < 2) | (np.arange(len(data)) % 60 < 2))
    report = check_additivity(data.select(np.concatenate([rare])))
    assert report.verdict is Verdict.UNTESTABLE


def test_the_level_is_said():
    data = annotated(0)
    assert "clustered by prompt and annotator" in check_additivity(data).sentence
    assert "clustered by prompt." in check_additivity(data.replace(annotator=None)).sentence


def test_jackknife_against_leaving_clusters_out():
    """One Newton step away from fits without the cluster; near the sandwich where it is fair."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 3))
    who = np.arange(600) % 30
    y = (rng.random(600) < expit(x[:, 0] + rng.standard_normal(30)[who] * x[:, 1])).astype(float)
    fit = taste_fit(x, y, [who])
    without = np.array([logistic_fit(x[who != g], y[who != g]).weights for g in range(30)])
    change = without - fit.weights
    brute = change.T @ change * 29 / 30
    np.testing.assert_allclose(fit.covariances[0], brute, atol=0.15 * np.abs(brute).max())
    sandwich = logistic_fit(x, y, clusters=who).covariance
    np.testing.assert_allclose(fit.covariances[0], sandwich, atol=0.3 * sandwich.max())
    crossed = taste_fit(x, y, [np.arange(600), who])
    e = np.eye(3)[1]
    assert crossed.variance(e) >= fit.variance(e) * 0.99
    assert crossed.effective(e)[1] <= 30
    assert cluster_covariance(x, who).shape == (3, 3)
