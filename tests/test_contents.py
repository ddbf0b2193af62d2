"""What the texts and labels give away: repeats, contradictions, empty answers, shared prompts."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from causalpref import PreferenceData
from causalpref.data import contents, example_pairs, normalised, shared_prompts


def data_of(*rows, **fields) -> PreferenceData:
    """Rows (prompt, first, second, label), and other columns by name."""
    return PreferenceData.from_dataset(
        [
            dict(zip(("prompt", "response_a", "response_b", "label"), row))
            | {k: v[i] for k, v in fields.items()}
            for i, row in enumerate(rows)
        ]
    )


def found(data) -> dict:
    return {f.key: f for f in contents(data)}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is it?", "  what\tis\n\nit? ", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("STRASSE", "stra\u00dfe", True),
        ("\u1e9e\u0301", "ss\u0301", True),  # folding undoes composition, so it is composed again
        ("a\u00a0b\u3000c", "a b c", True),
        ("\ufeffa\u200bb", "ab", True),
        ("a b", "ab", False),
        ("x\u00b2", "x2", False),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e", False),  # this joiner spells words
    ],
)
def test_what_counts_as_the_same_text(one, other, same):
    assert (normalised(one) == normalised(other)) is same
    assert normalised(normalised(one)) == normalised(one)


def test_plain_data_give_nothing_away():
    assert contents(data_of(("p", "a", "b", 1), ("q", "a", "b", 0))) == []


def test_the_best_accuracy_is_the_best_over_all_models():
    """Against every way to order the texts of every prompt, objective by objective."""
    rng = np.random.default_rng(0)
    rows = [
        (f"p{rng.integers(3)}", *(f"{t}" for t in rng.integers(0, 3, 2)), int(rng.integers(2)))
        for _ in range(60)
    ]
    objective = rng.integers(0, 2, len(rows))
    data = data_of(*rows, objective=objective.tolist())
    right = Fraction(0)
    for p, c in itertools.product({r[0] for r in rows}, (0, 1)):
        here = [r for r, o in zip(rows, objective) if r[0] == p and o == c]
        # a model of pairs may prefer a to b, b to c and c to a: it chooses for every two texts
        for pair in itertools.combinations("012", 2):
            said = [
                (r[1] if r[3] else r[2]) for r in here if set(r[1:3]) == set(pair) and r[1] != r[2]
            ]
            right += max((said.count(t) for t in pair), default=0)
        right += Fraction(sum(r[1] == r[2] for r in here), 2)
    best = found(data)["contradictions"].numbers["best_accuracy"]
    assert best == pytest.approx(float(right / len(rows)), abs=1e-12)
    assert best == found(data)["identical_responses"].numbers["best_accuracy"] < 0.95


def test_pairs_judged_both_ways():
    rows = [r for i in range(4) for r in ((f"p{i}", "x", "y", 1), (f"p{i}", "y", "x", 1))]
    two_texts = found(data_of(*rows, ("alone", "x", "y", 1), ("alone", "x", "y", 1)))
    f = two_texts["contradictions"]
    assert (f.count, f.of, f.numbers["pairs_concerned"]) == (4, 5, 8)
    assert f.sentence.startswith("4 of 5 repeated pairs are judged both ways")
    assert "is 60%" in f.sentence and "no annotator" in f.bears_on
    assert f.examples[0]["prompt"] == "p0" and f.examples[0]["preferred"] == "1 ×"
    assert two_texts["repeated_pairs"].count == 5
    other_order = [(p, *texts[::-1], 1 - label) for p, *texts, label in rows[::2]]
    assert "contradictions" not in found(data_of(*rows[::2], *other_order))
    by_objective = data_of(*rows, objective=[0, 1] * 4)
    assert contents(by_objective) == [], "one label for each objective contradicts nothing"


def test_the_same_texts_under_other_numbers_are_the_same_pair():
    data = PreferenceData(["p"], ["x", "y", "y", "x"], [0] * 4, [[0, 1], [2, 3]], [1, 1])
    assert found(data)["contradictions"].numbers["best_accuracy"] == 0.5
    itself = PreferenceData(["p"], ["x", "x"], [0, 0], [[0, 1]], [1])
    assert found(itself)["identical_responses"].count == 1


def test_whether_annotators_disagree_or_contradict_themselves():
    rows = [("p", "x", "y", 1), ("p", "x", "y", 0), ("q", "x", "y", 1), ("q", "y", "x", 1)]
    people = found(data_of(*rows, annotator=[0, 1, 0, 1]))
    assert "Annotators disagree about 2 of 2" in people["disagreement"].sentence
    assert "contradictions" not in people
    mixed = found(data_of(*rows, annotator=[0, 1, 2, 2]))["disagreement"]
    assert mixed.numbers["by_one_annotator"] == 1 and "in 1 of 2 cases" in mixed.bears_on
    alone = found(data_of(*rows, annotator=[0, 0, 2, 2]))
    assert "same annotator" in alone["contradictions"].bears_on and "disagreement" not in alone


def test_ties_contradict_nobody():
    rows = [("p", "x", "y", 1), ("p", "x", "y", 0), ("q", "x", "y", 1)]
    assert set(found(data_of(*rows, strength=[1.0, 0.0, 2.0]))) == {"repeated_pairs"}


def test_empty_responses_and_how_often_they_lose():
    rows = [
        ("p", "", "y", 0),
        ("q", "x", " \n", 1),
        ("r", "", "y", 1),
        ("s", "", " ", 1),
        ("t", "x", "y", 1),
    ]
    f = found(data_of(*rows))["empty_responses"]
    assert (f.count, f.of) == (4, 5) and f.numbers == {"compared_with_words": 3, "lost": 2}
    assert "2 of 3 times (66.7%)" in f.sentence and f.examples[0]["loser"] == "(empty)"


def test_ratings_below_are_reported_where_the_latent_is_a_rating():
    data = data_of(("p", "x", "y", 1), ("q", "x", "y", 1)).replace(
        response_latents=[[1.0, 5.0], [2.0, 1.0], [3.0, 5.0], [3.0, 9.0]],
        names={"response_latents": ["Overall score", "length"]},
    )
    (f,) = contents(data)
    assert (f.key, f.count, f.of) == ("rating_below", 1, 2)
    assert f.examples[0]["rating of the winner"] == "1"


def test_prompts_that_differ_by_blanks_or_case_only():
    long = "word " * 300
    data = data_of(
        *((p, "x", "y", 1) for p in (f"{long}end", f"{long}end ", "Hi  there", "hi there", "other"))
    )
    f = found(data)["near_prompts"]
    assert (f.count, f.of, f.numbers["pairs_concerned"]) == (4, 5, 4)
    for example in f.examples:
        one, other = example.values()
        assert one != other and max(len(one), len(other)) < 80, "shown where they differ"
    assert "near_prompts" not in found(data.select([0, 4])), "prompts without pairs do not count"


def test_prompts_shared_between_two_data_sets():
    a = data_of(*((f"Question {i}", "x", "y", 1) for i in range(6)))
    b = data_of(
        ("Question 1", "u", "v", 1),
        ("Question 1", "u", "w", 1),
        ("question  2", "u", "v", 1),
        ("Question 9", "u", "v", 1),
        ("Question 3", "u", "v", 1),
    )
    shared = shared_prompts(a, b.select([0, 1, 2, 3]))
    assert (shared.exact, shared.near, shared.prompts) == (1, 1, 3)
    assert (shared.pairs, shared.of, shared.pairs_a, shared.of_a) == (3, 4, 2, 6)
    said = shared.sentence("train", "test")
    assert said == (
        "2 of the 3 prompts of test are in train too (1 exactly, 1 but for blanks or case); "
        "3 of its 4 pairs are affected."
    )
    assert {e["same"] for e in shared.examples} == {"exactly", "but for blanks or case"}
    assert not shared_prompts(a, b.select([3]))
    assert set(shared.finding("train", "test").examples[0]) == {"in train", "in test", "same"}


def test_example_pairs_show_different_prompts_and_two_texts():
    data = data_of(
        ("p", "same", "same", 1), ("p", "x", "y", 0), ("p", "x", "z", 1), ("q", "u", "v", 1)
    )
    shown = example_pairs(data)
    assert [(e["prompt"], e["winner"], e["loser"]) for e in shown] == [
        ("p", "y", "x"),
        ("q", "u", "v"),
    ]
    assert len(example_pairs(data.select([0]))) == 1
