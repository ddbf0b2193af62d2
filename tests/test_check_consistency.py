"""The check of consistency: repeats, position, time; sound worlds and violations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from causalpref.assumptions import Verdict, check_consistency
from causalpref.data import PreferenceData

expit = special.expit


def shown(n, *, per_prompt=1, rng=None, label=None, **fields) -> PreferenceData:
    """Pairs of two new responses, ``per_prompt`` to a prompt, labelled at random by default."""
    if label is None:
        label = (rng or np.random.default_rng(0)).random(n) < 0.5
    prompt = np.arange(n) // per_prompt
    return PreferenceData(
        [f"prompt {i}" for i in range(prompt[-1] + 1)],
        [f"response {i}" for i in range(2 * n)],
        np.repeat(prompt, 2),
        np.arange(2 * n).reshape(n, 2),
        np.asarray(label).astype(int),
        simulated=True,
        **fields,
    )


def rows_of(report):
    return report.evidence.set_index("what")


# -- the size of an effect decides, not its significance ----------------------------------


@pytest.mark.parametrize("objective", [None, np.arange(50_000) % 2])
def test_half_a_point_is_no_alarm_in_50_000_pairs(objective):
    label = np.arange(50_000) % 200 < 99  # 49.5 %
    report = check_consistency(shown(50_000, label=label, objective=objective))
    assert stats.binomtest(int(label.sum()), 50_000).pvalue < 0.05, "significant"
    assert report.verdict is Verdict.NOT_FOUND
    assert "No effect of position larger than 2 points" in report.sentence
    strict = check_consistency(shown(50_000, label=label), margin=0.001)
    assert strict.verdict is Verdict.STRAINED and "less often than chance" in strict.sentence


@pytest.mark.parametrize("objective", [None, np.arange(500) % 2, np.zeros(500, dtype=int)])
def test_92_percent_is_an_alarm_with_and_without_objectives(objective):
    label = np.arange(500) % 25 < 23
    names = {} if objective is None else {"objective": ["helpful", "harmless"]}
    report = check_consistency(shown(500, label=label, objective=objective, names=names))
    assert report.verdict is Verdict.STRAINED, "the order may not have been randomised"
    assert report.value == pytest.approx(0.92) and report.p_value < 1e-20
    assert "42 points more often than chance" in report.sentence or objective is not None
    assert "position matters" in report.sentence and "both orders" in report.next_step


def test_what_could_have_been_missed_is_said():
    report = check_consistency(shown(300, label=np.arange(300) % 2))
    up_to = 100 * (report.high - 0.5)
    assert report.verdict is Verdict.NOT_FOUND and f"up to {up_to:.1f} points" in report.sentence


def test_prompts_with_many_pairs_count_as_clusters():
    """The order was chosen by prompt: 30 prompts are 30 coins, not 3,000."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng([1, seed])
        label = np.repeat(rng.random(30) < 0.5, 100)
        label = np.where(rng.random(3000) < 0.1, ~label, label)
        alarms += check_consistency(shown(3000, per_prompt=100, label=label)).verdict.alarm
    assert alarms <= stats.binom.ppf(0.999, 60, 0.05)


def test_ties_say_nothing_about_position():
    rng = np.random.default_rng(0)
    tie = np.arange(600) % 2 == 0
    label = np.where(tie, 1, rng.random(600) < 0.5)
    strength = np.where(tie, 0.0, 2 * label - 1.0)
    report = check_consistency(shown(600, label=label, strength=strength))
    assert report.verdict is Verdict.NOT_FOUND and report.n == 300
    every = shown(20, label=np.ones(20), strength=np.zeros(20))
    assert check_consistency(every).verdict is Verdict.UNTESTABLE


def test_each_objective_of_a_pair_is_looked_at():
    """One pair judged under two objectives, and position matters under the second alone."""
    rng = np.random.default_rng(0)
    data = shown(600, rng=rng)
    both = data.select(np.tile(np.arange(600), 2)).replace(
        label=np.r_[data.label, rng.random(600) < 0.8].astype(int),
        objective=np.repeat([0, 1], 600),
        names={"objective": ["helpful", "harmless"]},
    )
    report = check_consistency(both)
    assert report.verdict is Verdict.STRAINED and "under harmless" in report.sentence


