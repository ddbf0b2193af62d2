"""The check of latent sufficiency: certainty that texts tell is no violation, nor are people."""

from __future__ import annotations

import numpy as np
import pytest
from annotated import annotated
from scipy import stats

from causalpref.assumptions import Verdict, check_sufficiency
from causalpref.assumptions.sufficiency import _predicted

N = 25
SOUND = {
    "surer on some prompts": ({"surer": 0.7}, 2),
    "experts with topics of their own": ({"experts": 2.0, "topics": 1.0}, 2),
    "tastes of their own in what is not named": (
        {"annotators": 15, "each": 60, "weights": (0.8, 0.8, 0.0), "slopes": 0.8},
        2,
    ),
    "heavy tails": ({"heavy": True, "slopes": 0.4}, 2),
}


def first(data, latents):
    return data.replace(response_latents=data.response_latents[:, :latents])


@pytest.mark.parametrize("world", SOUND)
@pytest.mark.parametrize("hidden", [False, True], ids=["topic known", "topic hidden"])
def test_sound_worlds_raise_no_more_alarms_than_promised(world, hidden):
    fields, latents = SOUND[world]
    found = []
    for seed in range(N):
        data = first(annotated(seed, **{"each": 25, "embeddings": 8} | fields), latents)
        data = data.replace(prompt_latents=None) if hidden else data
        found.append(check_sufficiency(data, permutations=59, seed=seed))
    assert np.mean([r.p_value <= 0.05 for r in found]) <= stats.binom.ppf(0.999, N, 0.05) / N
    assert np.mean([r.verdict.alarm for r in found]) <= stats.binom.ppf(0.99, N, 0.02) / N


def test_a_missing_latent_is_seen_behind_noise_that_differs():
    data = annotated(0, each=60, weights=(0.7, 0.9), experts=2.0, embeddings=8)
    report = check_sufficiency(first(data, 1))
    assert report.verdict is Verdict.VIOLATED and report.low > 0.02
    assert "clustered by prompt and annotator" in report.sentence
    # what is significant and small is no alarm, and is said
    small = check_sufficiency(first(data, 1), margin=0.4)
    assert small.verdict is Verdict.NOT_FOUND and "no larger than" in small.sentence
    with pytest.raises(ValueError, match="margin is 1.5"):
        check_sufficiency(data, margin=1.5)


def test_that_texts_tell_how_sure_people_are_is_said():
    report = check_sufficiency(annotated(0, each=60, surer=0.8, embeddings=8))
    assert report.verdict is Verdict.NOT_FOUND and "How sure annotators are" in report.sentence


def test_few_annotators():
    report = check_sufficiency(annotated(0, annotators=9, each=60, embeddings=4))
    assert report.verdict is Verdict.UNTESTABLE and "9 annotators" in report.sentence


def test_no_row_is_predicted_from_its_prompt_or_annotator():
    """Brute force: the ridge fit to the rows of other folds of both kinds."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 2))
    fold = [rng.integers(0, 3, 60), rng.integers(0, 4, 60)]
    got = _predicted(x, y, fold)
    for i in range(60):
        far = (fold[0] != fold[0][i]) & (fold[1] != fold[1][i])
        a = x[far].T @ x[far] + (0.05 * far.sum() + 3) * np.eye(3)
        np.testing.assert_allclose(got[i], x[i] @ np.linalg.solve(a, x[far].T @ y[far]))
