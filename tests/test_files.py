"""Reading other people's files: every layout, every format, and what is wrong with them."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import sys

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import toy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from causalpref import PreferenceData
from causalpref.sources import files, load_hh_rlhf, load_preferences
from causalpref.sources._layouts import ASPECTS
from causalpref.sources.files import LAYOUTS, LoadedPreferences

datasets.disable_progress_bars()

PAIR = {"prompt": "Why?", "response_a": "Because.", "response_b": "No idea.", "label": 1}
TRL = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}


# -- writing and looking -----------------------------------------------------


def jsonl(path, rows):
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def as_json(path, rows):
    path.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    return path


def as_csv(path, rows):
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(rows[0])
        writer.writerows(
            [json.dumps(v) if isinstance(v, list) else v for v in r.values()] for r in rows
        )
    return path


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    return path


def on_disk(path, rows):
    datasets.Dataset.from_list(rows).save_to_disk(path)
    return path


FORMATS = {
    "jsonl": ("x.jsonl", jsonl),
    "gz": ("x.jsonl.gz", jsonl),
    "json": ("x.json", as_json),
    "csv": ("x.csv", as_csv),
    "tsv": ("x.tsv", as_csv),
    "parquet": ("x.parquet", parquet),
    "disk": ("x", on_disk),
}


def load(tmp_path, rows, **options) -> LoadedPreferences:
    return load_preferences(jsonl(tmp_path / "x.jsonl", rows), **options)


def named(loaded):
    return {field: list(names) for field, names in loaded.data.names.items()}


def judged(loaded):
    """(prompt, preferred, other) of each pair: what does not depend on the order shown."""
    data = loaded.data
    row = np.arange(len(data))
    return [
        (data.prompts[x], data.responses[y], data.responses[z])
        for x, y, z in zip(
            data.pair_prompt, data.pairs[row, 1 - data.label], data.pairs[row, data.label]
        )
    ]


def shown(loaded):
    """(prompt, first, second, label) of each pair."""
    data = loaded.data
    return [
        (data.prompts[x], data.responses[a], data.responses[b], int(lab))
        for x, (a, b), lab in zip(data.pair_prompt, data.pairs, data.label)
    ]


# -- layouts -------------------------------------------------------------------


def test_hh_rlhf_layout_agrees_with_load_hh_rlhf(real_hh_rlhf):
    expected = load_hh_rlhf(real_hh_rlhf)
    for source in (real_hh_rlhf, str(real_hh_rlhf / "test.jsonl.gz")):
        loaded = load_preferences(source)
        assert loaded.layout == "hh_rlhf" and loaded.data.order_known
        assert loaded.rows == 4043 and not loaded.bad and not loaded.ties
        assert loaded.data.replace(source=expected.source) == expected
        assert named(loaded) == {k: ["helpful", "harmless"] for k in ("objective", "prompt_type")}
        assert "6 of 4,043 pairs have an empty response" in loaded.summary()


def test_transcripts_of_the_real_file_part_where_its_prompts_end(real_hh_rlhf, tmp_path):
    with gzip.open(real_hh_rlhf / "test.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    loaded = load(tmp_path, [{k: "\n\n" + r[k] for k in ("chosen", "rejected")} for r in rows])
    assert loaded.layout == "transcripts" and not loaded.data.order_known
    assert loaded.rows == 4043 == len(loaded.data) and not loaded.bad
    assert sum(not all(r["responses"]) for r in rows) == 6, "empty answers are answers"
    same = [
        got == (r["prompt"], r["responses"][r["label"]], r["responses"][1 - r["label"]])
        for got, r in zip(judged(loaded), rows)
    ]
    # The rest hold "Human:" inside a response, where the file's authors cut elsewhere.
    assert np.mean(same) > 0.995


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": True}, "label is True, expected one of 0, 1"),
        ({"label": 2}, "label is 2, expected one of 0, 1"),
        ({"responses": ["a"]}, "responses is a list of 1, expected two strings"),
        ({"responses": ["a", 5]}, r"responses\[1\] is 5, expected a string"),
        ({"responses": "ab"}, "responses is 'ab', expected a list"),
        ({"objective": "honest"}, "objective is 'honest', expected one of helpful, harmless"),
        ({"data_subset": None}, "data_subset is null, expected one of helpful, harmless"),
        ({"prompt": ""}, "prompt is empty"),
    ],
)
def test_hh_rlhf_bad_rows(tmp_path, change, says):
    good = {
        "prompt": "Human: Hi",
        "responses": ["a", ""],
        "label": 1,
        "objective": "helpful",
        "data_subset": "harmless",
    }
    loaded = load(tmp_path, [good, {**good, "label": 0}])
    assert loaded.data.label.tolist() == [0, 1] and loaded.data.prompt_type.tolist() == [1]
    with pytest.raises(ValueError, match=f"x.jsonl, line 2: {says}"):
        load(tmp_path, [good, {**good, **change}, good], strict=True)


def test_pairs(tmp_path):
    loaded = load(
        tmp_path,
        [
            PAIR,
            {**PAIR, "label": 0},
            {**PAIR, "label": 0.5},
            {**PAIR, "label": True},
            {**PAIR, "label": " 1.0"},
        ],
    )
    assert loaded.layout == "pairs" and loaded.ties == 1 and loaded.data.order_known
    assert loaded.data.label.tolist() == [1, 0, 1, 1]
    assert len(loaded.data.prompts) == 1 and len(loaded.data.responses) == 2
    assert loaded.data.pairs.tolist() == [[0, 1]] * 4, "repeated judgements stay"
    assert loaded.data.objective is None and named(loaded) == {}


def test_chosen_rejected_order_is_dealt(tmp_path):
    rows = [{"prompt": f"p{i}", "chosen": "good", "rejected": "bad"} for i in range(4000)]
    loaded = load(tmp_path, rows, seed=3)
    assert loaded.layout == "chosen_rejected" and not loaded.data.order_known
    assert judged(loaded) == [(f"p{i}", "good", "bad") for i in range(4000)]
    assert abs(loaded.data.label.mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    assert load(tmp_path, rows, seed=3).data == loaded.data != load(tmp_path, rows, seed=4).data
    expected = PreferenceData.from_trl(rows, seed=3, source=loaded.data.source)
    assert loaded.data == expected


def say(*words, roles=("user", "assistant")):
    return [{"role": roles[i % 2], "content": w} for i, w in enumerate(words)]


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # the prompt inside both conversations
        ({"chosen": say("Hi", "Yes"), "rejected": say("Hi", "No")}, ("Hi", "Yes", "No")),
        # repeated in a column, as in UltraFeedback binarized
        (
            {"prompt": "Hi", "chosen": say("Hi", "Yes"), "rejected": say("Hi", "No")},
            ("Hi", "Yes", "No"),
        ),
        # in a column only, as text or as messages, as TRL has it
        (
            {
                "prompt": "Hi",
                "chosen": say("Yes", roles=["assistant"]),
                "rejected": say("No", roles=["assistant"]),
            },
            ("Hi", "Yes", "No"),
        ),
        (
            {
                "prompt": [SYSTEM, *say("Hi", "Hm", "So?")],
                "chosen": say("Yes", roles=["assistant"]),
                "rejected": say("No", roles=["assistant"]),
            },
            ("Be brief.\n\nHuman: Hi\n\nAssistant: Hm\n\nHuman: So?", "Yes", "No"),
        ),
        (
            {"chosen": say("Hi", "Hm", "So?", "Yes"), "rejected": say("Hi", "Hm", "So?", "No")},
            ("Human: Hi\n\nAssistant: Hm\n\nHuman: So?", "Yes", "No"),
        ),
        # they part early: what follows is the response
        (
            {"chosen": say("Hi", "A", "So?", "Yes"), "rejected": say("Hi", "B", "So?", "No")},
            ("Hi", "A\n\nHuman: So?\n\nAssistant: Yes", "B\n\nHuman: So?\n\nAssistant: No"),
        ),
        # one stops where the other goes on
        (
            {"chosen": say("Hi", "A"), "rejected": say("Hi", "A", "So?", "No")},
            ("Hi", "A", "A\n\nHuman: So?\n\nAssistant: No"),
        ),
        # the same twice
        ({"chosen": say("Hi", "A"), "rejected": say("Hi", "A")}, ("Hi", "A", "A")),
        (
            {
                "chosen": [{"from": "human", "value": " Hi "}, {"from": "gpt", "value": "A"}],
                "rejected": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "B"}],
            },
            (" Hi ", "A", "B"),
        ),
    ],
)
def test_messages(tmp_path, row, expected):
    loaded = load(tmp_path, [row])
    assert loaded.layout == "messages" and not loaded.data.order_known
    assert judged(loaded) == [expected]
    assert judged(load_preferences(as_csv(tmp_path / "x.csv", [row]), layout="messages")) == [
        expected
    ], "cells of JSON"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {
                "chosen": "\n\nHuman: Hi\n\nAssistant: Yes",
                "rejected": "\n\nHuman: Hi\n\nAssistant: No",
            },
            ("Human: Hi", "Yes", "No"),
        ),
        (
            {
                "chosen": "Human: Hi\n\nyou\n\nAssistant: a\n\n"
                "Human: b\n\nAssistant: Human: c\n\nd ",
                "rejected": "Human: Hi\n\nyou\n\nAssistant: a\n\nHuman: b\n\nAssistant: e",
            },
            ("Human: Hi\n\nyou\n\nAssistant: a\n\nHuman: b", "Human: c\n\nd", "e"),
        ),
        (
            {
                "chosen": "Note\n\nHuman: Hi\n\nAssistant: Yes",
                "rejected": "Note\n\nHuman: Hi\n\nAssistant: No",
            },
            ("Note\n\nHuman: Hi", "Yes", "No"),
        ),
    ],
)
def test_transcripts(tmp_path, row, expected):
    loaded = load(tmp_path, [row])
    assert loaded.layout == "transcripts" and judged(loaded) == [expected]


def completion(text, *ratings):
    return {
        "model": "m",
        "response": text,
        "overall_score": 10,
        "annotations": {
            aspect: {"Rating": r, "Rationale": "..."} for aspect, r in zip(ASPECTS, ratings)
        },
    }


def feedback(*completions, instruction="Why?"):
    return {
        "source": "s",
        "instruction": instruction,
        "models": [],
        "correct_answers": ["None"],
        "completions": list(completions),
    }


def test_ultrafeedback(tmp_path):
    rows = [
        feedback(
            completion("a", "5", "4", "3", "2"),
            completion("b", "1", "1", "1", "1"),
            completion("c", "2", "3", "4", "5"),
        )
    ]
    loaded = load(tmp_path, rows)
    assert loaded.layout == "ultrafeedback" and loaded.rows == 1
    assert shown(loaded) == [("Why?", "a", "b", 1), ("Why?", "b", "c", 0)]
    assert loaded.ties == 1, "a and c have the mean 3.5"
    assert named(loaded) == {"response_latents": list(ASPECTS), "model": ["m"]}
    assert loaded.data.strength.tolist() == [2.5, -2.5] and loaded.tied.strength.tolist() == [0]
    assert loaded.data.response_latents.tolist() == [[5, 4, 3, 2], [1, 1, 1, 1], [2, 3, 4, 5]]


def test_ultrafeedback_labels_are_brute_force_means(tmp_path):
    rng = np.random.default_rng(0)
    rows, expected, ties = [], [], 0
    for i in range(60):
        ratings = [[str(r) if r else "N/A" for r in row] for row in rng.integers(0, 6, (4, 4))]
        rows.append(
            feedback(
                *(completion(f"{i} {k}", *r) for k, r in enumerate(ratings)), instruction=f"p{i}"
            )
        )
        means = [np.mean([float(r) for r in row if r != "N/A"] or [np.nan]) for row in ratings]
        for k in range(4):
            for m in range(k + 1, 4):
                if np.isnan(means[k] + means[m]):
                    continue
                if means[k] == means[m]:
                    ties += 1
                else:
                    expected.append((f"p{i}", f"{i} {k}", f"{i} {m}", int(means[k] > means[m])))
    loaded = load(tmp_path, rows)
    assert shown(loaded) == expected and loaded.ties == ties > 0
    assert loaded.data.response_latents is None and len(loaded.notes) == 4


def test_ultrafeedback_aspects_that_are_not_rated(tmp_path):
    rows = [
        feedback(
            completion("a", "5", "N/A", "3", "2"),
            completion("b", "1", "1", "1", "1"),
            completion("c", "2", "2", "2", "2"),
        )
    ]
    loaded = load(tmp_path, rows)
    assert len(loaded.data) == 3 and not loaded.bad
    assert named(loaded)["response_latents"] == [
        "helpfulness",
        "instruction_following",
        "truthfulness",
    ]
    assert loaded.notes[0].startswith("honesty is not rated for 1 completion of 3: left out")
    with pytest.raises(ValueError, match=r"line 1: completions\[0\] has no rating of honesty"):
        load(tmp_path, rows, response_latents=["honesty"], strict=True)
    strict = load(tmp_path, rows, response_latents=["honesty"])
    assert shown(strict) == [("Why?", "b", "c", 0)] and len(strict.bad) == 1
    assert strict.data.response_latents.tolist() == [[1], [2]]
    with pytest.raises(ValueError, match="response_latents names 'wit', expected aspects"):
        load(tmp_path, rows, response_latents=["wit"])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (feedback(), "completions is a list of 0, a pair needs two"),
        (feedback(completion("a", "1")), "completions is a list of 1, a pair needs two"),
        (
            feedback(completion("a", "1"), completion(None, "1")),
            r"completions\[1\] has no response",
        ),
        (feedback(completion("a", "1"), "b"), r"completions\[1\] is 'b', expected an object"),
        (feedback(completion("a", "1"), completion("b")), r"completions\[1\] has no rating"),
        (
            feedback(completion("a", "1"), completion("b", "good")),
            r"completions\[1\]: the rating of helpfulness is 'good', expected '1' to '5'",
        ),
        (
            feedback(completion("a", "1"), completion("b", "10")),
            r"completions\[1\]: the rating of helpfulness is '10', expected '1' to '5'",
        ),
        (
            feedback(completion("a", "1"), completion("a", "2")),
            r"completions\[1\] has the text of completions\[0\] and other ratings",
        ),
        ({**feedback(), "completions": None}, "completions is null, expected a list"),
    ],
)
def test_ultrafeedback_bad_rows(tmp_path, row, says):
    good = feedback(completion("x", "1"), completion("y", "2"))
    with pytest.raises(ValueError, match=f"x.jsonl, line 2: {says}"):
        load(tmp_path, [good, row], strict=True)
    loaded = load(tmp_path, [good, row])
    assert shown(loaded) == [("Why?", "x", "y", 0)] and len(loaded.bad) == 1


def test_safe_rlhf(tmp_path):
    loaded = load(
        tmp_path,
        [
            {
                "prompt": "p",
                "response_0": "a",
                "response_1": "b",
                "is_response_0_safe": False,
                "better_response_id": 0,
                "safer_response_id": 1,
                "harm_0": 3,
                "harm_1": 0,
            }
        ],
        response_latents=["harm"],
    )
    assert loaded.layout == "safe_rlhf" and loaded.rows == 1
    assert shown(loaded) == [("p", "a", "b", 1), ("p", "a", "b", 0)]
    assert loaded.data.objective.tolist() == [0, 1]
    assert named(loaded) == {"objective": ["helpful", "safe"], "response_latents": ["harm"]}
    assert loaded.data.response_latents.tolist() == [[3], [0]]


def test_arena(tmp_path):
    row = {
        "conversation_a": say("Hi", "A", "So?", "A2"),
        "conversation_b": say("Hi", "B", "So?", "B2"),
        "model_a": "x",
        "model_b": "y",
        "judge": "arena_user_9",
        "turn": 2,
    }
    loaded = load(
        tmp_path,
        [{**row, "winner": w} for w in ("model_a", "model_b", "tie", "tie (bothbad)")]
        + [{**row, "winner": "model_a", "judge": "arena_user_10"}],
    )
    assert loaded.layout == "arena" and loaded.ties == 2 and loaded.rows == 5
    assert shown(loaded)[0] == (
        "Hi",
        "A\n\nHuman: So?\n\nAssistant: A2",
        "B\n\nHuman: So?\n\nAssistant: B2",
        1,
    )
    assert loaded.data.label.tolist() == [1, 0, 1]
    assert named(loaded) == {"annotator": ["arena_user_10", "arena_user_9"], "model": ["x", "y"]}
    assert loaded.data.model.tolist() == [0, 1]
    assert loaded.data.annotator.tolist() == [1, 1, 0]
    assert (
        load(tmp_path, [{**row, "winner": "model_b"}], columns={"annotator": None}).data.annotator
        is None
    )


def test_alpaca_farm(tmp_path):
    row = {"instruction": "Add", "output_1": "a", "output_2": "b", "preference": 1}
    loaded = load(
        tmp_path,
        [
            {**row, "input": "1 and 2"},
            {**row, "input": "", "preference": 2},
            {**row, "preference": 1.5, "input": None},
        ],
    )
    assert loaded.layout == "alpaca_farm" and loaded.ties == 1
    assert shown(loaded) == [("Add\n\n1 and 2", "a", "b", 1), ("Add", "a", "b", 0)]


def test_helpsteer(tmp_path):
    row = {"prompt": "p", "response_1": "a", "response_2": "b"}
    loaded = load(tmp_path, [{**row, "preference_strength": s} for s in (-3, 2, 0)])
    assert loaded.layout == "helpsteer" and loaded.ties == 1
    assert shown(loaded) == [("p", "a", "b", 1), ("p", "a", "b", 0)]
    third = load(
        tmp_path,
        [
            {
                "context": say("Hi", "Hm", "So?"),
                "response_1": "a",
                "response_2": "b",
                "overall_preference": 1,
            }
        ],
    )
    assert third.layout == "helpsteer"
    assert shown(third) == [("Human: Hi\n\nAssistant: Hm\n\nHuman: So?", "a", "b", 0)]


def test_every_layout_is_in_the_table_of_the_module():
    for name, needs in LAYOUTS.items():
        row = files.__doc__.split(f"``{name}``")[1].split("\n``")[0]
        for column in needs:
            assert any(way.split()[0] in row for way in column.split(" or ")), (name, column)


# -- options --------------------------------------------------------------------


def test_columns_rename(tmp_path):
    rows = [
        {"q": "p", "win": "a", "lose": "b", "who": "zoe", "goal": "wit", "kind": "maths"},
        {"q": "p", "win": "a", "lose": "c", "who": "abe", "goal": "brevity", "kind": "maths"},
    ]
    names = {
        "prompt": "q",
        "chosen": "win",
        "rejected": "lose",
        "annotator": "who",
        "objective": "goal",
        "prompt_type": "kind",
    }
    loaded = load(tmp_path, rows, columns=names)
    assert judged(loaded) == [("p", "a", "b"), ("p", "a", "c")]
    assert named(loaded) == {
        "annotator": ["abe", "zoe"],
        "objective": ["brevity", "wit"],
        "prompt_type": ["maths"],
    }
    assert loaded.data.annotator.tolist() == [1, 0] and loaded.data.objective.tolist() == [1, 0]
    assert loaded.data.prompt_type.tolist() == [0]
    with pytest.raises(ValueError, match="line 3: win is null, expected a text"):
        load(tmp_path, [*rows, {**rows[0], "win": None}], columns=names, strict=True)


def test_a_layout_by_name_wins_over_the_guess(tmp_path):
    row = {**PAIR, "chosen": "No idea.", "rejected": "Because."}
    assert load(tmp_path, [row]).layout == "pairs"
    loaded = load(tmp_path, [row], layout="chosen_rejected")
    assert judged(loaded) == [("Why?", "No idea.", "Because.")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layout": "pears"}, "layout is 'pears', expected 'auto' or one of .*'pairs'"),
        (
            {"layout": "arena"},
            r"layout 'arena' needs a column 'conversation_a', but x.jsonl has the "
            r"columns 'prompt', .*columns=\{'conversation_a': ...\}",
        ),
        ({"layout": "saved"}, "layout is 'saved', but .* is no folder"),
        ({"columns": {"prompt": "q"}}, "columns says 'prompt' is 'q', but x.jsonl has the columns"),
        (
            {"columns": {"promt": "prompt"}},
            "columns has the key 'promt', which is no part of any layout",
        ),
        (
            {"response_latents": ["score"]},
            "response_latents names 'score': .*none of the pairs score_a and score_b; "
            "a_score and b_score; score_1 and score_2",
        ),
        ({"prompt_latents": ["size"]}, "prompt_latents names 'size', but x.jsonl has the columns"),
        ({"response_latents": "score"}, "response_latents is one string, 'score'"),
        ({"limit": 0}, "limit is 0, expected a positive integer"),
        ({"limit": 2.5}, "limit is 2.5"),
        ({"limit": True}, "limit is True"),
        ({"split": "train"}, "x.jsonl is one file: split='train' goes with a folder or a hub id"),
        ({"config": "x"}, "config='x' goes with a hub id"),
    ],
)
def test_wrong_options(tmp_path, options, says):
    with pytest.raises(ValueError, match=says):
        load(tmp_path, [PAIR], **options)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"size": 3, "colour": "red"},
            "no layout fits: x.jsonl holds no two answers to compare; its columns are 'size', "
            r"'colour'. Say which column is which with columns=\{'prompt': .*--column prompt=COL",
        ),
        (
            {"question": "p", "best": "Because of this."},
            "has 'best', but no column with the other answer .* nearly the layout 'chosen_",
        ),
        (
            {"chosen": "a", "rejected": "b"},
            "has the columns 'chosen' and 'rejected', which is nearly the layout 'chosen_rejected'"
            r".*lacks a column with the prompt.*columns=\{'prompt': .*--column prompt=COL",
        ),
        (
            {"prompt": "p", "answer_1": "a", "answer_2": "b"},
            r"nearly the layout 'pairs'.*columns=\{'label': .*--column label=COL",
        ),
        (
            {"prompt": "p", "answers": ["a", "b", "c"]},
            r"several answers in 'answers', .* lacks scores, ranks .*columns=\{'scores': ",
        ),
        (
            {"prompt": "p", "response": "a"},
            "is no preference data: each row has one answer .'response'., so there is nothing",
        ),
        (
            {"prompt": "p", "completion": "a", "label": True},
            "is unpaired data: each row has one answer .'completion'. and a mark .'label'.",
        ),
        ({"winner": "model_a", "id": 3}, "has verdicts but not the texts"),
    ],
)
def test_a_refusal_says_in_one_line_what_is_missing(tmp_path, row, says):
    with pytest.raises(ValueError, match=says) as error:
        load(tmp_path, [row] * 3)
    assert str(error.value).count("x.jsonl") == 1 and "\n" not in str(error.value)


@pytest.mark.parametrize("columns", [("s_chosen", "s_rejected"), ("chosen_s", "rejected_s")])
def test_latents_of_chosen_and_rejected(tmp_path, columns):
    rows = [
        {**TRL, columns[0]: 5, columns[1]: "1.5", "size": 2},
        {**TRL, "prompt": "q", columns[0]: 4, columns[1]: 3, "size": True},
    ]
    loaded = load(tmp_path, rows, response_latents=["s"], prompt_latents=["size"])
    assert loaded.data.response_latents.tolist() == [[5], [1.5], [4], [3]]
    assert loaded.data.prompt_latents.tolist() == [[2], [1]]
    assert named(loaded) == {"response_latents": ["s"], "prompt_latents": ["size"]}
    assert judged(loaded)[0] == ("Why?", "Because.", "No idea.")


@pytest.mark.parametrize("ends", ["ab", "12", "01"])
def test_latents_of_pairs_replace_lists(tmp_path, ends):
    row = {
        **PAIR,
        f"s_{ends[0]}": 1,
        f"s_{ends[1]}": 2,
        f"t_{ends[0]}": 3,
        f"t_{ends[1]}": 4,
        "latents_a": [9],
        "latents_b": [8],
    }
    loaded = load(tmp_path, [row], response_latents=["t", "s"])
    assert loaded.data.response_latents.tolist() == [[3, 1], [4, 2]]
    assert named(loaded)["response_latents"] == ["t", "s"]
    assert load(tmp_path, [row]).data.response_latents.tolist() == [[9], [8]]
    assert (
        load(tmp_path, [row], columns={"latents_a": None, "latents_b": None}).data.response_latents
        is None
    )


def test_limit_counts_rows(tmp_path):
    rows = [{**PAIR, "label": 0.5}, PAIR, {**PAIR, "label": 0}, "{oops"]
    loaded = load(tmp_path, rows, limit=2)
    assert (loaded.rows, len(loaded.data), loaded.ties) == (2, 1, 1)
    saved = load_preferences(toy().save(tmp_path / "saved"), limit=3)
    assert saved.rows == len(saved.data) == 3 and len(saved.data.prompts) == 3


@pytest.mark.parametrize(
    ("values", "codes", "names"),
    [
        (["b", "a", "b"], [1, 0, 1], ["a", "b"]),
        ([1, 0, 1.0], [1, 0, 1], None),
        ([3, 1, 3.0], [1, 0, 1], ["1", "3"]),
        (["3", "1", "3"], [1, 0, 1], ["1", "3"]),
        ([True, False, True], [1, 0, 1], ["False", "True"]),
        ([1, "a", 1.5], [0, 2, 1], ["1", "1.5", "a"]),
        ([2**60, -1, 7], [2, 0, 1], ["-1", str(2**60), "7"]),
    ],
)
def test_codes_and_names(tmp_path, values, codes, names):
    loaded = load(tmp_path, [{**PAIR, "objective": v} for v in values])
    if names and str(2**60) in names:
        codes = [names.index(str(v)) for v in values]
    assert loaded.data.objective.tolist() == codes and named(loaded).get("objective") == names


def test_cells_of_a_text_file_that_are_all_numbers_are_numbers(tmp_path):
    rows = [{**PAIR, "objective": v, "annotator": w} for v, w in ((10, "7"), (9, "x"))]
    loaded = load_preferences(as_csv(tmp_path / "x.csv", rows))
    assert loaded.data.objective.tolist() == [1, 0]
    assert named(loaded) == {"objective": ["9", "10"], "annotator": ["7", "x"]}


def test_summary(tmp_path):
    rows = [
        {**TRL, "objective": "wit", "annotator": f"w{i % 9}", "s_chosen": 1, "s_rejected": 0}
        for i in range(10)
    ] + [{}] * 5
    text = load(tmp_path, rows, response_latents=["s"]).summary()
    for words in (
        "x.jsonl (10 pairs), layout 'chosen_rejected'",
        "15 rows read: 10 pairs of 2 responses to 1 prompt",
        "5 of 15 rows could not be read (33.3%)",
        "5 bad rows",
        "meaning: chosen is preferred to rejected; 0 ties",
        "order shown: not recorded in the file, randomised",
        "objective: wit (10)",
        "annotator: 9 different, most often w0 (2)",
        "response_latents: s",
        "bad: x.jsonl, line 11: chosen is missing",
        "bad: and 2 more",
        "example: 'Why?' | preferred: 'Because.' | other: 'No idea.'",
    ):
        assert words in text
    loaded = load(tmp_path, rows[:10])
    assert repr(loaded) == loaded.summary() and "\nbad" not in repr(loaded)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.rows = 3


# -- bad rows --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{oops", r"not JSON \(Expecting property name"),
        ("[1]", "is a list, expected an object"),
        ("[" * 100_000, "not JSON"),
        ('{"label": ' + "1" * 5000 + "}", "not JSON"),
        ({"prompt": "p"}, "label is missing"),
        ({"prompt": " \n"}, "prompt is empty"),
        ({"response_a": 3}, "response_a is 3, expected a text"),
        ({"response_b": None}, "response_b is null, expected a text"),
        ({"response_b": ["x"]}, "response_b is a list, expected a text"),
        ({"response_b": {"x": "y"}}, r"response_b is an object without a text \('x'\)"),
        ({"response_b": "a\0b"}, r"response_b holds '\\x00' at character 2: NUL"),
        ({"response_b": "é\ud800"}, r"response_b holds '\\ud800' at character 2: half of a"),
        ({"label": "a"}, "label is 'a', expected one of 1, true, 0, false, 0.5"),
        ({"label": None}, "label is null, expected one of"),
        ({"label": {"x": 1}}, "label is an object, expected one of"),
        ({"label": float("nan")}, "label is nan, expected one of"),
        ({"s_a": "tall"}, "s_a is 'tall', expected a number"),
        ({"s_b": None}, "s_b is null, expected a number"),
        ({"s_b": float("inf")}, "s_b is inf, expected a number"),
        ({"s_b": ...}, "s_b is missing"),
        ({"annotator": ...}, "annotator is missing"),
        ({"annotator": None}, "annotator is null, expected a word or a whole number"),
        ({"annotator": [1]}, "annotator is a list, expected a word"),
        (
            {"s_b": 3},
            r"response_latents \(3\) of a response contradicts x.jsonl, line 1, which .* \(2\)",
        ),
        (
            {"response_a": "n", "response_b": "n", "s_b": 3},
            r"response_latents \(3\) of a response contradicts x.jsonl, line 3, which .* \(1\)",
        ),
    ],
)
def test_bad_rows(tmp_path, row, says):
    good = {**PAIR, "annotator": "w", "s_a": 1, "s_b": 2}
    if isinstance(row, dict) and row != {"prompt": "p"}:
        row = {k: v for k, v in {**good, **row}.items() if v is not ...}
    rows = [good, "  ", row, {**good, "label": 0}]
    options = {"response_latents": ["s"], "columns": {"annotator": "annotator"}}
    with pytest.raises(ValueError, match=f"^x.jsonl, line 3: {says}"):
        load(tmp_path, rows, **options, strict=True)
    loaded = load(tmp_path, rows, **options)
    assert loaded.data.label.tolist() == [1, 0] and loaded.rows == 3 and loaded.lost == 1
    assert [b.where for b in loaded.bad] == ["x.jsonl, line 3"]
    assert len(loaded.data.responses) == 2, "a bad row leaves nothing behind"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"chosen": say("Hi", "A"), "rejected": say("Ho", "B")},
            "chosen and rejected share no prompt",
        ),
        ({"chosen": say("Hi", "A"), "rejected": []}, "rejected is an empty list"),
        ({"chosen": say("Hi"), "rejected": say("Hi", "A")}, "chosen and rejected share no"),
        ({"chosen": "Hi", "rejected": say("Hi", "A")}, "there is no column with the prompt"),
        ({"chosen": say("Hi", "A"), "rejected": [3]}, r"rejected\[0\] is 3, expected a text"),
        (
            {"chosen": [{"role": "user", "content": None}], "rejected": []},
            r"chosen\[0\].content is null, expected a string",
        ),
        ({"chosen": [*say("Hi"), {"content": "x"}], "rejected": []}, r"chosen\[1\].role is null"),
        (
            {"chosen": say("Hi", "A"), "rejected": say("Hi", roles=["dog"])},
            r"rejected\[0\].role is 'dog', exp",
        ),
        ({"chosen": say(" ", "A"), "rejected": say(" ", "B")}, "the prompt of chosen .* is empty"),
        (
            {"chosen": say("A", roles=["assistant"]), "rejected": say("B", roles=["assistant"])},
            "there is no column with the prompt",
        ),
        (
            {k: [*say("Hi", roles=["user"]), *say(k, "A")] for k in ("chosen", "rejected")},
            "chosen and rejected share no prompt",
        ),
    ],
)
def test_bad_conversations(tmp_path, row, says):
    good = {"chosen": say("Hi", "Yes"), "rejected": say("Hi", "No")}
    with pytest.raises(ValueError, match=f"line 2: {says}"):
        load(tmp_path, [good, row, good], strict=True)


def test_transcripts_without_turns_or_a_shared_prompt(tmp_path):
    good = {"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: a\n\nAssistant: c"}
    for other, says in (
        ("plain", "rejected has no turn that begins with Human: or Assistant:"),
        ("Human: z\n\nAssistant: c", "chosen and rejected share no prompt"),
    ):
        with pytest.raises(ValueError, match=f"line 2: {says}"):
            load(tmp_path, [good, {**good, "rejected": other}], strict=True)


def test_a_type_that_contradicts_an_earlier_row(tmp_path):
    rows = [{**PAIR, "prompt_type": "x"}, {**PAIR, "prompt_type": "y"}]
    with pytest.raises(
        ValueError,
        match="line 2: prompt_type 'y' of a prompt contradicts x.jsonl, "
        "line 1, which gives the same text 'x'",
    ):
        load(tmp_path, rows, strict=True)


def test_lists_of_unequal_length_and_too_large_numbers(tmp_path):
    row = {**PAIR, "latents_a": [1, 2], "latents_b": [1, 2], "embedding_a": [1], "embedding_b": [2]}
    for change, says in (
        ({"latents_b": [1]}, "response_latents: 1 number, but .*, line 1 has 2"),
        ({"embedding_a": [1e300]}, "embedding_a holds a number too large"),
        ({"embedding_a": [3]}, "embeddings of a response contradicts .* line 1"),
        ({"latents_a": ["x", 1]}, r"latents_a\[0\] is 'x', expected a number"),
    ):
        with pytest.raises(ValueError, match=f"line 2: {says}"):
            load(
                tmp_path,
                [
                    row,
                    {**row, "prompt": "other", **change}
                    if "3" not in str(change)
                    else {**row, **change},
                ],
                strict=True,
            )
    with pytest.raises(ValueError, match="has only one of latents_a and latents_b"):
        load(tmp_path, [{**PAIR, "latents_a": [1]}])


def test_a_column_that_comes_late_is_read_where_it_matters(tmp_path):
    rows = [{**PAIR, "prompt": f"p{i}"} for i in range(1100)]
    rows[1050] |= {"objective": "wit", "system": "Be brief.", "size": 3}
    loaded = load(tmp_path, rows)
    assert loaded.unread == ["size"] and named(loaded) == {"objective": ["(empty)", "wit"]}
    assert loaded.data.objective.sum() == 1 and loaded.data.prompts[0] == "p0"
    assert list(loaded.data.prompts[1050].messages) == [SYSTEM, *say("p1050")]
    without = load(tmp_path, rows, columns={"objective": None, "system": None})
    assert without.data.objective is None and without.data.prompts[1050] == "p1050"
    assert set(without.unread) == {"objective", "system", "size"}
    with pytest.raises(ValueError, match="line 1: objective is missing"):
        load(tmp_path, rows[:50] + rows[1050:], columns={"objective": "objective"}, strict=True)


def test_nothing_usable(tmp_path):
    with pytest.raises(ValueError, match=r"x.jsonl: none of 2 rows gives .* \(2 ties, 0 bad"):
        load(tmp_path, [{**PAIR, "label": 0.5}] * 2)
    with pytest.raises(
        ValueError, match="none of 1 row gives .*1 bad; the first bad one: x.jsonl, line 1: p"
    ):
        load(tmp_path, [{**PAIR, "prompt": ""}])
    with pytest.raises(ValueError, match="holds no row that can be read; x.jsonl, line 2: not"):
        load(tmp_path, ["", "oops"])


# -- formats -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_to_dataset(tmp_path, name):
    data = toy(7)
    rows = data.to_dataset().to_list()
    file, write = FORMATS[name]
    loaded = load_preferences(write(tmp_path / file, rows))
    assert loaded.layout == "pairs" and loaded.rows == len(data) and loaded.data.order_known
    assert loaded.data == PreferenceData.from_dataset(rows, source=loaded.data.source)


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_to_trl(tmp_path, name):
    data = toy(9, seed=2)
    rows = data.to_trl().to_list()
    file, write = FORMATS[name]
    loaded = load_preferences(write(tmp_path / file, rows), seed=5)
    assert loaded.data.replace(annotator=None) == PreferenceData.from_trl(
        rows, seed=5, source=loaded.data.source
    ).replace(annotator=None)


def test_what_the_libraries_write_themselves(tmp_path):
    data = toy(5)
    dataset = data.to_dataset()
    dataset.to_json(tmp_path / "a.jsonl")
    dataset.to_parquet(tmp_path / "a.parquet")
    dataset.to_csv(tmp_path / "a.csv")
    dataset.to_pandas().to_csv(tmp_path / "b.csv")
    dataset.to_pandas().to_json(tmp_path / "a.json", orient="records", indent=2)
    for file in ("a.jsonl", "a.parquet", "a.csv", "b.csv", "a.json"):
        got = load_preferences(tmp_path / file).data
        said = {"source": got.source, "simulated": got.simulated}
        expected = PreferenceData.from_dataset(dataset, **said)
        assert np.allclose(got.response_latents, expected.response_latents, atol=1e-6), file
        arrays = ("response_latents", "prompt_latents", "embeddings")
        assert got.replace(**{a: getattr(expected, a) for a in arrays}) == expected, file


def test_saved_folder(tmp_path):
    data = toy()
    loaded = load_preferences(data.save(tmp_path / "saved"))
    assert loaded.data == data and loaded.layout == "saved" and loaded.rows == len(data)
    assert loaded.summary()
    assert load_preferences(tmp_path / "saved", layout="saved").data == data
    with pytest.raises(ValueError, match="columns does not go with .*saved"):
        load_preferences(tmp_path / "saved", columns={"prompt": "text"})
    path = tmp_path / "saved" / "prompts.parquet"
    pq.write_table(pq.read_table(path).rename_columns(["words", "type"]), path)
    with pytest.raises(ValueError, match="saved is damaged .*text"):
        load_preferences(tmp_path / "saved")
    (tmp_path / "saved" / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="damaged"):
        load_preferences(tmp_path / "saved")


ROWS = [{**PAIR, "prompt": f"p{i}", "response_a": f"two\nlines {i}"} for i in range(8)]


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("jsonl", "x.jsonl, line 6"),
        ("gz", "x.jsonl.gz, line 6"),
        ("json", "x.json, line 7"),
        ("csv", "x.csv, line 12"),
        ("tsv", "x.tsv, line 12"),
        ("parquet", "x.parquet, row 6"),
        ("disk", "x, row 6"),
    ],
)
def test_a_broken_row_is_named_in_every_format(tmp_path, name, where):
    file, write = FORMATS[name]
    rows = [dict(r) for r in ROWS]
    rows[5]["prompt"] = ""
    path = write(tmp_path / file, rows)
    with pytest.raises(ValueError, match=f"^{where}: prompt is empty"):
        load_preferences(path, strict=True)
    loaded = load_preferences(path)
    assert [str(b) for b in loaded.bad] == [f"{where}: prompt is empty"]
    assert len(loaded.data) == 7 and loaded.data.responses[0] == "two\nlines 0"


def test_wide_cells_and_the_csv_limit_stays(tmp_path):
    before = 131_072  # Python's own
    path = as_csv(tmp_path / "x.csv", [{**TRL, "chosen": "long " * 60_000}])
    assert len(load_preferences(path).data.responses[0]) in (300_000, len("No idea."))
    assert csv.field_size_limit() == before
    as_csv(path, [{**TRL, "chosen": ""}])
    with pytest.raises(ValueError):
        load_preferences(path)
    assert csv.field_size_limit() == before


def test_only_the_columns_that_matter_are_read_from_parquet(tmp_path):
    far = pa.array([2**62], pa.timestamp("us"))  # no date in Python: converting it raises
    pq.write_table(
        pa.table({"prompt": ["p"], "chosen": ["a"], "rejected": ["b"], "when": far}),
        tmp_path / "x.parquet",
    )
    assert judged(load_preferences(tmp_path / "x.parquet")) == [("p", "a", "b")]
    with pytest.raises(ValueError, match="x.parquet, row 1: cannot be read"):
        load_preferences(tmp_path / "x.parquet", columns={"annotator": "when"}, strict=True)
    pq.write_table(
        pa.table({"chosen": [say("p", "a")], "rejected": [say("p", "b")], "when": far}),
        tmp_path / "x.parquet",
    )
    assert judged(load_preferences(tmp_path / "x.parquet")) == [("p", "a", "b")]


# -- rows in memory ---------------------------------------------------------------------

IN_MEMORY = {"list": list, "DataFrame": pd.DataFrame, "Dataset": datasets.Dataset.from_list}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_rows_in_memory_are_read_as_those_of_a_file(tmp_path, kind):
    for rows in (toy(7).to_dataset().to_list(), toy(7).to_trl().to_list()):
        loaded = load_preferences(IN_MEMORY[kind](rows), seed=5)
        file = load(tmp_path, rows, seed=5)
        assert loaded.data.source.startswith(kind) and loaded.layout == file.layout
        assert loaded.data.replace(source=file.data.source) == file.data
    rows = [dict(r) for r in ROWS]
    rows[5]["prompt"] = ""
    with pytest.raises(ValueError, match=f"^{kind}, row 6: prompt is empty"):
        load_preferences(IN_MEMORY[kind](rows), strict=True)
    assert len(load_preferences(IN_MEMORY[kind](rows)).data) == 7


def test_a_frame_brings_back_every_fact():
    data = toy(6)
    rng = np.random.default_rng(0)
    strength = np.where(data.label == 1, 1, -1) * rng.integers(1, 4, len(data))
    data = data.replace(
        session=rng.integers(0, 3, len(data)),
        time=1.7e9 + np.arange(len(data)),
        strength=strength,
        probability=1 / (1 + np.exp(-strength)),
        model=np.arange(len(data.responses)) % 3,
        prompt_group=np.arange(len(data.prompts)) // 2,
        names={"model": ["x", "y", "z"], "session": ["a", "b", "c"]},
    )
    got = load_preferences(data.to_pandas()).data
    said = {"source": got.source, "simulated": got.simulated}
    assert got == PreferenceData.from_pandas(data.to_pandas(), **said)


def test_what_is_no_source():
    with pytest.raises(TypeError, match=r"source is 5 \(int\), expected a path, a hub id, a data"):
        load_preferences(5)
    with pytest.raises(ValueError, match=r"list, row 1: is 'x', expected an object"):
        load_preferences(["x"])
    with pytest.raises(ValueError, match="split='train' goes with a folder or a hub id"):
        load_preferences([PAIR], split="train")
    with pytest.raises(ValueError, match="revision='x' goes with a hub id; the rows are in memory"):
        load_preferences([PAIR], revision="x")
    both = datasets.DatasetDict(
        a=datasets.Dataset.from_list([PAIR]), b=datasets.Dataset.from_list([])
    )
    with pytest.raises(ValueError, match="pick one with split="):
        load_preferences(both)
    assert len(load_preferences(both, split="a").data) == 1
    twice = pd.DataFrame([["p", "q"]], columns=["prompt", "prompt"])
    with pytest.raises(ValueError, match="a column 'prompt' more than once"):
        load_preferences(twice)


def test_without_the_package_datasets(tmp_path, monkeypatch):
    on_disk(tmp_path / "x", [PAIR])
    monkeypatch.setitem(sys.modules, "datasets", None)
    for source in ("someone/some-data", tmp_path / "x"):
        with pytest.raises(ImportError, match=r'pip install "causalpref\[models\]"'):
            load_preferences(source)
    assert len(load_preferences([PAIR]).data) == 1


def test_columns_that_people_have(tmp_path):
    rows = [
        {**PAIR, "session": "s2", "time": "2024-05-01T10:00:00Z", "prompt_group": "g"},
        {**PAIR, "session": "s1", "time": 1714557600.5, "prompt_group": "g", "prompt": "Who?"},
    ]
    rows = [{**r, "model_a": "x", "model_b": "y"} for r in rows]
    data = load(tmp_path, rows).data
    assert data.session.tolist() == [1, 0] and data.names["session"] == ("s1", "s2")
    assert data.time.tolist() == [1714557600.0, 1714557600.5]
    assert data.prompt_group.tolist() == [0, 0] and data.pair_group.tolist() == [0, 0]
    assert data.model.tolist() == [0, 1, 0, 1] and data.names["model"] == ("x", "y")
    chosen = [{**TRL, "chosen_model": "x", "rejected_model": "y"}]
    assert load(tmp_path, chosen).data.model.tolist() == [0, 1]
    without = load(tmp_path, rows, columns={"model_a": None, "session": None, "time": None})
    assert without.data.model is without.data.session is without.data.time is None
    assert set(without.unread) >= {"session", "time"}
    noon = [rows[0], {**rows[1], "time": "noon", "session": " "}]
    says = "time is 'noon', expected seconds since the epoch"
    loaded = load(tmp_path, noon)
    assert loaded.data.time is None and says in loaded.notes[0] and not loaded.bad
    assert loaded.data.names["session"] == ("(empty)", "s2")
    with pytest.raises(ValueError, match=f"line 2: {says}"):
        load(tmp_path, noon, columns={"time": "time"}, strict=True)


def test_a_text_that_two_models_wrote(tmp_path):
    rows = [{**PAIR, "model_a": "x", "model_b": "y"}, {**PAIR, "model_a": "y", "model_b": "y"}]
    loaded = load(tmp_path, rows)
    assert len(loaded.data) == 2 and loaded.data.model.tolist() == [0, 1]
    assert loaded.notes == [
        "1 pair with a text that two models wrote: the model named first is kept"
    ]


def test_graded_preferences_agree_with_the_label(tmp_path):
    rows = [
        {**PAIR, "strength": 2, "probability": 0.9},
        {**PAIR, "strength": 0, "probability": 0.5},
    ]
    data = load(tmp_path, rows).data
    assert data.strength.tolist() == [2, 0] and data.probability.tolist() == [0.9, 0.5]
    for change, says in (
        ({"strength": -1}, "strength is -1, which contradicts the label 1"),
        ({"probability": 0.2}, "probability is 0.2, which contradicts the label 1"),
        ({"probability": 2}, "probability is 2, expected 0 to 1"),
    ):
        with pytest.raises(ValueError, match=f"line 3: {says}"):
            load(tmp_path, [*rows, {**rows[0], **change}], strict=True)


# -- folders and the hub --------------------------------------------------------------


def test_folders_of_files(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(ValueError, match="data holds no data files .* it holds nothing"):
        load_preferences(folder)
    (folder / "README.md").write_text("x")
    (folder / "dataset_infos.json").write_text("{}")
    jsonl(folder / "test.jsonl", [{**PAIR, "prompt": "third"}])
    jsonl(folder / "train-00000-of-00001.jsonl.gz", [PAIR, {**PAIR, "prompt": "second"}])
    both = load_preferences(folder)
    assert both.data.prompts.tolist() == ["Why?", "second", "third"], "the training split first"
    assert "train-00000-of-00001.jsonl.gz + test.jsonl" in both.data.source
    assert load_preferences(folder, split="test").data.prompts.tolist() == ["third"]
    with pytest.raises(ValueError, match="no file named after the split 'tes'; it has 'test"):
        load_preferences(folder, split="tes")
    jsonl(folder / "test.jsonl", [{**PAIR, "label": None}])
    with pytest.raises(ValueError, match="^test.jsonl, line 1: label is null"):
        load_preferences(folder, strict=True)
    parquet(folder / "x.parquet", [PAIR])
    with pytest.raises(ValueError, match="several kinds.*name one file"):
        load_preferences(folder)


def test_save_to_disk_with_splits_and_classes(tmp_path):
    features = datasets.Features(
        {
            "prompt": datasets.Value("string"),
            "chosen": datasets.Value("string"),
            "rejected": datasets.Value("large_string"),
            "objective": datasets.ClassLabel(names=["wit", "brevity"]),
        }
    )
    rows = [{**TRL, "objective": 1}, {**TRL, "objective": 0}, {**TRL, "objective": 1}]
    one = datasets.Dataset.from_list(rows, features=features)
    datasets.DatasetDict({"train": one, "test": one.select([1])}).save_to_disk(tmp_path / "two")
    with pytest.raises(ValueError, match=r"two has the splits \['train', 'test'\]: pick one"):
        load_preferences(tmp_path / "two")
    with pytest.raises(ValueError, match=r"two has no split 'dev', only"):
        load_preferences(tmp_path / "two", split="dev")
    loaded = load_preferences(tmp_path / "two", split="train")
    assert named(loaded)["objective"] == ["brevity", "wit"]
    assert loaded.data.objective.tolist() == [0, 1, 0] and "two (train)" in loaded.data.source
    datasets.DatasetDict({"only": one}).save_to_disk(tmp_path / "alone")
    assert "alone (only)" in load_preferences(tmp_path / "alone").data.source
    one.select([2, 1]).save_to_disk(tmp_path / "one")
    assert load_preferences(tmp_path / "one").data.objective.tolist() == [0, 1]
    with pytest.raises(ValueError, match="without splits: leave split out"):
        load_preferences(tmp_path / "one", split="train")
    (tmp_path / "one" / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match="no folder of save_to_disk, or damaged"):
        load_preferences(tmp_path / "one")


def test_hub(tmp_path, monkeypatch):
    """The code path of a hub id, with load_dataset reading files of this machine."""
    jsonl(tmp_path / "train.jsonl", [PAIR, {**PAIR, "prompt": "q"}])
    jsonl(tmp_path / "test.jsonl", [{**PAIR, "prompt": ""}])
    monkeypatch.chdir(tmp_path)
    asked = []
    real = datasets.load_dataset

    def load_dataset(name, config=None, *, split=None, revision=None):
        asked.append((name, config, split, revision))
        return real(
            "json",
            data_files={s: str(tmp_path / f"{s}.jsonl") for s in ("train", "test")},
            split=split,
            cache_dir=tmp_path / "cache",
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    loaded = load_preferences("someone/some-data", split="train", config="c", revision="r")
    assert asked == [("someone/some-data", "c", "train", "r")]
    assert loaded.data.prompts.tolist() == ["Why?", "q"]
    assert loaded.data.source == "someone/some-data (train) (2 pairs)"
    with pytest.raises(ValueError, match=r"^someone/some-data \(test\), row 1: prompt is empty"):
        load_preferences("someone/some-data", split="test", strict=True)
    with pytest.raises(ValueError, match=r"someone/some-data has the splits \['train', 'test'\]"):
        load_preferences("someone/some-data")

    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / "data").write_text("some words")
    with pytest.raises(ValueError, match="no kind of file known here"):
        load_preferences("someone/data")
    assert len(asked) == 3, "a local path wins"

    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: datasets.IterableDatasetDict())
    with pytest.raises(ValueError, match="a/b is a IterableDatasetDict, expected a Dataset"):
        load_preferences("a/b")

    def fails(*args, **kwargs):
        raise RuntimeError("Dataset scripts are no longer supported")

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(
        ValueError, match="hub data set 'a/b' could not be loaded .RuntimeError: Dataset scripts"
    ):
        load_preferences("a/b")


@pytest.mark.parametrize(
    "source", ["nowhere", "data/nowhere.jsonl", "a/b/c", "", "a\0b", "/no/where/at.parquet"]
)
def test_neither_path_nor_hub_id(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    if source:
        with pytest.raises(FileNotFoundError, match="neither an existing file or folder nor a hub"):
            load_preferences(source)
    else:
        with pytest.raises(ValueError, match="holds no data files"):
            load_preferences(source)


# -- nothing but an answer or a clear refusal -------------------------------------------

FUZZ = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
EXTRAS = [
    "annotator", "objective", "prompt_type", "latents_a", "latents_b", "input", "system", "tools",
    "history", "scores", "time", "model_a", "model_b", "turn", "strength",
]  # fmt: skip
ONE_A_ROW = {"pairs", "arena", "alpaca_farm", "helpsteer", "transcripts", "hh_rlhf"}


def tried(path, **options):
    """Load what can be loaded; anything but a ValueError or an OSError gets through."""
    for strict in (False, True):
        try:
            loaded = load_preferences(path, strict=strict, **options)
        except (ValueError, OSError):
            continue
        assert len(loaded.data) >= 1 and loaded.summary()
        assert loaded.rows > loaded.lost >= 0 and not (strict and loaded.bad)
        assert loaded.ties == (0 if loaded.tied is None else len(loaded.tied))
        if loaded.layout in ONE_A_ROW:
            assert loaded.rows == len(loaded.data) + loaded.ties + loaded.lost


@FUZZ
@given(
    raw=st.binary(max_size=200),
    name=st.sampled_from(
        ["x.jsonl", "x.json", "x.csv", "x.tsv", "x.parquet", "x.jsonl.gz", "x.csv.gz"]
    ),
    zipped=st.booleans(),
)
def test_any_bytes(tmp_path, raw, name, zipped):
    (tmp_path / name).write_bytes(gzip.compress(raw) if zipped else raw)
    tried(tmp_path / name)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system", 3]),
            "content": st.sampled_from(["a", "b", "", None]),
        }
    ),
    max_size=4,
)
COMPLETIONS = st.lists(
    st.fixed_dictionaries(
        {
            "response": st.sampled_from("abc"),
            "annotations": (
                st.dictionaries(
                    st.sampled_from(ASPECTS),
                    st.fixed_dictionaries(
                        {"Rating": st.sampled_from(["1", "5", 3, "N/A", None, "x"])}
                    ),
                )
                | st.none()
            ),
        }
    ),
    max_size=4,
)
VALUES = (
    SCALARS
    | MESSAGES
    | COMPLETIONS
    | st.lists(SCALARS, max_size=2)
    | st.sampled_from(
        [
            "Human: a\n\nAssistant: b",
            "Human: a\n\nAssistant: c",
            "model_a",
            "1",
            0,
            1,
            "helpful",
            {},
        ]
    )
)


def rows_of(layout):
    needs = [c.split()[0] for c in LAYOUTS[layout]]
    return st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(needs, VALUES), optional={c: VALUES for c in EXTRAS if c not in needs}
        ),
        min_size=1,
        max_size=3,
    )


@FUZZ
@given(st.sampled_from(sorted(LAYOUTS)).flatmap(rows_of))
def test_any_values_in_known_columns(tmp_path, rows):
    tried(jsonl(tmp_path / "x.jsonl", rows))
    tried(as_json(tmp_path / "x.json", rows))


@FUZZ
@given(
    st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=4), max_size=4),
    st.sampled_from([",", ";", "\t"]),
    st.randoms(),
)
def test_any_table(tmp_path, cells, delimiter, rng):
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows([["prompt", "chosen", "rejected"], *cells])
    raw = bytearray(stream.getvalue().encode("utf-8", "surrogatepass"))
    if len(raw) > 25 and rng.random() < 0.3:
        raw[rng.randrange(23, len(raw))] = rng.randrange(256)
    (tmp_path / "x.csv").write_bytes(raw)
    tried(tmp_path / "x.csv")


@FUZZ
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4), st.floats(0.3, 1))
def test_any_damage_to_a_good_file(tmp_path, changes, keep):
    rows = [{**r, "objective": "wit", "latents_a": [1.0], "latents_b": [2.0]} for r in ROWS]
    for name in ("gz", "parquet"):
        file, write = FORMATS[name]
        path = write(tmp_path / file, rows)
        raw = bytearray(path.read_bytes())
        for place, byte in changes:
            raw[int(place * (len(raw) - 1))] = byte
        path.write_bytes(raw[: max(1, int(keep * len(raw)))] if keep < 0.9 else raw)
        tried(path)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "q", ""]),
            st.sampled_from("abc"),
            st.sampled_from("abc"),
            st.sampled_from([0, 1, 0.5]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_counts_add_up_and_pairs_are_the_rows(tmp_path, rows):
    """Against a count by hand: rows = pairs + ties + lost, in the order of the file."""
    path = jsonl(tmp_path / "x.jsonl", [dict(zip(PAIR, r)) for r in rows])
    expected = [r for r in rows if r[0] and r[3] != 0.5]
    if not expected:
        with pytest.raises(ValueError, match="none of"):
            load_preferences(path)
        return
    loaded = load_preferences(path)
    assert shown(loaded) == expected
    assert loaded.ties == sum(r[0] != "" and r[3] == 0.5 for r in rows)
    assert loaded.lost == len(loaded.bad) == sum(r[0] == "" for r in rows)
    assert loaded.rows == len(rows) == len(loaded.data) + loaded.ties + loaded.lost
    assert len(set(zip(loaded.data.response_prompt.tolist(), loaded.data.responses))) == len(
        loaded.data.responses
    )
    first_seen = list(dict.fromkeys(r[0] for r in rows if r[0]))
    decided = {r[0] for r in expected}
    assert loaded.data.prompts.tolist() == [p for p in first_seen if p in decided]
