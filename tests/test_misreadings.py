"""Files that a person could have and that are easily read wrongly without a word.

Every row says in its texts which answer is the better one, so a reading is right or wrong. What
the columns do not settle has to be asked for.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from causalpref import load_preferences

GOOD, BAD, N = "the good one", "the poor one", 12


def question(i: int) -> str:
    return f"question number {i}, what about it?"


def first_wins(i: int) -> bool:
    return i % 3 != 1


def pairs(sides: str = "ab", **more: Any) -> list[dict[str, Any]]:
    """Rows of two answers, and columns made from the number of the row and who wins."""
    rows = []
    for i in range(N):
        texts = (GOOD, BAD) if first_wins(i) else (BAD, GOOD)
        row = {"prompt": question(i)} | {
            f"response_{s}": f"{t} of {i}" for s, t in zip(sides, texts)
        }
        rows.append(row | {name: make(i, first_wins(i)) for name, make in more.items()})
    return rows


def chosen(**more: Any) -> list[dict[str, Any]]:
    """Rows of a preferred answer and another one, and further columns."""
    return [
        {"prompt": question(i), "chosen": f"{GOOD} of {i}", "rejected": f"{BAD} of {i}"}
        | {name: make(i) for name, make in more.items()}
        for i in range(N)
    ]


def read(rows: Any, **options: Any) -> list[str]:
    """The prompts, in the order of the file, of rows that were read with the right winner."""
    loaded = load_preferences(rows, **options)
    assert not loaded.bad and not loaded.ties
    for pair in loaded.data:
        assert GOOD in pair.chosen and BAD in pair.rejected, loaded.summary()
    return [str(pair.prompt) for pair in loaded.data]


SIDE = lambda i, first: "a" if first else "b"
OTHER = lambda i, first: "b" if first else "a"
LOW = {"a": lambda i, first: 1 if first else 2, "b": lambda i, first: 2 if first else 1}


# -- labels that mean the opposite ------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["loser", "worse", "least_preferred", "rejected", "which_is_worse"]
)
def test_a_column_that_names_the_worse_answer_is_no_verdict(name):
    with pytest.raises(ValueError, match="lacks|do not say|no column"):
        load_preferences(pairs(**{name: OTHER}))


def test_a_number_is_no_name_of_a_side_because_its_digit_is():
    with pytest.raises(ValueError, match="do not say"):
        load_preferences(pairs("01", label=lambda i, first: (-1, 0, 1)[i % 3]))


def test_a_column_of_worse_answers_is_read_where_its_values_are_given():
    rows, means = pairs(least_preferred=OTHER), {"a": "second", "b": "first"}
    assert len(read(rows, columns={"label": "least_preferred"}, label_values=means)) == N
    with pytest.raises(ValueError, match="do not say what the values of 'least_preferred'"):
        load_preferences(rows, columns={"label": "least_preferred"})


@pytest.mark.parametrize("name", ["toxicity_score", "error_points", "down_votes", "rank_score"])
def test_scores_that_grow_as_an_answer_gets_worse_are_asked_about(name):
    rows = pairs(**{f"{name}_{s}": make for s, make in LOW.items()})
    with pytest.raises(ValueError, match=f"'{name}_a' and '{name}_b' decide"):
        load_preferences(rows)
    given = {f"rank_{s}": f"{name}_{s}" for s in "ab"}
    assert len(read(rows, columns=given)) == N


def test_the_order_shown_is_no_rank():
    rows = pairs(position_a=LOW["a"], position_b=LOW["b"])
    with pytest.raises(ValueError, match="lacks a column that says which answer is preferred"):
        load_preferences(rows)


# -- several columns that could decide --------------------------------------------------


def scores(name: str, first_high: bool = True) -> dict[str, Any]:
    return {
        f"{name}_{s}": lambda i, first, s=s: 2 if (first == (s == "a")) == first_high else 1
        for s in "ab"
    }


def test_of_several_scores_the_overall_one_decides_and_without_one_nothing_does():
    fluency, accuracy = scores("fluency_score", False), scores("accuracy_score")
    assert len(read(pairs(**fluency, **scores("overall_score")))) == N
    with pytest.raises(ValueError, match="do not say whether 'fluency_score_a'"):
        load_preferences(pairs(**fluency, **accuracy))


def test_words_for_the_winner_come_before_a_number_under_another_name():
    rows = pairs(label=lambda i, first: i % 2, winner=lambda i, first: f"model_{SIDE(i, first)}")
    assert len(read(rows)) == N


@pytest.mark.parametrize("name", ["rating", "score"])
def test_one_rating_beside_two_answers_is_no_index_of_the_winner(name):
    with pytest.raises(ValueError, match=f"values of '{name}'"):
        load_preferences(pairs("12", **{name: lambda i, first: 1 + i % 2}))


def test_models_called_by_numbers_are_models_before_they_are_sides():
    models = [(2, 1) if i % 2 else (1, 2) for i in range(N)]
    rows = pairs(
        "12",
        model_1=lambda i, first: models[i][0],
        model_2=lambda i, first: models[i][1],
        winner=lambda i, first: models[i][not first],
    )
    assert len(read(rows)) == N


# -- scales -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "name", "first", "second"),
    [
        ("12", "overall_preference", 2, 6),
        ("12", "overall_preference", 1, 3),
        ("ab", "preference_strength", 2, -2),
        ("ab", "label", 0.1, 0.9),
        ("ab", "strength", 1, 5),
        ("ab", "probability", 0.1, 0.9),
    ],
)
def test_a_scale_whose_ends_are_not_named_is_asked_about(sides, name, first, second):
    rows = pairs(sides, **{name: lambda i, wins: first if wins else second})
    with pytest.raises(ValueError, match="do not say"):
        load_preferences(rows)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0.2, 0.9)])
def test_a_preference_from_0_to_1_is_not_one_from_1_to_2(first, second):
    rows = [
        {"instruction": r["prompt"], "output_1": r["response_1"], "output_2": r["response_2"]}
        | {"preference": r["preference"]}
        for r in pairs("12", preference=lambda i, wins: first if wins else second)
    ]
    with pytest.raises(ValueError, match="do not say what the values of 'preference'"):
        load_preferences(rows)


# -- the prompt -------------------------------------------------------------------------


def test_a_column_about_the_chosen_answer_is_no_prompt():
    assert read(chosen(chosen_text=lambda i: f"a note on {i}")) == [question(i) for i in range(N)]


@pytest.mark.parametrize("spelling", ["Prompt", "PROMPT"])
def test_of_two_spellings_the_plain_one_is_meant_and_the_other_is_listed(spelling):
    rows = [{spelling: "something else", **row} for row in chosen()]
    assert read(rows) == [question(i) for i in range(N)]
    assert load_preferences(rows).unread == [spelling]


@pytest.mark.parametrize("name", ["question", "article", "document", "query"])
def test_an_instruction_that_never_changes_is_not_all_of_the_prompt(name):
    rows = [{**row, name: row["prompt"], "prompt": "Do this."} for row in chosen()]
    assert [set(said.split("\n\n")) for said in read(rows)] == [
        {"Do this.", question(i)} for i in range(N)
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("web-17", ""),
        (17, ""),
        ({"source": "web"}, ""),
        ("It was cold.", "It was cold.\n\n"),
        (["It was cold.", "It rained."], "It was cold.\n\nIt rained.\n\n"),
    ],
)
def test_a_context_is_what_was_said_and_not_a_code(value, expected):
    assert read(chosen(context=lambda i: value)) == [expected + question(i) for i in range(N)]


def test_a_context_that_the_prompt_holds_already_is_not_said_twice():
    context = "A long passage about the weather in the hills, twice over."
    rows = [{**row, "prompt": f"{context} {row['prompt']}"} for row in chosen()]
    both = [{**row, "context": context} for row in rows]
    assert read(both) == [row["prompt"] for row in rows]


def test_answers_that_begin_with_the_word_of_the_prompt_are_not_cut():
    rows = [
        {**r, "prompt": "The", **{k: f"The {r[k]}" for k in ("chosen", "rejected")}}
        for r in chosen()
    ]
    assert {str(pair.chosen)[:8] for pair in load_preferences(rows).data} == {f"The {GOOD}"[:8]}


def test_a_context_that_comes_late_is_read(tmp_path):
    rows = [{**chosen()[0], "prompt": question(i)} for i in range(1100)]
    rows[-1]["context"] = "It was cold."
    path = tmp_path / "late.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(path)[-1] == f"It was cold.\n\n{question(1099)}"


# -- lists of answers, and one answer a row ---------------------------------------------


def several(key: str, low: bool = True, *, inside: bool = False) -> list[dict[str, Any]]:
    """Two answers in a list, and a number for each under a name; ``low``: the better has less."""
    rows = []
    for i in range(N):
        texts, marks = [f"{GOOD} of {i}", f"{BAD} of {i}"], [1, 2] if low else [2, 1]
        if not first_wins(i):
            texts, marks = texts[::-1], marks[::-1]
        objects = [{"text": t, key: m} for t, m in zip(texts, marks)]
        more = {"responses": objects} if inside else {"responses": texts, key: marks}
        rows.append({"prompt": question(i), **more})
    return rows


def rated(**low: bool) -> list[dict[str, Any]]:
    return [
        {"prompt": question(i), "response": f"{text} of {i}"}
        | {name: 1 if (text == GOOD) == less else 2 for name, less in low.items()}
        for i in range(N)
        for text in (GOOD, BAD)
    ]


@pytest.mark.parametrize(
    "rows",
    [
        several("toxicity_scores"),
        several("rank_scores"),
        several("error_rating", inside=True),
        several("length_score", inside=True),
        several("less_preferred", inside=True),
        rated(harmfulness_score=True),
        rated(verbosity=True),
        [{**row, "responses": [{**o, "a_score": 1, "b_score": 2} for o in row["responses"]]}
         for row in several("text_id", inside=True)],
    ],
)  # fmt: skip
def test_numbers_that_do_not_say_which_answer_is_better_do_not_decide(rows):
    with pytest.raises(ValueError, match="lacks scores|no preference data"):
        load_preferences(rows)


def test_the_overall_number_decides_wherever_it_stands():
    rows = several("overall_score", low=False, inside=True)
    for row in rows:
        row["responses"] = [
            {"fluency_score": 3 - o["overall_score"], **o} for o in row["responses"]
        ]
    assert len(read(rows)) == N
    assert len(read(several("rank", inside=True))) == N
    assert len(read(rated(verbosity=True, helpfulness=False))) == N


@pytest.mark.parametrize("name", ["rejected_index", "worst_choice", "least_preferred"])
@pytest.mark.parametrize("by", [int, str])
def test_an_index_that_is_not_of_the_best_answer_is_no_verdict(name, by):
    rows = several("mark")
    for row in rows:
        worse = row.pop("mark").index(2)
        row[name] = worse if by is int else row["responses"][worse]
    with pytest.raises(ValueError, match="lacks scores|do not say what"):
        load_preferences(rows)


# -- several verdicts, and conversations ------------------------------------------------


def test_two_verdicts_that_disagree_are_asked_about_and_the_overall_one_decides():
    rows = pairs(predicted_winner=OTHER, true_winner=SIDE)
    with pytest.raises(ValueError, match="'predicted_winner' and 'true_winner' name different"):
        load_preferences(rows)
    assert len(read(rows, columns={"label": "true_winner"})) == N
    assert len(read(pairs(safety_preference=OTHER, overall_winner=SIDE))) == N


def test_two_questions_of_an_annotator_are_not_one():
    rows = [
        {
            "data": {k: row[k] for k in ("prompt", "response_a", "response_b")},
            "annotations": [
                {
                    "completed_by": 1,
                    "result": [
                        {"type": "pairwise", "from_name": name, "value": {"selected": row[name]}}
                        for name in ("fluency", "overall_preference")
                    ],
                }
            ],
        }
        for row in pairs(
            fluency=lambda i, first: "right" if first else "left",
            overall_preference=lambda i, first: "left" if first else "right",
        )
    ]
    assert len(read(rows)) == N


def turns(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("beside", "whole", "expected"),
    [
        ({"messages": turns("Why?", GOOD)}, False, turns("Why?")),
        ({"messages": turns("Hello", "Hi", "Why?")}, False, turns("Hello", "Hi", "Why?")),
        ({"prompt": turns("Hello", "Hi", "Why?")}, True, turns("Hello", "Hi", "Why?")),
        ({"prompt": turns("Why?")}, True, turns("Why?")),
        ({"history": turns("Hello", "Hi")}, True, turns("Hello", "Hi", "Why?")),
    ],
)
def test_a_prompt_has_all_turns_before_the_answer_and_not_the_answer(beside, whole, expected):
    rows = [
        {**beside, **{k: turns("Why?", y) if whole else y for k, y in answers}}
        for answers in [(("chosen", GOOD), ("rejected", BAD))]
    ]
    (pair,) = load_preferences(rows).data
    assert list(pair.prompt.messages) == expected
    assert (pair.chosen, pair.rejected) == (GOOD, BAD)


def test_a_system_message_beside_transcripts_is_kept():
    said = lambda y: f"\n\nHuman: Why?\n\nAssistant: {y}"
    row = {"system": "Be kind.", "chosen": said(GOOD), "rejected": said(BAD)}
    (pair,) = load_preferences([row]).data
    assert pair.prompt == "Be kind.\n\nHuman: Why?"
