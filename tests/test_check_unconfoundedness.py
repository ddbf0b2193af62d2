"""Assumption 2 in worlds with users, sessions and prompts that keep their context."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from causalpref import PreferenceData
from causalpref.assumptions import Verdict, check_unconfoundedness
from causalpref.assumptions._units import alike_within, permuted_codes
from causalpref.assumptions._units import judged_units as units_of
from causalpref.assumptions.confounding import _area, _areas

WORTH = np.array([1.0, 0.5])
N = 30


def world(rng, users=40, each=10, *, contexts=2, by_topic=0.0, taste=0.0, surer=1.0, **how):
    """Users write prompts on topics of their own; C is theirs (or ``how`` says whose)."""
    who = np.repeat(np.arange(users), each)
    topic = rng.standard_normal((users, 2))
    x = topic[who] + rng.standard_normal((len(who), 2))
    noise = rng.standard_normal(users) * np.sqrt(1 - by_topic**2)
    rank = np.argsort(np.argsort(by_topic * topic[:, 0] + noise))
    c = (rank * contexts // users)[who]
    if "shares" in how:  # users judge pair by pair, in shares of their own
        c = (rng.random(len(who)) < rng.beta(1, 1, users)[who]).astype(int)
    if "changed" in how:
        c = np.where(rng.random(len(who)) < how["changed"], rng.integers(0, contexts, len(who)), c)
    z = rng.standard_normal((len(who), 2, 2))
    weights = WORTH + 0.3 * rng.standard_normal((users, 2))[who]
    weights = (weights + taste * np.array([-1, 1]) * (c == 1)[:, None]) * np.where(
        c == 1, surer, 1.0
    )[:, None]
    label = rng.random(len(who)) < special.expit(((z[:, 0] - z[:, 1]) * weights).sum(axis=1))
    return PreferenceData(
        prompts=[f"prompt {i}" for i in range(len(who))],
        responses=[f"response {i}" for i in range(2 * len(who))],
        response_prompt=np.repeat(np.arange(len(who)), 2),
        pairs=np.arange(2 * len(who)).reshape(-1, 2),
        label=label.astype(int),
        objective=c,
        annotator=who,
        prompt_latents=x,
        response_latents=z.reshape(-1, 2),
        simulated=True,
    )


def reports(n=N, **how):
    return [
        check_unconfoundedness(world(np.random.default_rng([3, s]), **how), permutations=39, seed=s)
        for s in range(n)
    ]


# -- sound data --------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"taste": 1.0},
        {"contexts": 3},
        {"changed": 0.1},
        {"changed": 0.5},
        {"shares": True, "taste": 1.0},
        {"shares": True, "users": 8, "each": 40},
    ],
    ids=lambda how: ", ".join(how),
)
def test_users_with_topics_raise_no_alarm_where_c_is_random(how):
    got = reports(**how)
    assert not any(r.verdict is Verdict.UNTESTABLE for r in got)
    assert np.mean([r.verdict.alarm for r in got]) <= stats.binom.ppf(0.999, N, 0.05) / N
    assert np.mean([r.low <= 0.5 for r in got]) >= stats.binom.ppf(0.001, N, 0.975) / N


def test_pairs_permuted_as_if_nobody_had_written_them_do_raise_it():
    """What the column of annotators buys: without it the same data alarm most of the time."""
    data = [world(np.random.default_rng([4, s]), each=30) for s in range(10)]
    data = [d.replace(annotator=None) for d in data]
    assert sum(check_unconfoundedness(d, permutations=39).verdict.alarm for d in data) >= 4


def test_experts_twice_as_sure_have_the_same_taste():
    got = reports(30, users=60, each=20, by_topic=0.9, surer=2.0)
    assert not any(r.verdict is Verdict.VIOLATED for r in got)
    tastes = [r.result.tastes for r in got]
    assert np.mean([t.change.p_value <= 0.05 for t in tastes]) <= 0.2
    assert np.median([t.surer["C = 1"].value for t in tastes]) == pytest.approx(2, abs=0.3)
    held = [t.surer["C = 1"].low <= 2 <= t.surer["C = 1"].high for t in tastes]
    assert np.mean(held) >= 0.8
    said = next(r for r in got if r.verdict is Verdict.STRAINED).sentence
    assert "surer" in said


# -- violations --------------------------------------------------------------


def test_users_whose_topics_decide_c_are_found():
    got = reports(20, users=100, by_topic=0.9, taste=1.0)
    assert sum(r.verdict is Verdict.VIOLATED for r in got) >= 18
    truth = np.arccos(0.75 / np.sqrt(1.25 * 2.25)) / np.pi  # (1, 1/2) against (0, 3/2)
    apart = [r.result.tastes.apart for r in got]
    assert np.mean([e.value for e in apart]) == pytest.approx(truth, abs=0.03)


def test_an_opposite_taste_is_no_difference_of_scale():
    for seed in range(3):
        data = world(np.random.default_rng(seed), users=60, by_topic=0.9)
        turned = np.where(data.objective == 1, 1 - data.label, data.label)
        one = data.replace(label=turned, response_latents=data.response_latents[:, :1])
        found = check_unconfoundedness(one, permutations=39)
        assert found.verdict is Verdict.VIOLATED
        assert found.result.tastes.apart.value > 0.9


# -- the level at which C varies ----------------------------------------------


def level(data, **fields):
    return check_unconfoundedness(data.replace(**fields), permutations=19).result.level


def test_the_level_is_read_off_the_data():
    rng = np.random.default_rng(0)
    data = world(rng)
    session = np.arange(400) // 5
    by_session = rng.integers(0, 2, 80)[session]
    assert level(data) == "annotators"
    assert level(data, objective=by_session, session=session % 2) == "sessions"
    assert level(data, objective=by_session, prompt_group=session) == "prompt groups"
    assert level(data, objective=rng.integers(0, 2, 400)) == "pairs"
    report = check_unconfoundedness(data, permutations=19)
    said = report.evidence.what.str.cat(report.evidence.note, sep="; ")
    said = said[said.str.contains("permuted over")].item()
    assert "40 annotators" in said and "20 under C = 0" in said
    assert "clustered by prompt and annotator" in said


def test_likeness_is_one_of_constants_and_about_zero_by_chance():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(200), 4)
    assert alike_within(rng.integers(0, 2, 200)[cluster], cluster) == pytest.approx(1)
    assert alike_within(rng.integers(0, 3, 800), cluster) == pytest.approx(0, abs=0.06)
    assert np.isnan(alike_within(rng.integers(0, 2, 800), np.arange(800)))


def test_too_few_annotators_cannot_be_tested():
    report = check_unconfoundedness(world(np.random.default_rng(0), users=12, each=40))
    assert report.verdict is Verdict.UNTESTABLE
    assert "6 under C = 0, 6 under C = 1" in report.sentence and "It takes 10" in report.sentence
    assert "annotators" in report.next_step


# -- how contexts change hands -------------------------------------------------


def units(how, seed=0):
    rng = np.random.default_rng(seed)
    data = world(rng, **how)
    return units_of(data, data.prompt_latents, np.unique(data.objective), rng)


def test_whole_users_change_contexts():
    got = permuted_codes(units({"users": 30}), 20, np.random.default_rng(0)).reshape(30, 10, 21)
    assert (got == got[:, :1]).all() and (got[:, 0].sum(axis=0) == 15).all()
    assert len(np.unique(got[:, 0].T, axis=0)) > 15


def test_users_with_shares_of_their_own_trade_them():
    got = permuted_codes(units({"shares": True}), 20, np.random.default_rng(0)).reshape(40, 10, 21)
    counts = got.sum(axis=1)
    assert (np.sort(counts, axis=0) == np.sort(counts[:, :1], axis=0)).all()
    assert (counts[:, 1:] != counts[:, :1]).any()


def test_few_users_keep_their_shares():
    got = permuted_codes(units({"shares": True, "users": 8}), 20, np.random.default_rng(0))
    counts = got.reshape(8, 10, 21).sum(axis=1)
    assert (counts == counts[:, :1]).all() and (got[:, 1:] != got[:, :1]).any()


def test_rows_of_one_user_share_a_fold():
    made = units({})
    assert all(len(np.unique(made.group[made.assigned == a])) == 1 for a in range(40))


# -- numbers ----------------------------------------------------------------------


def test_the_area_counts_pairs_of_rows_within_folds():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 5, 60) / 4, rng.random(60) < 0.4
    fold = rng.integers(0, 3, 60)
    wins = pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive & (fold == fold[i])):
            wins += (score[i] > score[j]) + 0.5 * (score[i] == score[j])
            pairs += 1
    assert _area(score[:, None], positive[:, None], fold)[0] == pytest.approx(wins / pairs)


def test_the_interval_of_the_area_is_delongs_without_clusters_or_folds():
    from causalpref.statistics import auc_interval

    rng = np.random.default_rng(1)
    positive = rng.random(400) < 0.4
    score = rng.standard_normal(400) + positive
    one, mean = _areas(
        score[:, None], positive[:, None], np.zeros(400, int), np.arange(400), np.full((9, 1), 0.5)
    )
    known = auc_interval(score, positive)
    assert one[0] == mean and mean.value == pytest.approx(known.value)
    assert mean.se == pytest.approx(known.se, rel=0.01)
    assert (mean.low, mean.high) == pytest.approx((known.low, known.high), abs=0.001)


@pytest.mark.parametrize(("name", "value"), [("margin", 0.4), ("margin", 1), ("taste_margin", -1)])
def test_margins_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; expected a number from"):
        check_unconfoundedness(world(np.random.default_rng(0)), **{name: value})


def test_an_association_within_the_margin_does_not_matter():
    data = world(np.random.default_rng(0), users=100, by_topic=0.9, taste=1.0)
    report = check_unconfoundedness(data, margin=0.95, permutations=39)
    assert report.verdict is Verdict.NOT_FOUND and report.value > 0.7
    assert "up to 0.95 counts as no association" in report.sentence


def test_one_taste_within_the_margin_is_no_violation():
    got = reports(8, users=60, each=30, by_topic=0.9)
    calm = [r for r in got if r.verdict is Verdict.NOT_FOUND]
    assert len(calm) >= 1 and not any(r.verdict is Verdict.VIOLATED for r in got)
    for r in calm:
        assert r.low > 0.55 and r.result.tastes.apart.high <= 0.05
        assert "changes the preferred answer in at most" in r.sentence