# -- annotators ---------------------------------------------------------------------------


def leaning(rng, sd, n_annotators=30, each=40):
    who = np.repeat(np.arange(n_annotators), each)
    rate = expit(np.where(np.arange(n_annotators) % 2, sd, -sd) * 4)
    names = {"annotator": [f"person {i}" for i in range(n_annotators)]}
    return shown(len(who), label=rng.random(len(who)) < rate[who], annotator=who, names=names)


def test_annotators_who_cancel_in_the_mean_are_seen():
    report = check_consistency(leaning(np.random.default_rng(0), 0.3))
    rate = expit(1.2)
    assert report.verdict is Verdict.STRAINED and "standard deviation" in report.sentence
    assert report.low < rate - 0.5 < report.high and abs(report.value - (rate - 0.5)) < 0.05
    named = [what for what in report.evidence.what if what.startswith("annotator person")]
    assert 1 <= len(named) <= 5
    fine = check_consistency(leaning(np.random.default_rng(0), 0.3), annotator_margin=0.4)
    assert fine.verdict is Verdict.NOT_FOUND


def test_the_spread_between_annotators_by_hand():
    """Ten annotators with 40 pairs, five of whom choose the first 30 times and five 10 times."""
    label = np.concatenate([np.arange(40) < (30 if a % 2 else 10) for a in range(10)])
    report = check_consistency(shown(400, label=label, annotator=np.repeat(np.arange(10), 40)))
    between = next(f for f in report.result.findings if f.kind == "annotators")
    # squares of +-10 with one degree of freedom lost, less binomial noise, over couples of pairs
    by_hand = np.sqrt((10 * 100 * 10 / 9 - 10 * 10) / (10 * 40 * 39))
    assert between.estimate.value == pytest.approx(by_hand)
    # a variance v between annotators: squares of 1/4 over v (1 - 1/40) + 1/160 are chi squared
    for end, level in ((between.estimate.low, 0.975), (between.estimate.high, 0.025)):
        q = 10 / 16 / (end**2 * (1 - 1 / 40) + 1 / 160)
        assert q == pytest.approx(stats.chi2.ppf(level, 9), rel=1e-5)


@pytest.mark.parametrize("n_annotators,each", [(8, 100), (30, 19)])
def test_few_annotators_or_pairs_are_not_compared(n_annotators, each):
    report = check_consistency(leaning(np.random.default_rng(0), 0.3, n_annotators, each))
    assert not [f for f in report.result.findings if f.kind == "annotators"]
    assert "cannot be tested" in report.next_step and "it takes 10" in report.next_step


