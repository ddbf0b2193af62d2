"""Every layout that people have: made-up inputs of each kind, and real files counted by hand."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from causalpref import audit
from causalpref.sources import load_preferences
from causalpref.sources.files import LoadedPreferences

SHARED = ROOT.parent / "shared"


def beside(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"{'/'.join(parts)} is not beside this clone (../shared)")
    return path


def judged(loaded: LoadedPreferences) -> list[tuple[str, str, str]]:
    """(prompt, preferred, other) of each pair."""
    pairs = (loaded.data[i] for i in range(len(loaded.data)))
    return [(pair.prompt, pair.chosen, pair.rejected) for pair in pairs]


def figures(loaded: LoadedPreferences) -> tuple[int, int, int, int]:
    """Pairs, ties, prompts of both together, rows lost."""
    prompts = {*loaded.data.prompts, *(loaded.tied.prompts if loaded.tied is not None else ())}
    return len(loaded.data), loaded.ties, len(prompts), loaded.lost


def share_first(loaded: LoadedPreferences) -> float:
    return float(loaded.data.label.mean())


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def call(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": "{}"}}


# -- one input of each kind that is easily misread --------------------------------------

INDEX = {0: "first", 1: "second", 2: "tie"}
READ: dict[str, tuple[dict[str, Any], tuple[int, int, int, int], Callable[[Any], object]]] = {
    "label_index_autoj.jsonl": (
        {"label_values": INDEX},
        (32, 8, 40, 0),
        lambda d: all(y.startswith("good") for _, y, _ in judged(d)) and "2 = a tie" in d.meaning,
    ),
    "label_012_pandalm.jsonl": (
        {},
        (32, 16, 48, 0),
        lambda d: (
            judged(d)[0][0] == "question 1\n\ntext 1"
            and set(np.round(d.data.probability, 2)) <= {0, 0.17, 0.33, 0.67, 0.83, 1}
        ),
    ),
    "alpaca_input.jsonl": (
        {},
        (40, 0, 40, 0),
        lambda d: judged(d)[3][0] == "Translate to German\n\nsentence 3" and not d.unread,
    ),
    "tool_calls_only_difference.jsonl": (
        {},
        (20, 0, 20, 0),
        lambda d: all("Oslo" in y and "Rome" in other for _, y, other in judged(d)),
    ),
    "tool_calls_content_null.jsonl": (
        {},
        (20, 0, 20, 0),
        lambda d: (
            [m["role"] for m in judged(d)[0][1].messages] == ["assistant", "tool", "assistant"]
            and judged(d)[0][1].messages[0]["tool_calls"][0]["function"]["name"] == "weather"
        ),
    ),
    "messages_in_csv.csv": (
        {},
        (20, 0, 20, 0),
        lambda d: judged(d) == [(f"question {i}", "yes", "no") for i in range(20)],
    ),
    "mtbench_turns.jsonl": (
        {},
        (40, 0, 20, 0),
        lambda d: (
            judged(d)[0] == ("Write 0", "first good 0", "first poor 0")
            and "second good 0" in judged(d)[1][1]
            and "judged both ways" not in d.summary()
        ),
    ),
    "helpsteer_out_of_range.jsonl": (
        {},
        (8, 0, 8, 4),
        lambda d: (
            d.data.strength.tolist() == [1, -2] * 4
            and d.bad[0].reason == "preference_strength is -100, expected -3 to 3"
        ),
    ),
    "place_no_objective.jsonl": ({}, (50, 0, 50, 0), lambda d: share_first(d) == 0.92),
    "place_with_objective.jsonl": (
        {},
        (50, 0, 50, 0),
        lambda d: share_first(d) == 0.92 and d.data.names["objective"] == ("quick", "thorough"),
    ),
    "contradicting_duplicates.jsonl": (
        {},
        (40, 0, 20, 0),
        lambda d: "20 of 20 repeated pairs" in d.summary() and "reach is 50%" in d.summary(),
    ),
    "identical_pairs.jsonl": (
        {},
        (40, 0, 40, 0),
        lambda d: "20 of 40 pairs are of a text with itself" in d.summary(),
    ),
    "quoted_transcript.jsonl": (
        {},
        (20, 0, 20, 0),
        lambda d: all(
            [m["role"] for m in p.messages] == ["user"] and "\n\nHuman: where" in p
            for p in d.data.prompts
        ),
    ),
    "empty_response.jsonl": (
        {},
        (40, 0, 40, 0),
        lambda d: sum(other == "" for *_, other in judged(d)) == 4 and "4 of 4" in d.summary(),
    ),
    "alpacaeval2_soft.jsonl": (
        {},
        (50, 0, 50, 0),
        lambda d: (
            np.isclose(d.data.probability[0], 2 - 1.479958)
            and d.data.label[0] == 1
            and np.array_equal(d.data.label == 1, d.data.probability > 0.5)
            and "probability" in d.meaning
        ),
    ),
    "content_parts.jsonl": (
        {},
        (10, 0, 10, 0),
        lambda d: judged(d) == [(f"q {i}", "yes", "no") for i in range(10)],
    ),
    "sharegpt_llamafactory.jsonl": (
        {},
        (10, 0, 10, 0),
        lambda d: (
            [m["role"] for m in d.data.prompts[0].messages] == ["system", "user"]
            and judged(d)[0][1:] == ("yes", "no")
        ),
    ),
    "rmbench_lists.jsonl": (
        {},
        (90, 0, 10, 0),
        lambda d: (
            {(y, other) for _, y, other in judged(d)[:9]}
            == set(itertools.product(("a", "a longer", "**a**"), ("b", "b longer", "**b**")))
        ),
    ),
    "ranked_answers.jsonl": (
        {},
        (30, 0, 10, 0),
        lambda d: sorted(np.abs(d.data.strength[:3])) == [1, 1, 2],
    ),
    "label_letters.jsonl": ({}, (8, 4, 12, 0), lambda d: d.data.label.tolist() == [1, 0] * 4),
    "label_studio_pairwise.jsonl": (
        {},
        (10, 0, 10, 0),
        lambda d: d.data.label.tolist() == [1, 0] * 5 and d.data.annotator is not None,
    ),
    "object_with_data.json": (
        {},
        (5, 0, 5, 0),
        lambda d: judged(d) == [(f"q {i}", "a", "b") for i in range(5)],
    ),
    "objective_codes_1_2.jsonl": (
        {},
        (50, 0, 50, 0),
        lambda d: (
            d.data.objective.tolist() == [0, 1] * 25 and d.data.names["objective"] == ("1", "2")
        ),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_an_input_that_is_easily_misread(name):
    options, expected, holds = READ[name]
    loaded = load_preferences(beside("cases", name), **options)
    assert figures(loaded) == expected and holds(loaded)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "label_index_autoj.jsonl",
            r"do not say .* 'label' mean; it has 0 \(32\), 2 \(8\).*label_v",
        ),
        ("kto_unpaired.jsonl", "is unpaired data: each row has one answer"),
        ("lfs_pointer.jsonl", "is a Git LFS pointer, .*`git lfs pull`"),
    ],
)
def test_an_input_that_nobody_can_read_is_refused_in_one_line(name, says):
    with pytest.raises(ValueError, match=says) as error:
        load_preferences(beside("cases", name))
    assert "\n" not in str(error.value)


def test_prompts_that_differ_by_blanks_are_the_same():
    train, test = (beside("cases", f"leak_{n}.jsonl") for n in ("train", "test_trailing_space"))
    alone = load_preferences(test).data.prompts
    assert alone[0] == "question 30 ", "the blank is kept"
    (found,) = audit(train, against=test).findings
    assert "10 of the 20 prompts" in str(found)


# -- real files, counted from their rows in plain Python ----------------------------------

Seen = tuple[str, str, str, int | None]
"""Words of the prompt, first and second answer, and 1, 0 or None (a tie) for the verdict."""


def raw_rows(path: Path) -> list[Any]:
    text = gzip.decompress(path.read_bytes()).decode()
    if path.name.endswith(".csv.gz"):
        return list(csv.DictReader(io.StringIO(text)))
    if path.name.endswith(".json.gz"):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines()]


def of_pandalm(row: Any) -> list[Seen]:
    texts = row["response1"], row["response2"]
    said = [int(row[f"annotator{k}"]) for k in (1, 2, 3)]
    top = max(said, key=said.count)
    label = {1: 1, 2: 0}.get(top) if said.count(top) > 1 else None
    known = all(isinstance(t, str) for t in texts) and (row["instruction"] + row["input"]).strip()
    return [(row["instruction"].strip(), *texts, label)] if known else []


def of_alpaca(row: Any) -> list[Seen]:
    if row["preference"] is None:
        return []
    label = {1: 1, 2: 0, 0: None}[row["preference"]]
    return [(row["instruction"], row["output_1"], row["output_2"], label)]


def of_llmbar(row: Any) -> list[Seen]:
    return [(row["input"], row["output_1"], row["output_2"], {1: 1, 2: 0}[row["label"]])]


def of_ultrafeedback(row: Any) -> list[Seen]:
    return [(row["prompt"], row["chosen"], row["rejected"], 1)]


def of_label_studio(row: Any) -> list[Seen]:
    data, done = row["data"], row["annotations"][0]["result"][0]["value"]["selected"]
    return [(data["prompt"], data["answer1"], data["answer2"], int(done == "left"))]


def of_autoj(row: Any) -> list[Seen]:
    label = {0: 1, 1: 0, 2: None}[row["label"]]
    return [(row["prompt"], row["response 1"], row["response 2"], label)]


def of_tulu(row: Any) -> list[Seen]:
    label = None if row["preference"] == "tie" else int(row["preference"].startswith("a-"))
    return [(row["prompt"], row["completion_a"], row["completion_b"], label)]


def of_votes(row: Any) -> list[Seen]:
    first, second = int(row["n_annotators_pref_0"]), int(row["n_annotators_pref_1"])
    label = None if first == second else int(first > second)
    texts = row["action_0_description"], row["action_1_description"]
    return [(row["situation"], *texts, label)]


def of_v1(row: Any) -> list[Seen]:
    chosen, rejected = row["chosen_messages"], row["rejected_messages"]
    says = lambda message: message["content"][0]["value"]
    return [(says(chosen[-2]), says(chosen[-1]), says(rejected[-1]), 1)]


def of_sharegpt(row: Any) -> list[Seen]:
    texts = (y if isinstance(y, str) else y["value"] for y in (row["chosen"], row["rejected"]))
    return [(row["conversations"][-1]["value"], *texts, 1)]


def of_tools(row: Any) -> list[Seen]:
    return [(row["conversations"][0]["value"], row["chosen"], row["rejected"], 1)]


def of_rmb(row: Any) -> list[Seen]:
    asked = row["conversation_input"][-1]["content"]
    return [(asked, row["chosen"]["answer"], row["reject"]["answer"], 1)]


def of_rmbench(row: Any) -> list[Seen]:
    return [(row["prompt"], *two, 1) for two in itertools.product(row["chosen"], row["rejected"])]


def of_turbo(row: Any) -> list[Seen]:
    asked = row["context"][-1]["content"]
    return [(asked, row["answer_w"]["content"], row["answer_l"]["content"], 1)]


FILES: dict[str, tuple[str, Callable[[Any], list[Seen]], tuple[int, int, int]]] = {
    # pairs, ties, rows lost
    "alpacaeval_gpt4_annotations.json.gz": ("public_files", of_alpaca, (802, 1, 2)),
    "autoj_testdata_pairwise.jsonl.gz": ("public_files", of_autoj, (1019, 373, 0)),
    "lf_dpo_en_demo.json.gz": ("public_files", of_sharegpt, (300, 0, 0)),
    "lf_v1_dpo_demo.jsonl.gz": ("public_files", of_v1, (10, 0, 0)),
    "llmbar_mtbench.json.gz": ("public_files", of_llmbar, (200, 0, 0)),
    "llmbar_natural.json.gz": ("public_files", of_llmbar, (100, 0, 0)),
    "ls_output.json.gz": ("public_files", of_label_studio, (32, 0, 0)),
    "medgpt_dpo_zh_500.jsonl.gz": ("public_files", of_sharegpt, (500, 0, 0)),
    "medgpt_toolcall.jsonl.gz": ("public_files", of_tools, (11, 0, 0)),
    "pandalm_testset_v1.json.gz": ("public_files", of_pandalm, (888, 105, 6)),
    "rmb_pairwise_S6.json.gz": ("public_files", of_rmb, (317, 0, 0)),
    "rmbench_chat.json.gz": ("public_files", of_rmbench, (1161, 0, 0)),
    "turbo_rm_train_preferences.jsonl.gz": ("public_files", of_turbo, (16, 0, 0)),
    "coalign_pairs.csv.gz": ("others", of_votes, (1743, 279, 0)),
    "pandalm_testset.csv.gz": ("others", of_pandalm, (894, 105, 0)),
    "tulu_human_eval.csv.gz": ("others", of_tulu, (774, 376, 0)),
    "ultrafeedback_binarized_eval.jsonl.gz": ("others", of_ultrafeedback, (200, 0, 0)),
    "ultrafeedback_binarized_train.jsonl.gz": ("others", of_ultrafeedback, (1000, 0, 0)),
}


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_is_what_its_rows_say(name):
    folder, seen, expected = FILES[name]
    path = beside("data", folder, name)
    rows = raw_rows(path)
    said = [seen(row) for row in rows]
    flat = [one for row in said for one in row]
    decided = [one for one in flat if one[3] is not None]
    by_hand = len(decided), len(flat) - len(decided), sum(not row for row in said)
    options = {"label_values": INDEX} if "autoj" in name else {}
    loaded = load_preferences(path, **options)
    assert loaded.rows == len(rows)
    assert (len(loaded.data), loaded.ties, loaded.lost) == by_hand == expected
    for (prompt, first, second, label), (got, chosen, rejected) in zip(decided, judged(loaded)):
        assert prompt.strip() in got
        won = (first, second) if label else (second, first)
        assert (chosen.strip(), rejected.strip()) == tuple(y.strip() for y in won)
    if loaded.data.order_known:
        assert loaded.data.label.tolist() == [one[3] for one in decided]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("autoj_testdata_pairwise.jsonl.gz", "do not say .* 'label' mean.*label_values"),
        ("lf_kto_en_demo.json.gz", "is unpaired data: .*'messages'. and a mark .'label'."),
        ("turbo_rm_train_kto.jsonl.gz", "is unpaired data: .* a mark .'is_desirable'."),
        ("jailbroken_responses.jsonl.gz", "several answers in 'responses'.*lacks scores, ranks"),
    ],
)
def test_a_real_file_that_is_refused(name, says):
    with pytest.raises(ValueError, match=says) as error:
        load_preferences(beside("data", "public_files", name))
    assert "\n" not in str(error.value)


# -- made-up rows of the kinds that no file here has --------------------------------------

TWO = {"prompt": "q", "response_a": "a", "response_b": "b"}
A, B = ("q", "a", "b"), ("q", "b", "a")
TOOL = {"name": "t", "description": "d"}
THREE = {"prompt": "q", "responses": ["a", "b", "c"]}
NO_TIE = ("winner_model_a", "winner_model_b", "winner_tie")


@pytest.mark.parametrize(
    ("layout", "rows", "expected", "ties"),
    [
        pytest.param(
            "chosen_rejected",
            [
                {"chosen": f"What is {i} + 1? It is.", "rejected": f"What is {i} + 1? No."}
                for i in range(2)
            ],
            [("What is 0 + 1?", "It is.", "No."), ("What is 1 + 1?", "It is.", "No.")],
            0,
            id="the prompt inside both strings",
        ),
        pytest.param(
            "chosen_rejected",
            [{"prompt": "Say it.", "chosen": "Say it. a", "rejected": "Say it. b"}],
            [("Say it.", "a", "b")],
            0,
            id="the prompt before both answers",
        ),
        pytest.param(
            "transcripts",
            [
                {
                    "prompt": "q",
                    "chosen": "Human: q\n\nAssistant: a",
                    "rejected": "Human: q\n\nAssistant: b",
                }
            ],
            [("Human: q", "a", "b")],
            0,
            id="a prompt beside whole transcripts",
        ),
        pytest.param(
            "ranked",
            [{**THREE, "best_index": 2}, {**THREE, "prompt": "p", "best_index": 0}],
            [("q", "c", "a"), ("q", "c", "b"), ("p", "a", "b"), ("p", "a", "c")],
            0,
            id="the best of n by index",
        ),
        pytest.param(
            "ranked",
            [{**THREE, "best": "c"}],
            [("q", "c", "a"), ("q", "c", "b")],
            0,
            id="the best of n by text",
        ),
        pytest.param(
            "ranked",
            [{"prompt": "q", "answers": [{"text": t, "chosen": t == "b"} for t in "ab"]}],
            [B],
            0,
            id="the best of n by a flag",
        ),
        pytest.param(
            "ranked", [{**THREE, "ranks": [2, 1, 2]}], [B, ("q", "b", "c")], 1, id="ranks"
        ),
        pytest.param(
            "ranked",
            [
                {"prompt": "q", "a": 0, **{f"response_{k}": "abc"[k] for k in range(3)}}
                | {f"score_{k}": s for k, s in enumerate((1, 2.5, 1))}
            ],
            [B, ("q", "b", "c")],
            1,
            id="a column for each answer and each score",
        ),
        pytest.param("pairs", [{**TWO, "score_a": 1, "score_b": "2.5"}], [B], 0, id="two scores"),
        pytest.param("pairs", [{**TWO, "rank_a": 1, "rank_b": 2}], [A], 0, id="two ranks"),
        pytest.param("pairs", [{**TWO, "votes_a": 1, "votes_b": 4}], [B], 0, id="votes"),
        pytest.param(
            "pairs",
            [{**TWO, **dict(zip(NO_TIE, flags))} for flags in ((1, 0, 0), (0, 1, 0), (0, 0, 1))],
            [A, B],
            1,
            id="one-hot winners",
        ),
        pytest.param(
            "pairs",
            [
                {**TWO, "model_a": "x", "model_b": "y", "winner": "y"},
                {**TWO, "model_a": "z", "model_b": "x", "winner": "z"},
            ],
            [B, A],
            0,
            id="the model's name as winner",
        ),
        pytest.param(
            "pairs",
            [{**TWO, "b_is_better": True}, {**TWO, "b_is_better": False}],
            [B, A],
            0,
            id="a yes or no about one answer",
        ),
        pytest.param(
            "pairs",
            [{**TWO, "verdict": f"[[A{sign}B]]"} for sign in (">>", "=", "<")],
            [A, B],
            1,
            id="signs",
        ),
        pytest.param(
            "pairs",
            [
                {
                    "prompt": ["q", "r"],
                    "response_a": ["s", "a"],
                    "response_b": ["s", "b"],
                    "winner": "model_b",
                }
            ],
            [("Human: q\n\nAssistant: s\n\nHuman: r", "b", "a")],
            0,
            id="turns as lists",
        ),
        pytest.param(
            "arena",
            [
                {
                    "conversation_a": [user("q"), assistant("a"), user("r"), assistant("a2")],
                    "conversation_b": [user("q"), assistant("b"), user("r"), assistant("b2")],
                    "winner": winner,
                    "turn": turn,
                }
                for winner, turn in (("model_a", 1), ("model_b", 2))
            ],
            [A, ("q", "b\n\nHuman: r\n\nAssistant: b2", "a\n\nHuman: r\n\nAssistant: a2")],
            0,
            id="the turn that was judged",
        ),
        pytest.param(
            "chosen_rejected",
            [
                {
                    "system": "S",
                    "history": [["h", "i"]],
                    "instruction": "q",
                    "input": "more",
                    "chosen": "a",
                    "rejected": "b",
                }
            ],
            [("S\n\nHuman: h\n\nAssistant: i\n\nHuman: q\n\nmore", "a", "b")],
            0,
            id="system, history and input",
        ),
        pytest.param(
            "messages",
            [
                {
                    "prompt": [user("q")],
                    "chosen": [assistant(None, tool_calls=[call("t")])],
                    "rejected": [assistant("b")],
                    "tools": [TOOL],
                }
            ],
            [(f"Tools: [{json.dumps(TOOL, sort_keys=True)}]\n\nq", "[tool call] t({})", "b")],
            0,
            id="tools and a tool call",
        ),
        pytest.param(
            "pairs",
            [
                {
                    "fields": TWO,
                    "responses": [
                        {
                            "user_id": "u",
                            "status": "submitted",
                            "values": {"preference": {"value": said}},
                        },
                        {"user_id": "v", "status": "discarded", "values": {}},
                    ],
                }
                for said in ("response_b", "response_a")
            ],
            [B, A],
            0,
            id="an export of Argilla",
        ),
        pytest.param(
            "ranked",
            [
                {
                    "text": "q",
                    "options": [{"id": 7, "text": "a"}, {"id": 9, "text": "b"}],
                    "accept": accept,
                    "answer": "accept",
                }
                for accept in ([9], [7])
            ],
            [B, A],
            0,
            id="an export of Prodigy",
        ),
    ],
)
def test_a_kind(layout, rows, expected, ties):
    loaded = load_preferences(rows)
    assert (loaded.layout, loaded.lost, loaded.ties) == (layout, 0, ties)
    assert judged(loaded) == expected and loaded.meaning


def test_scores_of_answers_are_strengths_and_name_their_models():
    answers = [dict(zip(("text", "score", "model"), one)) for one in zip("abc", (1, 3, 1), "xyx")]
    loaded = load_preferences([{"prompt": "q", "completions": answers}])
    assert judged(loaded) == [B, ("q", "b", "c")] and loaded.ties == 1
    assert np.abs(loaded.data.strength).tolist() == [2, 2]
    by = dict(zip(loaded.data.responses, loaded.data.names_of("model", loaded.data.model)))
    assert by == {"a": "x", "b": "y", "c": "x"}


def test_rated_rows_are_compared_within_their_prompt():
    """One answer a row, as in HelpSteer 2: the other ratings are latents."""
    rows = [
        {"prompt": p, "response": y, "helpfulness": h, "correctness": c, "verbosity": v}
        for p, y, h, c, v in (
            ("q", "a", 3, 4, 1), ("q", "b", 1, 2, 2), ("r", "a", 2, 2, 2), ("r", "b", 2, 3, 1),
            ("s", "a", 4, 4, 4),
        )
    ]  # fmt: skip
    loaded = load_preferences(rows)
    assert loaded.layout == "rated" and judged(loaded) == [A] and loaded.ties == loaded.lost == 1
    assert abs(loaded.data.strength[0]) == 2 and not loaded.data.order_known
    assert loaded.data.names["response_latents"] == ("correctness", "verbosity")
    latents = dict(zip(loaded.data.responses, loaded.data.response_latents.tolist()))
    assert latents == {"a": [4, 1], "b": [2, 2]}
    assert str(loaded.bad[0]).startswith("list, row 5: is the only answer to its prompt")


def test_several_annotators_count_by_their_majority():
    said = [("A", "B", "A"), ("B", "B", None), ("A", "B", None), ("B", "A", "B")]
    rows = [{**TWO, "prompt": f"q{i}"} for i in range(len(said))]
    rows = [r | {f"rater_{k}": v for k, v in enumerate(s, 1)} for r, s in zip(rows, said)]
    loaded = load_preferences(rows)
    assert loaded.data.label.tolist() == [1, 0, 0] and loaded.ties == 1
    assert np.allclose(loaded.data.probability, [2 / 3, 0, 1 / 3])


def test_soft_labels_are_probabilities():
    shares = (0.8, 0.25, 0.5, 1.0, 0.0)
    rows = [{**TWO, "prompt": f"q{i}", "label": p} for i, p in enumerate(shares)]
    with pytest.raises(ValueError, match=r"do not say .*columns=\{'probability': 'label'\}"):
        load_preferences(rows)
    rows += [{**TWO, "label": v} for v in (1.5, None)]
    loaded = load_preferences(rows, columns={"probability": "label"})
    assert loaded.data.label.tolist() == [1, 0, 1, 0] and (loaded.ties, loaded.lost) == (1, 2)
    assert loaded.data.probability.tolist() == [0.8, 0.25, 1.0, 0.0]
    assert loaded.bad[0].reason == "label is 1.5, expected 0 to 1"


def test_label_studio_with_two_annotators_and_one_who_cancelled():
    def done(by: int, *selected: str, **more: object) -> dict[str, Any]:
        result = [{"type": "pairwise", "value": {"selected": s}} for s in selected]
        return {"completed_by": by, "result": result, **more}

    data = {"prompt": "q", "answer1": "a", "answer2": "b"}
    two = [done(1, "left"), done(2, "right"), done(3, was_cancelled=True)]
    loaded = load_preferences(
        [
            {"data": data, "annotations": two},
            {"data": {**data, "prompt": "p"}, "annotations": [done(3, was_cancelled=True)]},
        ]
    )
    assert judged(loaded) == [A, B] and len(set(loaded.data.annotator.tolist())) == 2
    assert (loaded.rows, loaded.lost) == (2, 1)


def test_a_system_message_on_one_side_is_no_pair():
    pair = {k: [user("q"), assistant(k)] for k in ("chosen", "rejected")}
    one = {**pair, "chosen": [{"role": "system", "content": "S"}, *pair["chosen"]]}
    loaded = load_preferences([pair, one, pair])
    assert [b.where for b in loaded.bad] == ["list, row 2"] and len(loaded.data) == 2
    assert "begins with a system message and" in loaded.bad[0].reason


def test_choices_against_their_own_ratings_are_counted():
    rows = [
        {"prompt": f"q{i}", "chosen": "a", "rejected": "b", "chosen_score": s, "rejected_score": 3}
        for i, s in enumerate((1, 2, 3, 4, 5))
    ]
    loaded = load_preferences(rows)
    assert {y for _, y, _ in judged(loaded)} == {"a"}
    assert any("In 2 of 5 rows" in note and "in 1 both" in note for note in loaded.notes)


# -- what a label means -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "unsure"),
    [
        ([0, 1, 2], True),
        ([1, 2], True),
        (["x", "y"], True),
        ([True, False], False),
        ([0, 1], False),
        (["A", "B"], False),
    ],
)
def test_a_label_that_the_columns_do_not_settle_is_asked_for(values, unsure):
    rows = [{**TWO, "prompt": f"q{i}", "label": v} for i, v in enumerate(values * 4)]
    if not unsure:
        assert load_preferences(rows).data.label.tolist()[:2] == [
            int(values[0] in (1, True, "A")),
            int(values[1] in (1, True)),
        ]
        return
    with pytest.raises(
        ValueError, match="do not say what the values of 'label' mean.*label_values"
    ):
        load_preferences(rows)
    means = dict(zip(values, ("second", "first", "tie")))
    loaded = load_preferences(rows, label_values=means)
    assert loaded.data.label.tolist() == [0, 1] * 4 and loaded.ties == 4 * (len(values) - 2)
    assert loaded.lost == 0 and "(as given)" in loaded.meaning


def test_a_typo_among_good_words_is_a_bad_row():
    rows = [{**TWO, "prompt": f"q{i}", "winner": "model_a"} for i in range(40)]
    rows[7]["winner"] = "modl_a"
    loaded = load_preferences(rows)
    assert [str(b).partition(":")[0] for b in loaded.bad] == ["list, row 8"] and loaded.lost == 1


def test_label_values_are_checked():
    with pytest.raises(
        ValueError, match="label_values says 0 means 'left', expected 'first', 'sec"
    ):
        load_preferences([{**TWO, "label": 0}], label_values={0: "left"})
    means = {0: "first", 1: "second"}
    assert judged(load_preferences([{**TWO, "label": v} for v in "01"], label_values=means)) == [
        A,
        B,
    ]
    with pytest.raises(ValueError, match=r"do not say .* it has 5 \(1\)"):
        load_preferences([{**TWO, "label": v} for v in (0, 1, 5)], label_values=means)
