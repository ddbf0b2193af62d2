"""Positivity given C, where contexts were assigned to annotators."""

from __future__ import annotations

import numpy as np
import pytest

from causalpref import PreferenceData
from causalpref.assumptions import Verdict, check_positivity


def users(rng, *, n=60, each=30, spread=2.0, mixed=None):
    """Users with topics of their own and one context each; ``mixed``: share of its own prompts."""
    c = rng.permutation(np.arange(n) % 2)
    who = np.repeat(np.arange(n), each)
    x = spread * rng.standard_normal((n, 6))[who] + rng.standard_normal((n * each, 6))
    if mixed is not None:
        x[:, 0] += 5 * (rng.random(n * each) < np.where(c[who] == 1, mixed, 1 - mixed))
    m = len(x)
    return PreferenceData(
        prompts=[f"prompt {i}" for i in range(m)],
        responses=[f"response {i}" for i in range(2 * m)],
        response_prompt=np.arange(2 * m) // 2,
        pairs=np.arange(2 * m).reshape(-1, 2),
        label=np.arange(m) % 2,
        objective=c[who],
        annotator=who,
        prompt_latents=x,
        simulated=True,
    )


def report_of(data):
    return check_positivity(data, features=data.prompt_latents[data.pair_prompt])


@pytest.mark.parametrize("world", [{}, {"spread": 4.0}, {"n": 200, "each": 5}])
def test_topics_of_their_own_are_no_lack_of_overlap(world):
    """C was assigned to users at random; who reads the texts recognises the user."""
    for seed in range(5):
        report = report_of(users(np.random.default_rng(seed), **world))
        assert report.verdict is Verdict.NOT_FOUND, report.sentence
    assert report.evidence.note.str.contains("clustered by annotators").any()


def test_overlap_of_prompts_and_not_of_users():
    """Four prompts in five of a user are of one kind: users are separated, prompts overlap."""
    report = report_of(users(np.random.default_rng(0), spread=0.3, mixed=0.8))
    assert report.verdict is Verdict.NOT_FOUND and "are worth" in report.sentence
    poor = report_of(users(np.random.default_rng(0), spread=0.3, mixed=1.0))
    assert poor.verdict is Verdict.VIOLATED


def test_few_annotators_are_counted():
    report = report_of(users(np.random.default_rng(0), n=15))
    assert report.verdict is Verdict.UNTESTABLE and "has 7 of them" in report.sentence