def test_opposite_tastes_on_shared_displays_are_not_positions():
    """Two groups of annotators with opposite taste saw the same pairs in the same order."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng([2, seed])
        better = np.repeat(rng.random(100) < 0.5, 20)
        who = np.tile(np.arange(20), 100)
        data = shown(100, label=np.ones(100)).select(np.repeat(np.arange(100), 20))
        label = np.where(who % 2, better, ~better).astype(int)
        alarms += check_consistency(data.replace(label=label, annotator=who)).verdict.alarm
    assert alarms <= stats.binom.ppf(0.999, 40, 0.05)


# -- repeats ------------------------------------------------------------------------------


def judged_twice(rng, n=300, n_annotators=20, scale=1.0):
    p = expit(scale * rng.standard_normal(n))
    data = shown(n, label=rng.random(n) < p, annotator=np.arange(n) % n_annotators)
    label = np.r_[data.label, rng.random(n) < p].astype(int)
    return data.select(np.tile(np.arange(n), 2)).replace(label=label), p


def test_noise_is_no_violation_and_sets_the_ceiling():
    alarms, inside, runs = 0, 0, 30
    for seed in range(runs):
        data, p = judged_twice(np.random.default_rng([3, seed]))
        report = check_consistency(data)
        assert report.verdict is not Verdict.VIOLATED
        alarms += report.verdict.alarm
        own = report.result.own
        best = np.maximum(p, 1 - p).mean()
        inside += 1 - own.high <= best <= (1 + np.sqrt(1 - 2 * own.low)) / 2
        fixed = check_consistency(data, answers="deterministic")
        assert fixed.verdict is Verdict.VIOLATED and "two answers" in fixed.sentence
    assert alarms <= stats.binom.ppf(0.999, runs, 0.05) and inside == runs


def test_more_disagreement_than_guessing_gives_is_a_violation():
    rng = np.random.default_rng(0)
    data = shown(200, rng=rng, annotator=np.arange(200) % 20)
    change = rng.random(200) < 0.75
    again = data.select(np.tile(np.arange(200), 2)).replace(
        label=np.r_[data.label, np.where(change, 1 - data.label, data.label)]
    )
    report = check_consistency(again)
    assert report.verdict is Verdict.VIOLATED and "depends on the first" in report.sentence
    assert report.value == change.mean() and report.p_value < 1e-4


def in_two_sessions(rng, memory, n=100):
    """Four judgements of each pair by one annotator, two in a session, remembered or not."""
    p = expit(1.5 * rng.standard_normal(n))
    label = rng.random((n, 4)) < p[:, None]
    for turn in (1, 3):
        label[:, turn] = np.where(rng.random(n) < memory, label[:, turn - 1], label[:, turn])
    who = np.arange(n) % 20
    data = shown(n, label=np.ones(n), annotator=who).select(np.repeat(np.arange(n), 4))
    session = 2 * data.annotator + np.tile([0, 0, 1, 1], n)
    time = np.arange(4.0 * n)
    return data.replace(label=label.ravel().astype(int), session=session, time=time)


def test_repeats_that_are_remembered():
    report = check_consistency(in_two_sessions(np.random.default_rng(0), 0.8))
    assert report.verdict is Verdict.VIOLATED and "in one session" in report.sentence
    alarms = sum(
        check_consistency(in_two_sessions(np.random.default_rng([4, s]), 0.0)).verdict.alarm
        for s in range(40)
    )
    assert alarms <= stats.binom.ppf(0.999, 40, 0.05)


def test_a_judgement_that_is_listed_twice_is_one():
    """Each judgement of two sessions twice in the file: with times, no news of anybody."""
    data = in_two_sessions(np.random.default_rng(1), 0.0)
    once = data.select(np.flatnonzero(np.tile([True, False, True, False], 100)))
    twice = once.select(np.repeat(np.arange(200), 2))
    assert check_consistency(twice).result.own == check_consistency(once).result.own
    assert not [f for f in check_consistency(twice).result.findings if f.kind == "close"]
    unknown = check_consistency(twice.replace(time=None))
    assert unknown.verdict is Verdict.STRAINED and "lists judgements twice" in unknown.sentence


# -- both orders --------------------------------------------------------------------------


def test_both_orders_on_the_scale_of_position():
    """60 couples choose the first twice, 20 the second twice, 120 one answer: 50 % + 20/200."""
    data = shown(200, label=np.ones(200))
    kind = np.repeat([0, 1, 2], [60, 20, 120])
    there = np.where(kind == 0, 1, np.where(kind == 1, 0, np.arange(200) % 2))
    back = np.where(kind == 0, 1, np.where(kind == 1, 0, 1 - there))
    both = data.select(np.tile(np.arange(200), 2)).replace(
        pairs=np.r_[data.pairs, data.pairs[:, ::-1]], label=np.r_[there, back]
    )
    report = check_consistency(both)
    assert report.verdict is Verdict.VIOLATED and "R and R' are two functions" in report.sentence
    assert report.value == pytest.approx(0.6)
    rows = rows_of(report)
    sign = rows[rows.index.str.startswith("pairs judged in both orders")].iloc[0]
    assert sign.value == 0.75 and sign.p_value == pytest.approx(stats.binomtest(60, 80).pvalue)
    # the variance of (L + L' - 1) / 2
    half = 1.96 * np.sqrt((80 / 200 - (40 / 200) ** 2) / 4 / 200)
    assert report.high - report.low == pytest.approx(2 * half, rel=0.06)
    assert check_consistency(both, margin=0.07).verdict is Verdict.STRAINED
    assert check_consistency(both, margin=0.11).verdict is Verdict.NOT_FOUND


def test_annotators_of_other_taste_in_the_other_order():
    """A against B; whoever saw A first may like A more: couples of two annotators are no coins."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        taste = 2 * rng.standard_normal(12)
        there, back = rng.integers(0, 6, 400), rng.integers(6, 12, 400)
        label = rng.random(800) < np.r_[expit(taste[there]), expit(-taste[back])]
        data = shown(400, label=np.ones(400)).select(np.tile(np.arange(400), 2))
        both = data.replace(
            pairs=np.r_[data.pairs[:400], data.pairs[:400, ::-1]],
            label=label.astype(int),
            annotator=np.r_[there, back],
        )
        alarms += check_consistency(both).verdict.alarm
    assert alarms <= stats.binom.ppf(0.999, 60, 0.05)


