"""The check of heterogeneity: who differs in taste, and who is only surer."""

from __future__ import annotations

import numpy as np
import pytest
from annotated import annotated
from scipy import stats
from scipy.special import expit

from causalpref.assumptions import Verdict, check_heterogeneity
from causalpref.assumptions.heterogeneity import _moments

N = 40
SOUND = {
    "all agree": {"slopes": 0.0},
    "experts": {"experts": 2.0},
    "experts, one latent": {"experts": 2.0, "weights": (0.8,)},
    "experts, many pairs": {"experts": 2.0, "each": 150, "weights": (1.2, 0.3)},
    "ten of fifteen": {"annotators": 10, "each": 15},
    "a taste that changes with the prompt, topics": {"interaction": 0.6, "topics": 1.0},
    "heavy tails, unbalanced": {"heavy": True, "unbalanced": True},
    "shared prompts": {"prompts": 60, "surer": 0.5},
}


@pytest.mark.parametrize("world", SOUND)
def test_sound_worlds_raise_no_more_alarms_than_promised(world):
    found = [check_heterogeneity(annotated(seed, **SOUND[world]), seed=seed) for seed in range(N)]
    rejected = [r.result.p_values.min() <= 0.05 for r in found]
    assert np.mean(rejected) <= stats.binom.ppf(0.999, N, 0.05) / N


@pytest.mark.parametrize("weights", [(0.0,), (0.0, 0.8)])
def test_two_groups_of_opposite_taste_are_found(weights):
    report = check_heterogeneity(annotated(0, groups=0.8, weights=weights))
    assert report.verdict is Verdict.VIOLATED and report.low > 0.1
    assert "most in length" in report.sentence
    assert "prefer the opposite of the average" in report.sentence
    none = check_heterogeneity(annotated(0, groups=0.8, weights=weights).replace(annotator=None))
    assert none.verdict is Verdict.UNTESTABLE and "Record a number" in none.next_step


def test_left_and_right_leaning_annotators_cancel_in_the_mean_only():
    data = annotated(0, position=0.8)
    report = check_heterogeneity(data)
    assert report.verdict.alarm and "most in position" in report.sentence
    assert abs(data.label.mean() - 0.5) < 0.07
    lost = check_heterogeneity(data.replace(order_known=False))
    assert not lost.verdict.alarm and "position" not in lost.result.features


def test_the_spread_is_that_of_the_truth():
    """Position and a latent of no average worth: no factor explains any of it."""
    data = annotated(0, annotators=300, each=60, weights=(0.0, 1.0), groups=0.5, position=0.4)
    found = check_heterogeneity(data).evidence.set_index("what").value
    reach = stats.norm.ppf(0.9)
    for name, sd in (("length", 0.5), ("position", 0.4)):
        truth = expit(reach * sd) - expit(-reach * sd)
        # weights of one fit to all are smaller than those of each, by an eighth or so
        assert 0.8 * truth < found[f"spread between annotators in {name}"] < 1.1 * truth


def test_the_margin_and_what_could_have_been_missed():
    data = annotated(0, annotators=100, each=60, weights=(0.0, 0.8), groups=0.3)
    assert check_heterogeneity(data, margin=0.05).verdict is Verdict.VIOLATED
    assert check_heterogeneity(data, margin=0.5).verdict is Verdict.NOT_FOUND
    assert "no more than" in check_heterogeneity(data, margin=0.5).sentence
    small = check_heterogeneity(annotated(0, annotators=10, each=15))
    assert "could have been missed" in small.sentence
    with pytest.raises(ValueError, match="margin is 1"):
        check_heterogeneity(data, margin=1)


def test_too_few_annotators_with_too_few_pairs():
    for data in (annotated(0, annotators=9), annotated(0, annotators=200, each=14)):
        report = check_heterogeneity(data)
        assert report.verdict is Verdict.UNTESTABLE and "it takes 10" in report.sentence
    one_prompt_each = annotated(0).replace(prompt_group=annotated(0).annotator)
    assert check_heterogeneity(one_prompt_each).verdict is Verdict.UNTESTABLE


def test_without_latents_length_is_looked_at():
    data = annotated(0, groups=0.8, weights=(0.0, 0.8))
    z = data.response_latents[:, 0]
    texts = ["w" * int(100 * np.exp(0.3 * v)) + f" {i}" for i, v in enumerate(z)]
    report = check_heterogeneity(data.replace(responses=texts, response_latents=None))
    assert report.verdict is Verdict.VIOLATED and "length" in report.sentence


def test_products_of_different_prompts_by_brute_force():
    rng = np.random.default_rng(0)
    d, residual, p = rng.standard_normal((30, 2)), rng.standard_normal(30), rng.random(30)
    who, group = np.arange(30) % 3, np.arange(30) // 4
    got = _moments(d, residual, p, who, group)
    sums, pairs = np.zeros((3, 2)), np.zeros((3, 2, 2))
    for i in range(30):
        for k in range(30):
            if who[i] == who[k] and group[i] != group[k]:
                sums[who[i]] += residual[i] * residual[k] * d[i] * d[k]
                w = p[i] * (1 - p[i]) * p[k] * (1 - p[k])
                pairs[who[i]] += w * np.outer(d[i], d[i]) * np.outer(d[k], d[k])
    np.testing.assert_allclose(got.sums, sums)
    np.testing.assert_allclose(got.pairs, pairs)