# -- time ---------------------------------------------------------------------------------


def over_time(rng, *, drift=0.0, carry=0.0, n_annotators=20, each=100):
    turn = np.tile(np.arange(each), n_annotators)
    label = np.zeros(len(turn), dtype=int)
    for i, t in enumerate(turn):
        before = 2 * label[i - 1] - 1 if t else 0
        label[i] = rng.random() < expit(drift * (t / (each - 1) - 0.5) + carry * before)
    who = np.repeat(np.arange(n_annotators), each)
    order = rng.permutation(len(turn))  # rows of a file come in any order
    return shown(
        len(turn), label=label[order], annotator=who[order], time=1000.0 * who[order] + turn[order]
    )


@pytest.mark.parametrize(
    "what,kind,says",
    [
        ("drift", "drift", "first judgement to the last"),
        ("carry", "carry-over", "judgement before"),
    ],
)
def test_drift_and_carry_over(what, kind, says):
    report = check_consistency(over_time(np.random.default_rng(0), **{what: 1.2}))
    assert report.verdict is Verdict.STRAINED
    found = {f.kind: f for f in report.result.findings}
    assert found[kind].adjusted < 1e-3
    if what == "drift":
        assert says in report.sentence
        assert found[kind].estimate.value == pytest.approx(2 * expit(0.6) - 1, abs=0.1)
    else:
        assert found[kind].estimate.value == pytest.approx(expit(1.2) - 0.5, abs=0.04)
    silent = check_consistency(
        over_time(np.random.default_rng(0), **{what: 1.2}).replace(time=None)
    )
    assert kind not in [f.kind for f in silent.result.findings]
    if not silent.verdict.alarm:
        assert "ecording time would show drift and carry-over" in silent.next_step


def test_runs_by_hand():
    """1 1 0 0 1 0 and its mirror: two equal neighbours of five, 2 * 3 * 3 / 6 + 1 runs expected."""
    label = np.tile([1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1], 2)
    data = shown(24, label=label, annotator=np.repeat(np.arange(4), 6), time=np.arange(24.0))
    found = {f.kind: f for f in check_consistency(data).result.findings}["carry-over"]
    assert found.estimate.value == pytest.approx((2 - (6 - 4)) / 5)
    variance = 4 * 18 * (18 - 6) / (36 * 5)
    assert found.estimate.se == pytest.approx(np.sqrt(variance) / 20)


def test_options_are_checked():
    data = shown(10)
    with pytest.raises(ValueError, match="answers is 'random'; expected one of"):
        check_consistency(data, answers="random")
    with pytest.raises(ValueError, match=r"time_margin is 0.5; expected a number in \[0, 0.5\)"):
        check_consistency(data, time_margin=0.5)
