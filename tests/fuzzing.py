"""Generated preference files, whole and damaged, with the truth about each row.

``generate(seed, folder)`` writes one file: a layout, a container and a damage, drawn with the seed.
``problems(file)`` loads it and says in which ways the loader broke its promises. Every prompt and
every answer carries a tag (``q0007x``, ``a0007y1x``: row 7, its answer 1), so the check can tell
from the texts alone which row a judgement comes from and which answer won.

From the root of the repository, ``python tests/fuzzing.py 2000`` generates, checks and counts.
"""

from __future__ import annotations

import collections
import copy
import csv
import dataclasses
import gzip
import io
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import causalpref as cp

SECONDS = 10
"""A file that takes longer hangs. Reading one takes milliseconds."""

# -- rows --------------------------------------------------------------------------------

WORDS = {
    kind: text.split("_")
    for kind, text in {
        "ascii": "the_old_mill_stands_by the_river,_and_two_bridges_cross_it.",
        "latin": "größer_élan_über_naïve_señor_façade_Übung_café,_très_bien",
        "any": "великий_大きな山_สวัสดี_🙂_\u202eabc_e\u0301_ﬁne_— “quoted”_ق_𝔘_größer_tab\there",
    }.items()
}
ODD = ("", "N/A", "null", "None", "nan", "0", "1.0", "true", "-")
"""Answers that are texts, however empty they look."""


class Texts:
    """The texts of one row."""

    def __init__(self, rng: random.Random, row: int, words: list[str], odd: float = 0.0) -> None:
        self.rng, self.row, self.words = rng, row, words
        self.odd = rng.random() < odd
        self.untagged: int | None = None

    def some(self, most: int = 8) -> str:
        return " ".join(self.rng.choices(self.words, k=self.rng.randint(1, most)))

    def prompt(self) -> str:
        return f"{self.some(3)} q{self.row:04d}x {self.some()}"

    def answer(self, k: int) -> str:
        if self.odd and self.untagged is None:
            self.untagged = k
            return self.rng.choice(ODD)
        return f"{self.some(3)} a{self.row:04d}y{k}x {self.some()}"


Wins = list[tuple[int, int]]


@dataclass
class Row:
    """What one row says: which of its answers beat which, and which are tied."""

    record: Any
    wins: Wins = field(default_factory=list)
    ties: Wins = field(default_factory=list)
    allowed: Wins | None = None  # where a layout may be read as several judgements
    number: int = -1
    untagged: int | None = None
    damage: str = ""
    label_hit: bool = False
    copies: int = 1

    def possible(self) -> set[tuple[int | None, int | None]]:
        return {self.seen(w) for w in (self.wins if self.allowed is None else self.allowed)}

    def seen(self, win: tuple[int, int]) -> tuple[int | None, int | None]:
        a, b = (None if k == self.untagged else k for k in win)
        return a, b


@dataclass
class Plan:
    """One layout with its options drawn: the same for all rows of a file."""

    make: Callable[[Texts], Row]
    label_keys: tuple[str, ...] = ()
    label_values: dict[Any, str] | None = None
    reads: str = "read"  # "read", "may ask", "may refuse", "refuse"
    tabular: bool = True  # fits into CSV: strings, numbers, and messages as JSON
    single: bool = True  # one judgement a row


Layout = Callable[[random.Random], Plan]
LAYOUTS: dict[str, Layout] = {}


def layout(make: Layout) -> Layout:
    LAYOUTS[make.__name__] = make
    return make


def two(t: Texts) -> tuple[int, int, str, str]:
    """Winner, loser and their texts. Which index wins is a coin flip."""
    w, v = t.rng.sample([0, 1], 2)
    return w, v, t.answer(w), t.answer(v)


def extras(rng: random.Random) -> Callable[[Texts], dict[str, Any]]:
    """Columns that no layout needs."""
    kept = rng.sample(["id", "source", "dataset", "note", "language"], rng.randint(0, 3))
    return lambda t: {k: t.row if k == "id" else f"{k} {t.row % 3}" for k in kept}


def says(role: str, text: Any, style: str = "openai") -> dict[str, Any]:
    if style == "openai":
        return {"role": role, "content": text}
    if style == "parts":
        return {"role": role, "content": [{"type": "text", "text": text}]}
    if style == "values":
        return {"role": role, "content": [{"type": "text", "value": text}]}
    return {"from": role, "value": text}


def roles(rng: random.Random, style: str) -> tuple[str, str]:
    if style == "sharegpt":
        return rng.choice([("human", "gpt"), ("user", "assistant"), ("human", "model")])
    return rng.choice([("user", "assistant")] * 3 + [("prompter", "assistant"), ("user", "bot")])


def talk(rng: random.Random, style: str = "openai") -> Callable[[Texts], list[dict[str, Any]]]:
    """The messages before the answer: perhaps a system message, perhaps earlier turns."""
    user, bot = roles(rng, style)
    system, turns = rng.random() < 0.3, rng.choice([0, 0, 1, 2])

    def before(t: Texts) -> list[dict[str, Any]]:
        said = [says("system", "Be brief.", style)] * system
        for _ in range(turns):
            said += [says(user, t.some(), style), says(bot, t.some(), style)]
        return [*said, says(user, t.prompt(), style)]

    before.bot = bot  # type: ignore[attr-defined]
    return before


@layout
def strings(rng: random.Random) -> Plan:
    prompt, chosen, rejected = rng.choice(
        [
            ("prompt", "chosen", "rejected"),
            ("instruction", "chosen", "rejected"),
            ("question", "chosen", "rejected"),
            ("instruction", "chosen_response", "rejected_response"),
            ("question", "response_j", "response_k"),
        ]
    )
    more = extras(rng)

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        return Row({prompt: t.prompt(), chosen: good, rejected: poor} | more(t), [(w, v)])

    return Plan(make)


@layout
def transcripts(rng: random.Random) -> Plan:
    turns, beside = rng.randint(0, 2), rng.random() < 0.3

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        asked = t.prompt()
        said = (
            "".join(f"\n\nHuman: {t.some()}\n\nAssistant: {t.some()}" for _ in range(turns))
            + f"\n\nHuman: {asked}\n\nAssistant:"
        )
        record = {"chosen": f"{said} {good}", "rejected": f"{said} {poor}"}
        return Row({"prompt": said, **record} if beside else record, [(w, v)])

    return Plan(make)


@layout
def messages(rng: random.Random) -> Plan:
    """Full conversations on both sides, with or without the prompt beside them."""
    style = rng.choice(["openai", "openai", "parts", "sharegpt"])
    before, beside, scores = talk(rng, style), rng.random() < 0.4, rng.random() < 0.3
    more = extras(rng)

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        said = before(t)
        last = said[-1].get("content", said[-1].get("value"))
        record: dict[str, Any] = (
            {"prompt": last if isinstance(last, str) else ""}
            if (beside and isinstance(last, str))
            else {}
        )
        record |= {
            "chosen": [*said, says(before.bot, good, style)],
            "rejected": [*said, says(before.bot, poor, style)],
        }
        if scores:
            record |= {"score_chosen": 8.0, "score_rejected": 5.5}
        return Row(record | more(t), [(w, v)])

    return Plan(make)


@layout
def explicit_messages(rng: random.Random) -> Plan:
    """The prompt as messages, and the answers as messages, one message, or strings."""
    style = rng.choice(["openai", "openai", "parts", "sharegpt"])
    before, form = talk(rng, style), rng.choice(["list", "list", "object", "string"])
    system_beside = style == "openai" and rng.random() < 0.2

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        put = {
            "list": lambda text: [says(before.bot, text, style)],
            "object": lambda text: says(before.bot, text, style),
            "string": lambda text: text,
        }[form]
        record = {"prompt": before(t), "chosen": put(good), "rejected": put(poor)}
        return Row(record | ({"source": "web"} if system_beside else {}), [(w, v)])

    return Plan(make)


@layout
def sharegpt(rng: random.Random) -> Plan:
    before, form = talk(rng, "sharegpt"), rng.choice(["object", "object", "string", "list"])
    system, tools = rng.random() < 0.2, rng.random() < 0.2

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        put = {
            "list": lambda text: [says(before.bot, text, "sharegpt")],
            "object": lambda text: says(before.bot, text, "sharegpt"),
            "string": lambda text: text,
        }[form]
        record = {"conversations": before(t), "chosen": put(good), "rejected": put(poor)}
        record |= {"system": "Be kind."} if system else {}
        return Row(record | ({"tools": '[{"name": "search"}]'} if tools else {}), [(w, v)])

    return Plan(make)


@layout
def alpaca(rng: random.Random) -> Plan:
    """LLaMA-Factory: the input joins the instruction, and earlier turns are in ``history``."""
    history, system = rng.random() < 0.3, rng.random() < 0.3

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        record: dict[str, Any] = {"instruction": "Translate.", "input": t.prompt()}
        if t.rng.random() < 0.3:
            record = {"instruction": t.prompt(), "input": ""}
        record |= {"chosen": good, "rejected": poor}
        record |= {"system": "Be brief."} if system else {}
        if history:
            record["history"] = [[t.some(), t.some()] for _ in range(t.rng.randint(0, 2))]
        return Row(record, [(w, v)])

    return Plan(make, tabular=not history)


@layout
def ms_swift(rng: random.Random) -> Plan:
    before, form = talk(rng), rng.choice(["response", "response", "messages"])

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        said = before(t)
        record: dict[str, Any] = {"messages": [*said, says("assistant", good)]}
        if form == "response":
            record["rejected_response"] = poor
        else:
            record["rejected_messages"] = [*said, says("assistant", poor)]
        return Row(record, [(w, v)])

    return Plan(make)


@layout
def axolotl(rng: random.Random) -> Plan:
    before, intel = talk(rng), rng.random() < 0.4

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        if intel:
            record = {"system": "", "question": t.prompt(), "chosen": good, "rejected": poor}
        else:
            record = {
                "messages": before(t),
                "chosen": says("assistant", good),
                "rejected": says("assistant", poor),
            }
        return Row(record, [(w, v)])

    return Plan(make)


@layout
def context_and_answers(rng: random.Random) -> Plan:
    """Turbo Alignment, RMB, and pairs of message lists with weights."""
    form = rng.choice(["turbo", "rmb", "weights"])

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        asked = [says("user", t.prompt())]
        if form == "turbo":
            record = {
                "context": asked,
                "answer_w": says("bot", good),
                "answer_l": says("bot", poor),
            }
        elif form == "rmb":
            record = {
                "conversation_input": [m | {"language": "English"} for m in asked],
                "chosen": {"llm_name": "m1", "answer": good},
                "reject": {"llm_name": "m2", "answer": poor},
            }
        else:
            asked = [says("user", t.prompt(), "values") | {"loss_weight": 0.0}]
            record = {
                f"{side}_messages": [
                    *asked,
                    says("assistant", text, "values") | {"loss_weight": 1.0},
                ]
                for side, text in (("chosen", good), ("rejected", poor))
            }
        return Row(record, [(w, v)])

    return Plan(make)


@layout
def tool_calls(rng: random.Random) -> Plan:
    tools = rng.random() < 0.5

    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        asked = says("user", t.prompt())
        function = {"name": "weather", "arguments": '{"city": "Oslo"}'}
        call = {"id": "c", "type": "function", "function": function}
        called = {"role": "assistant", "content": None, "tool_calls": [call]}
        using = [asked, called, {"role": "tool", "content": "12 C"}]
        sides = [using, [asked]] if t.rng.random() < 0.5 else [[asked], using]
        record: dict[str, Any] = {
            "chosen": [*sides[0], says("assistant", good)],
            "rejected": [*sides[1], says("assistant", poor)],
        }
        return Row(record | ({"tools": [{"name": "weather"}]} if tools else {}), [(w, v)])

    return Plan(make)


def by_score(scores: list[float]) -> tuple[Wins, Wins]:
    pairs = list(itertools.permutations(range(len(scores)), 2))
    wins = [(a, b) for a, b in pairs if scores[a] > scores[b]]
    return wins, [(a, b) for a, b in pairs if a < b and scores[a] == scores[b]]


@layout
def ranked(rng: random.Random) -> Plan:
    form, prompt = rng.choice(["objects", "objects", "list"]), rng.choice(["prompt", "question"])
    n = rng.randint(2, 5)

    def make(t: Texts) -> Row:
        order = t.rng.sample(range(n), n)  # the best first
        texts = {k: t.answer(k) for k in order}
        wins = list(itertools.combinations(order, 2))
        if form == "list":
            record = {prompt: t.prompt(), "ranked_responses": [texts[k] for k in order]}
        else:
            shown = [
                {"answer": texts[k], "rank": i + 1, "model": f"m{k}"} for i, k in enumerate(order)
            ]
            t.rng.shuffle(shown)
            record = {prompt: t.prompt(), "answers": shown}
        return Row(record, wins)

    reads = "may refuse" if form == "list" else "read"
    return Plan(
        make, ("rank", "ranked_responses", "answers"), reads=reads, tabular=False, single=n == 2
    )


@layout
def scored(rng: random.Random) -> Plan:
    form, n = rng.choice(["lists", "lists", "objects"]), rng.randint(2, 4)
    answers = rng.choice(["responses", "answers", "completions"])

    def make(t: Texts) -> Row:
        scores = [float(t.rng.randint(1, 5)) for _ in range(n)]
        texts = [t.answer(k) for k in range(n)]
        record: dict[str, Any] = {"prompt": t.prompt()}
        if form == "lists":
            record |= {answers: texts, "scores": scores}
        else:
            record[answers] = [{"text": x, "score": s} for x, s in zip(texts, scores)]
        return Row(record, *by_score(scores))

    return Plan(make, ("score", "scores", answers), tabular=False, single=n == 2)


@layout
def best_of_n(rng: random.Random) -> Plan:
    form, n = rng.choice(["losers", "reward bench 2", "rm bench"]), rng.randint(2, 4)

    def make(t: Texts) -> Row:
        record: dict[str, Any] = {"prompt": t.prompt()}
        good = range(3 if form == "rm bench" else 1)
        poor = range(len(good), len(good) + (3 if form == "rm bench" else n))
        first = [t.answer(k) for k in good]
        record |= {
            "chosen": first[0] if form == "losers" else first,
            "rejected": [t.answer(k) for k in poor],
        }
        wins = list(itertools.product(good, poor))
        if form == "rm bench":
            return Row(record | {"id": t.row, "subset": "chat"}, [], allowed=wins)
        return Row(record, wins)

    return Plan(make, tabular=False, single=False)


@layout
def reward_bench(rng: random.Random) -> Plan:
    def make(t: Texts) -> Row:
        w, v, good, poor = two(t)
        record = {"prompt": t.prompt(), "chosen": good, "chosen_model": "m1"}
        record |= {"rejected": poor, "rejected_model": "m2", "subset": "chat", "id": t.row}
        return Row(record, [(w, v)])

    return Plan(make)


def compared(t: Texts, ties: float = 0.2) -> tuple[str, str, str, Row]:
    """Two answers in the order shown, and who wins: "first", "second" or "tie"."""
    said = "tie" if t.rng.random() < ties else t.rng.choice(["first", "second"])
    row = Row({}, {"first": [(0, 1)], "second": [(1, 0)], "tie": []}[said])
    row.ties = [(0, 1)] if said == "tie" else []
    return t.answer(0), t.answer(1), said, row


@layout
def numeric_labels(rng: random.Random) -> Plan:
    """Numbers whose meaning the columns do not tell: each convention exists."""
    prompt, first, second, values = rng.choice(
        [
            ("prompt", "response 1", "response 2", {0: "first", 1: "second", 2: "tie"}),
            ("prompt", "response_1", "response_2", {1: "first", 2: "second", 0: "tie"}),
            ("input", "output_1", "output_2", {1: "first", 2: "second"}),
            ("question", "answer_a", "answer_b", {0: "tie", 1: "first", 2: "second"}),
            ("prompt", "response_a", "response_b", {1: "first", 0: "second"}),
        ]
    )
    code = {name: value for value, name in values.items()}
    column = rng.choice(["label", "label", "preference"]) if len(values) == 3 else "label"

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.2 if "tie" in code else 0.0)
        row.record = {prompt: t.prompt(), first: one, second: other, column: code[said]}
        return row

    return Plan(make, (column,), values, "may ask")


@layout
def named_labels(rng: random.Random) -> Plan:
    prompt, first, second, column, names = rng.choice(
        [
            ("prompt", "response_a", "response_b", "label", ("A", "B", "tie")),
            ("prompt", "response_a", "response_b", "winner", ("a", "b", "tie")),
            ("question", "answer_a", "answer_b", "preferred", ("A", "B", "tie")),
            ("prompt", "response_a", "response_b", "winner", ("response_a", "response_b", "tie")),
            ("prompt", "response_a", "response_b", "winner", ("model_a", "model_b", "tie")),
            ("prompt", "response_1", "response_2", "label", ("first", "second", "tie")),
        ]
    )
    code = dict(zip(("first", "second", "tie"), names))

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t)
        row.record = {prompt: t.prompt(), first: one, second: other, column: code[said]}
        return row

    return Plan(make, (column,), {v: k for k, v in code.items()})


@layout
def arena(rng: random.Random) -> Plan:
    more = extras(rng)

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t)
        asked = says("user", t.prompt())
        tie = t.rng.choice(["tie", "tie (bothbad)"])
        row.record = {
            "question_id": str(t.row),
            "model_a": "m1",
            "model_b": "m2",
            "winner": {"first": "model_a", "second": "model_b", "tie": tie}[said],
            "conversation_a": [asked, says("assistant", one)],
            "conversation_b": [asked, says("assistant", other)],
        } | more(t)
        return row

    return Plan(make, ("winner",))


@layout
def mt_bench(rng: random.Random) -> Plan:
    def make(t: Texts) -> Row:
        t.odd = False
        turn = t.rng.choice([1, 2])
        k = 2 * (turn - 1)
        said = "tie" if t.rng.random() < 0.2 else t.rng.choice(["first", "second"])
        asked, again = says("user", t.prompt()), says("user", "Shorter.")
        sides = [
            [asked, says("assistant", t.answer(s)), again, says("assistant", t.answer(s + 2))]
            for s in (0, 1)
        ]
        record = {
            "question_id": t.row,
            "model_a": "m1",
            "model_b": "m2",
            "winner": {"first": "model_a", "second": "model_b", "tie": "tie"}[said],
            "judge": "expert_1",
            "conversation_a": sides[0],
            "conversation_b": sides[1],
            "turn": turn,
        }
        win = {"first": [(k, k + 1)], "second": [(k + 1, k)], "tie": []}[said]
        return Row(record, win, [(k, k + 1)] if said == "tie" else [])

    return Plan(make, ("winner", "turn", "conversation_a", "conversation_b"), tabular=False)


@layout
def arena_columns(rng: random.Random) -> Plan:
    listed = rng.random() < 0.5

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t)
        put = (lambda text: json.dumps([text])) if listed else (lambda text: text)
        row.record = {
            "id": t.row,
            "model_a": "m1",
            "model_b": "m2",
            "prompt": put(t.prompt()),
            "response_a": put(one),
            "response_b": put(other),
            "winner_model_a": int(said == "first"),
            "winner_model_b": int(said == "second"),
            "winner_tie": int(said == "tie"),
        }
        return row

    return Plan(make, ("winner_model_a", "winner_model_b", "winner_tie"))


@layout
def alpaca_eval(rng: random.Random) -> Plan:
    soft = rng.random() < 0.5

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.1)
        shift = t.rng.uniform(0.0, 0.45) if soft else 0.0
        row.record = {
            "instruction": t.prompt(),
            "output_1": one,
            "generator_1": "base",
            "dataset": "helpful_base",
            "output_2": other,
            "generator_2": "mine",
            "annotator": "judge",
            "preference": {"first": 1.0 + shift, "second": 2.0 - shift, "tie": 1.5}[said],
        }
        return row

    return Plan(make, ("preference",))


@layout
def pandalm(rng: random.Random) -> Plan:
    """Several annotators in columns. A row may be read as one judgement or as three."""

    def make(t: Texts) -> Row:
        votes = t.rng.choices([0, 1, 2], k=3)
        if t.rng.random() < 0.6:
            votes = [votes[0]] * 3
        win = {0: None, 1: (0, 1), 2: (1, 0)}
        record = {"idx": t.row, "instruction": "Rewrite.", "input": t.prompt()}
        record |= {"response1": t.answer(0), "response2": t.answer(1)}
        record |= {f"annotator{i + 1}": v for i, v in enumerate(votes)}
        allowed = [w for v in votes if (w := win[v]) is not None]
        wins = allowed[:1] if len(set(votes)) == 1 else []
        return Row(record, wins, [(0, 1)] if 0 in votes else [], allowed)

    labels = {0: "tie", 1: "first", 2: "second"}
    keys = ("annotator1", "annotator2", "annotator3")
    return Plan(make, keys, labels, "may ask", single=False)


@layout
def shp(rng: random.Random) -> Plan:
    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.0)
        high, low = t.rng.randint(20, 90), t.rng.randint(1, 10)
        row.record = {
            "post_id": f"p{t.row}",
            "domain": "askculinary_train",
            "history": t.prompt(),
            "human_ref_A": one,
            "human_ref_B": other,
            "labels": int(said == "first"),
            "score_A": high if said == "first" else low,
            "score_B": low if said == "first" else high,
        }
        return row

    return Plan(make, ("labels", "score_A", "score_B"))


@layout
def score_columns(rng: random.Random) -> Plan:
    prompt, first, second, s1, s2 = rng.choice(
        [
            ("question", "answer_A", "answer_B", "score_A", "score_B"),
            ("prompt", "response_a", "response_b", "score_a", "score_b"),
            ("question", "answer_0", "answer_1", "score_0", "score_1"),
        ]
    )

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.1)
        high, low = t.rng.randint(6, 90), t.rng.randint(-3, 5)
        values = {"first": (high, low), "second": (low, high), "tie": (low, low)}[said]
        row.record = {prompt: t.prompt(), first: one, second: other, s1: values[0], s2: values[1]}
        return row

    return Plan(make, (s1, s2))


@layout
def webgpt(rng: random.Random) -> Plan:
    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.1)
        size = {"first": 0.5, "second": -0.5, "tie": 0.0}[said]
        quotes = {"title": ["A page"], "extract": ["its words"]}
        row.record = {
            "question": {"dataset": "eli5", "id": str(t.row), "full_text": t.prompt()},
            "quotes_0": quotes,
            "answer_0": one,
            "score_0": size,
            "quotes_1": quotes,
            "answer_1": other,
            "score_1": -size or 0.0,
        }
        return row

    return Plan(make, ("score_0", "score_1"), tabular=False)


@layout
def summaries(rng: random.Random) -> Plan:
    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.0)
        row.record = {
            "info": {"id": f"t3_{t.row}", "post": t.prompt(), "title": "A title", "subreddit": "r"},
            "summaries": [
                {"text": one, "policy": "sup1", "note": ""},
                {"text": other, "policy": "ref", "note": ""},
            ],
            "choice": int(said == "second"),
            "worker": f"w{t.row % 3}",
            "batch": "batch3",
            "split": "train",
            "extra": {"confidence": 7},
        }
        return row

    return Plan(make, ("choice", "summaries"), tabular=False)


@layout
def ultrafeedback(rng: random.Random) -> Plan:
    aspects = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    n = rng.randint(2, 4)

    def make(t: Texts) -> Row:
        scores = [t.rng.randint(1, 5) for _ in range(n)]
        record = {
            "source": "evol_instruct",
            "instruction": t.prompt(),
            "models": [f"m{k}" for k in range(n)],
            "completions": [
                {
                    "annotations": {a: {"Rating": str(s), "Rationale": "So."} for a in aspects},
                    "model": f"m{k}",
                    "response": t.answer(k),
                    "overall_score": 2.0 * s,
                    "critique": "Fine.",
                }
                for k, s in enumerate(scores)
            ],
        }
        return Row(record, *by_score([float(s) for s in scores]))

    return Plan(make, ("completions", "Rating"), tabular=False, single=n == 2)


@layout
def helpsteer(rng: random.Random) -> Plan:
    third = rng.random() < 0.5
    before = talk(rng)

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.1)
        size = {"first": -t.rng.randint(1, 3), "second": t.rng.randint(1, 3), "tie": 0}[said]
        if third:
            row.record = {"domain": "general", "language": "english", "context": before(t)}
            row.record |= {"response1": one, "response2": other, "overall_preference": size}
            row.record["individual_preference"] = [{"score": size, "reasoning": "So."}]
        else:
            row.record = {"split": "train", "prompt": t.prompt(), "response_1": one}
            row.record |= {"response_2": other, "preference_strength": size}
        return row

    return Plan(make, ("overall_preference", "preference_strength"), tabular=not third)


@layout
def label_studio(rng: random.Random) -> Plan:
    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.0)
        side = {"first": "left", "second": "right"}[said]
        result = {"value": {"selected": side}, "type": "pairwise", "from_name": "comparison"}
        annotation = {"id": t.row, "completed_by": 2, "result": [result], "was_cancelled": False}
        row.record = {
            "id": t.row,
            "data": {"prompt": t.prompt(), "answer1": one, "answer2": other},
            "annotations": [annotation],
            "predictions": [],
        }
        if t.rng.random() < 0.1:
            row.record["annotations"] = []
            row.wins, row.damage = [], "not annotated"
        return row

    return Plan(make, ("annotations",), tabular=False)


@layout
def argilla(rng: random.Random) -> Plan:
    form = rng.choice(["flat", "responses", "nested"])

    def make(t: Texts) -> Row:
        one, other, said, row = compared(t, 0.0)
        value = {"first": "response1", "second": "response2"}[said]
        fields = {"prompt": t.prompt(), "response1": one, "response2": other}
        if form == "flat":
            answer = [{"user_id": "u1", "value": value, "status": "submitted"}]
            row.record = fields | {
                "preference": answer,
                "metadata": "{}",
                "external_id": str(t.row),
            }
        elif form == "responses":
            row.record = {"id": str(t.row), "status": "completed"} | fields
            row.record |= {
                "preference.responses": [value],
                "preference.responses.users": ["u1"],
                "preference.responses.status": ["submitted"],
            }
        else:
            row.record = {"id": str(t.row), "fields": fields, "status": "completed"}
            row.record["responses"] = {"preference": [{"value": value, "user_id": "u1"}]}
        return row

    keys = ("preference", "preference.responses", "responses")
    return Plan(make, keys, reads="may refuse", tabular=False)


def _nothing(*kinds: Callable[[Texts], dict[str, Any]]) -> Layout:
    def begin(rng: random.Random) -> Plan:
        kind = rng.choice(kinds)
        return Plan(lambda t: Row(kind(t)), reads="refuse")

    return begin


LAYOUTS["no_preference"] = _nothing(
    lambda t: {"instruction": t.prompt(), "output": t.answer(0)},
    lambda t: {"prompt": t.prompt(), "completion": t.answer(0), "label": t.rng.random() < 0.5},
    lambda t: {
        "messages": [says("user", t.prompt()), says("assistant", t.answer(0))],
        "label": t.rng.random() < 0.5,
    },
    lambda t: {"prompt": t.prompt(), "responses": [t.answer(0), t.answer(1)]},
    lambda t: {"text": t.prompt()},
    lambda t: {"question_id": t.row, "judge": "m", "judgment": t.answer(0), "score": 7},
    lambda t: {"user": t.row, "item": 3, "stars": 5},
)
LAYOUTS["near_miss"] = _nothing(
    lambda t: {"prompt": t.prompt(), "chosen": t.answer(0)},
    lambda t: {"prompt": t.prompt(), "response_a": t.answer(0), "response_b": t.answer(1)},
    lambda t: {"instruction": t.prompt(), "completions": [{"response": t.answer(0)}]},
    lambda t: {"chosen": t.answer(0), "rejected": t.answer(1)},
    lambda t: {"prompt": t.prompt(), "response_1": t.answer(0), "preference_strength": 1},
)


KINDS = len(LAYOUTS) + 1
"""File ``seed`` is of the kind ``seed % KINDS``: a layout, or the last one, no data."""


def no_data(rng: random.Random, folder: Path, seed: int) -> Any:
    """A source that holds no rows at all: other files, empty ones, other objects."""
    import pandas as pd

    contents: list[bytes] = [
        b"",
        b"\n\n \n",
        b"{}",
        b"[]",
        b"null",
        b"[1, 2]",
        b"{}\n{}\n",
        b'{"data": []}',
        b'{"prompt": [], "chosen": [], "rejected": []}',
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 875191\n",
        b"Dear reader, this is a letter.\nIt goes on, and on.\n",
        b"<!DOCTYPE html>\n<html><body>404</body></html>",
        b"PK\x03\x04" + rng.randbytes(90),
        b"\x89PNG\r\n\x1a\n" + rng.randbytes(90),
        b"PAR1" + rng.randbytes(40) + b"PAR1",
        b"\x1f\x8b",
        gzip.compress(b"", mtime=0),
        rng.randbytes(200),
        b"prompt,chosen,rejected\n",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\0" * 100,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b'"' * 999,
        b"prompt,prompt,chosen,rejected\na,b,c,d\n",
    ]
    objects: list[Any] = [None, 5, {}, [], [[]], (), "", b"bytes", pd.DataFrame(), iter([{}]), 1.5]
    if rng.random() < 0.15:
        return rng.choice(objects)
    path = folder / f"file{seed}"
    if rng.random() < 0.1:
        return rng.choice([path, path.with_suffix(".jsonl"), folder / "none" / "x.csv"])
    if rng.random() < 0.1:
        path.mkdir(parents=True, exist_ok=True)
        return path
    path = folder / (
        path.name + rng.choice([".json", ".jsonl", ".csv", ".parquet", ".jsonl.gz", ""])
    )
    path.write_bytes(rng.choice(contents))
    return path


# -- damage to rows ----------------------------------------------------------------------


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything inside of a record."""
    items = (
        value.items()
        if isinstance(value, dict)
        else (enumerate(value) if isinstance(value, list) else ())
    )
    for key, inner in items:
        yield (*path, key)
        yield from spots(inner, (*path, key))


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


def put(record: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> None:
    for key in path[:-1]:
        record = record[key]
    record[path[-1]] = change(record[path[-1]])


def swapped(value: Any) -> Any:
    """The same value as another type."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value)


WRONG: tuple[Any, ...] = (0, -1, 3.5, True, [], {}, [1, 2], {"a": 1}, "x", ["y"], [None], [[]])
VALUE_DAMAGES: dict[str, Callable[[random.Random, Any], Any]] = {
    "null": lambda rng, v: None,
    "empty": lambda rng, v: "",
    "blank": lambda rng, v: rng.choice([" ", "\n", "\t\u3000"]),
    "wrong type": lambda rng, v: copy.deepcopy(rng.choice(WRONG)),
    "swapped type": lambda rng, v: swapped(v),
    "NUL": lambda rng, v: f"{v if isinstance(v, str) else ''}\0",
    "lone surrogate": lambda rng, v: f"{v if isinstance(v, str) else ''}\ud83d",
    "typo": lambda rng, v: f"{v}{rng.choice('qzx')}",
    "out of range": lambda rng, v: rng.choice([-100, 7, 99, 1e9, -1.5, 10**30]),
    "NaN": lambda rng, v: rng.choice([float("nan"), float("inf"), float("-inf")]),
    "huge number": lambda rng, v: rng.choice([10**400, -(10**25), 2**63]),
}
HARMLESS = ("extra key", "long text", "copied", "NaN in an extra key")


def hurt(rng: random.Random, row: Row, kind: str, plan: Plan, other: Row | None) -> Row:
    """The row with one damage. A harmless one leaves the truth as it is."""
    row = dataclasses.replace(row, record=copy.deepcopy(row.record))
    record = row.record
    if kind == "extra key":
        record[rng.choice(["unheard of", "", "🙂", "chosen2", "labels_v2"])] = "more"
    elif kind == "NaN in an extra key":
        record["measured"] = float("nan")
    elif kind == "long text":
        for path in list(spots(record)):
            if path[-1] in ("prompt", "chosen", "response_a", "content"):
                long = lambda v: v + " word" * 60_000 if isinstance(v, str) and v[:1] != "[" else v
                put(record, path, long)
                break
    elif kind == "copied":
        row.copies = rng.randint(2, 3)
    elif kind == "deep nesting":
        row.damage = kind
        record["more"] = nested(rng.choice([80, 600]))
    elif kind == "no object":
        row.damage, row.label_hit = kind, True
        row.record = rng.choice([[], [record], "words", 7, None, True, {}, [1, 2]])
    elif kind == "other layout":
        row.damage = kind
        if other is not None:
            row = dataclasses.replace(other, damage=kind, number=row.number)
    elif kind == "key lost":
        path = rng.choice(list(spots(record)))
        row.damage, row.label_hit = kind, any(k in plan.label_keys for k in path)
        inner = record
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
    else:
        paths = list(spots(record))
        if kind in ("typo", "out of range") and plan.label_keys:
            paths = [p for p in paths if p[-1] in plan.label_keys] or paths
        path = (
            rng.choice([p for p in paths if len(p) == 1] if rng.random() < 0.5 else paths)
            if any(len(p) == 1 for p in paths)
            else rng.choice(paths)
        )
        row.damage, row.label_hit = kind, any(k in plan.label_keys for k in path)
        put(record, path, lambda v: VALUE_DAMAGES[kind](rng, v))
    return row


ROW_DAMAGES = (
    *VALUE_DAMAGES, *HARMLESS, "deep nesting", "no object", "other layout", "key lost",
)  # fmt: skip


# -- containers --------------------------------------------------------------------------


@dataclass
class File:
    """A generated source and the truth about it."""

    seed: int
    layout: str
    container: str
    damage: str
    plan: Plan
    rows: list[Row]
    source: Any = None
    lines: dict[int, tuple[int, int]] = field(default_factory=dict)  # row -> first, last line
    broken: bool = False  # the container itself is damaged: the rows cannot be counted
    may_refuse: bool = False
    byte_hit: bool = False  # bytes were changed at random: texts and labels may be others

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.layout} in {self.container}, "
            f"{len(self.rows)} rows, damage: {self.damage}"
        )

    @property
    def name(self) -> str:
        return Path(self.source).name if isinstance(self.source, str | os.PathLike) else ""


def written(rows: list[Row]) -> list[Row]:
    return [row for row in rows for _ in range(row.copies)]


def names(records: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(k for r in records for k in r))


LINE_DAMAGES = ("cut line", "comma after", "BOM inside", "two on a line", "quote lost", "control",
                "deep", "long number")  # fmt: skip


def json_lines(rng: random.Random, file: File, spoiled: set[int]) -> bytes:
    """One JSON text a line. Lone surrogates are escaped: UTF-8 cannot hold them."""
    end = rng.choice(["\n", "\n", "\n", "\r\n"])
    out: list[str] = []
    for row in file.rows:
        for _ in range(row.copies):
            if file.damage == "blank lines" and rng.random() < 0.3:
                out.append(rng.choice(["", " ", "\t"]))
            text = json.dumps(row.record, ensure_ascii=rng.random() < 0.5)
            if any("\ud800" <= c <= "\udfff" for c in text):
                text = json.dumps(row.record)
            if row.number in spoiled:
                row.damage, row.label_hit = file.damage, True
                text = {
                    "cut line": lambda: text[: rng.randint(1, max(1, len(text) - 1))],
                    "comma after": lambda: text + ",",
                    "BOM inside": lambda: "\ufeff" + text,
                    "two on a line": lambda: text + text,
                    "quote lost": lambda: text.replace('"', "", 1),
                    "control": lambda: text[:-1] + "\x07\x0b" + text[-1],
                    "deep": lambda: text[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
                    "long number": lambda: text[:-1] + f', "more": {"9" * 5000}}}',
                }[file.damage]()
            out.append(text)
            first, _ = file.lines.get(row.number, (len(out), 0))
            file.lines[row.number] = first, len(out)
    text = end.join(out) + (end if rng.random() < 0.8 else "")
    return text.encode("utf-8-sig" if file.damage == "none" and rng.random() < 0.2 else "utf-8")


def json_array(rng: random.Random, file: File) -> bytes:
    """An array of objects, bare or inside of an object, or an object of columns."""
    records = [row.record for row in written(file.rows)]
    indent = rng.choice([None, 1, 2])
    if file.container == "columns":
        columns = {k: [r.get(k) for r in records] for k in names(records)}
        return json.dumps(columns, indent=indent).encode()
    if file.container == "indexed columns":
        columns = {k: {str(i): r.get(k) for i, r in enumerate(records)} for k in names(records)}
        return json.dumps(columns, indent=indent).encode()
    text = rng.choice(["[", "[\n"])
    if file.container == "object with data":
        text = f'{{"version": 1, "data": {text}'
    between = rng.choice([", ", ",\n"])
    for row in file.rows:
        for _ in range(row.copies):
            first, _ = file.lines.get(row.number, (text.count("\n") + 1, 0))
            text += json.dumps(row.record, indent=indent)
            file.lines[row.number] = first, text.count("\n") + 1
            text += between
    text = text if file.damage == "trailing comma" else text.removesuffix(between)
    return (text + ("]}" if file.container == "object with data" else "]")).encode()


def cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def csv_text(rng: random.Random, file: File, delimiter: str, spoiled: set[int]) -> str:
    records = [row.record for row in file.rows]
    keys = names(records)
    if rng.random() < 0.2:
        rng.shuffle(keys)
    out = io.StringIO()
    put = csv.writer(out, delimiter=delimiter, lineterminator=rng.choice(["\n", "\r\n"]),
                     quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))  # fmt: skip
    put.writerow(keys)
    for row in file.rows:
        for _ in range(row.copies):
            cells = [cell(row.record.get(k)) for k in keys]
            if file.damage == "blank lines" and rng.random() < 0.3:
                out.write("\n")
            start = out.getvalue().count("\n") + 1
            if row.number in spoiled:
                row.damage, row.label_hit = file.damage, True
                if file.damage == "cells":
                    cells = cells[:-1] if rng.random() < 0.5 else [*cells, "more", "cells"]
                elif file.damage == "unclosed quote":
                    out.write('"')
            put.writerow(cells)
            first, _ = file.lines.get(row.number, (start, 0))
            file.lines[row.number] = first, out.getvalue().count("\n")
    return out.getvalue()


def table(rows: list[Row]) -> Any:
    """An Arrow table, or None where Arrow cannot hold the rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [row.record for row in written(rows)]
    if not all(isinstance(r, dict) for r in records) or any(
        r.damage == "deep nesting" for r in rows
    ):
        return None
    keys = names(records)
    try:
        held = pa.table({k: pa.array([r.get(k) for r in records]) for k in keys})
        pq.write_table(held, io.BytesIO())
        return held
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError):
        return None


BYTES = ("json lines", "json lines gz", "array", "array gz", "object with data", "columns",
         "indexed columns", "csv", "csv gz", "parquet", "folder")  # fmt: skip
MEMORY = ("list", "data frame", "dataset")
ARRAYS = ("array", "array gz", "object with data")
LINES = ("json lines", "json lines gz", "folder")
FILE_DAMAGES = ("cut at the end", "cut in the middle", "bytes flipped", "garbage", "wrong suffix")


def flips(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 3, 30])):
        out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def spoil(rng: random.Random, data: bytes, kind: str) -> bytes:
    if not data:
        return data
    if kind == "cut at the end":
        return data[: max(1, len(data) - rng.randint(1, 40))]
    if kind == "cut in the middle":
        i = rng.randrange(len(data))
        return data[:i] + data[i + rng.randint(1, 60) :]
    if kind == "bytes flipped":
        return flips(rng, data)
    if kind == "garbage":
        noise = rng.choice([rng.randbytes(50), b"\0" * 30, b"<html>", b"\n]]}}\n", b"\xff\xfe"])
        return rng.choice([data + noise, noise + data])
    return data


def generate(seed: int, folder: Path, rows: int | None = None) -> File:
    """The file of a seed, written into ``folder``; the same at every call."""
    rng = random.Random(seed)
    name = [*LAYOUTS, "no_data"][seed % KINDS]
    folder.mkdir(parents=True, exist_ok=True)
    if name == "no_data":
        plan = Plan(lambda t: Row({}), reads="refuse")
        source = no_data(rng, folder, seed)
        kind = type(source).__name__ if not isinstance(source, Path) else f"file {source.suffix}"
        return File(seed, name, kind, "none", plan, [], source, broken=True, may_refuse=True)
    plan = LAYOUTS[name](rng)
    container = rng.choice((*BYTES, *MEMORY))
    if not plan.tabular and container.startswith("csv"):
        container = rng.choice(["json lines", "array", "parquet"])
    is_csv, lines = container.startswith("csv"), container in LINES
    kinds = ["none", "rows", "rows", "rows"]
    if container not in MEMORY:
        kinds += ["file"]
    if lines:
        kinds += ["lines", "lines"]
    if is_csv:
        kinds += ["cells", "blank lines", "unclosed quote"]
    kind = rng.choice(kinds)
    damage = {
        "none": lambda: "none",
        "rows": lambda: "rows: " + rng.choice(ROW_DAMAGES),
        "file": lambda: rng.choice([*FILE_DAMAGES, "trailing comma"] if container in ARRAYS
                                   else FILE_DAMAGES),
        "lines": lambda: rng.choice([*LINE_DAMAGES, "blank lines"]),
    }.get(kind, lambda: kind)()  # fmt: skip

    # Words that the encoding can hold; a text of a CSV file has no line breaks of its own.
    encoding = "utf-8"
    if is_csv:
        encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
    words = WORDS[rng.choice(["ascii", "latin"] if encoding == "latin-1" else list(WORDS))]
    n = rng.choice([1, 2, 3, 5, 8, 12, 20, 30]) if rows is None else rows
    odd = rng.choice([0.0, 0.0, 0.15])
    made: list[Row] = []
    foreign = LAYOUTS[rng.choice([k for k in LAYOUTS if k not in ("no_preference", "near_miss")])](
        rng
    )
    share = rng.choice([0.0, 0.1, 0.2, 1.0])
    hit = {rng.randrange(n)} | {i for i in range(n) if rng.random() < share}
    for i in range(n):
        texts = Texts(rng, i, words, 0.0 if plan.reads == "refuse" else odd)
        row = plan.make(texts)
        row.untagged, row.number = texts.untagged, i
        if damage.startswith("rows: ") and i in hit:
            which = damage.removeprefix("rows: ")
            again = Texts(rng, i, words)
            other = foreign.make(again) if which == "other layout" else None
            if other is not None:
                other.label_hit = foreign.label_values is not None or plan.label_values is not None
            if which == "no object" and container not in ("list", "array", "array gz", *LINES,
                                                          "object with data"):  # fmt: skip
                which = "null"
            changed = hurt(rng, row, which, plan, other)
            if is_csv and not encodable(changed.record, encoding):
                changed = row
            row = changed
        made.append(row)

    file = File(seed, name, container, damage, plan, made)
    if plan.reads == "refuse" or plan.reads == "may refuse":
        file.may_refuse = True
    spoiled = (
        hit if kind in ("lines", "cells", "unclosed quote") and damage != "blank lines" else set()
    )
    whole = [r for i, r in enumerate(made) if not r.damage and i not in spoiled]
    least = 0.8 if damage == "rows: other layout" else 0.6
    if len(whole) < max(2, least * n) and damage not in ("none", "blank lines"):
        file.may_refuse = True
    if plan.label_values is not None and not settled(whole, plan):
        for row in made:
            row.label_hit = True  # with a value that never occurs, several meanings fit
    if any(r.label_hit for r in made) or not any(decided(r, plan) for r in whole):
        file.may_refuse = True  # a label of unknown meaning is asked for; ties alone are no pairs

    stem = f"file{seed}"
    if container == "list":
        file.source = [row.record for row in written(made)]
        return file
    if container in ("data frame", "dataset", "parquet"):
        held = table(file.rows)
        if held is None and container == "data frame":
            import pandas as pd

            records = [r.record for r in written(made)]
            keys = names(records)
            columns = {k: pd.Series([r.get(k) for r in records], dtype=object) for k in keys}
            file.source = pd.DataFrame(columns)
            return file
        if held is None:  # Arrow cannot hold this damage: the file has none
            return generate_whole(file, rng, folder, stem)
        return finish(file, held, rng, folder, stem)

    if lines:
        data = json_lines(rng, file, spoiled)
        suffix = ".jsonl"
    elif is_csv:
        delimiter = rng.choice([",", ",", "\t", ";", "|"])
        suffix = ".tsv" if delimiter == "\t" and rng.random() < 0.5 else ".csv"
        if damage == "unclosed quote":
            file.broken = file.may_refuse = True
        data = csv_text(rng, file, delimiter, spoiled).encode(encoding)
        file.may_refuse |= encoding == "latin-1" and words is WORDS["latin"]
        if damage == "cells":
            file.may_refuse |= len(made[0].record) < 4
    else:
        data = json_array(rng, file)
        suffix = ".json"
    if damage == "trailing comma":
        file.broken = file.may_refuse = True
    if container.endswith("gz"):
        data, suffix = gzip.compress(data, mtime=0), suffix + ".gz"
    if damage in FILE_DAMAGES:
        file.broken = file.may_refuse = file.byte_hit = True
        data = spoil(rng, data, damage)
        if damage == "wrong suffix":
            file.byte_hit = False
            suffix = rng.choice([".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt", "", ".gz"])
    if container == "folder" and damage not in FILE_DAMAGES:
        place = folder / stem
        place.mkdir(exist_ok=True)
        (place / f"part{suffix}").write_bytes(data)
        file.source = place
        return file
    file.source = folder / f"{stem}{suffix}"
    file.source.write_bytes(data)
    if rng.random() < 0.3:
        file.source = str(file.source)
    return file


def decided(row: Row, plan: Plan) -> bool:
    return bool(row.wins or (row.allowed and plan.label_values is None))


def settled(whole: list[Row], plan: Plan) -> bool:
    """Whether every value of the label occurs in rows without damage."""
    seen = {row.record.get(key) for row in whole for key in plan.label_keys}
    return set(plan.label_values or ()) <= seen


def encodable(record: Any, encoding: str) -> bool:
    if not isinstance(record, dict):
        return False
    try:
        "".join(str(cell(v)) + str(k) for k, v in record.items()).encode(encoding)
    except (UnicodeEncodeError, RecursionError, ValueError):
        return False
    return True


def generate_whole(file: File, rng: random.Random, folder: Path, stem: str) -> File:
    """The rows that Arrow can hold together with the first of them."""
    for take in (lambda r: not r.damage, lambda r: isinstance(r.record, dict)):
        kept = [r for r in file.rows if take(r)]
        held = table(kept) if kept else None
        if held is not None:
            file.rows = kept
            file.may_refuse = file.may_refuse or len(kept) < 2
            return finish(file, held, rng, folder, stem)
    file.container, file.source = "list", [r.record for r in written(file.rows)]
    file.may_refuse = True
    return file


def finish(file: File, held: Any, rng: random.Random, folder: Path, stem: str) -> File:
    if file.container == "data frame":
        file.source = held.to_pandas()
        if rng.random() < 0.3:
            file.source.index = [f"r{i}" for i in range(len(file.source))]
    elif file.container == "dataset":
        import datasets

        file.source = datasets.Dataset(held)
    else:
        import pyarrow.parquet as pq

        file.source = folder / f"{stem}.parquet"
        pq.write_table(held, file.source)
        if file.damage in FILE_DAMAGES:
            file.broken = file.may_refuse = file.byte_hit = True
            data = spoil(rng, file.source.read_bytes(), file.damage)
            if file.damage == "wrong suffix":
                file.source = folder / f"{stem}{rng.choice(['.json', '.csv', '.jsonl', ''])}"
            file.source.write_bytes(data)
    return file


# -- what must be true -------------------------------------------------------------------


class Hang(BaseException):
    """The loader takes too long. No handler for exceptions may swallow it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Verdict:
    """What the loader made of a file."""

    problems: list[str]
    outcome: str = ""  # "read", "asked, then read", "refused"
    rows: int = 0
    lost: int = 0
    message: str = ""
    loaded: Any = None


def words_of(error: BaseException, file: File) -> list[str]:
    text = str(error)
    said = []
    if len(text.splitlines()) > 6 or len(text) > 1500:
        said.append(
            f"message of {len(text.splitlines())} lines, {len(text)} characters: {text[:200]!r}"
        )
    if file.name and file.name not in text and not (file.container == "folder" and "part" in text):
        said.append(f"message does not name the file: {text[:300]!r}")
    if not text.strip():
        said.append("empty message")
    if not printable(text):
        said.append(f"message cannot be printed: {text[:200]!r}")
    return said


def printable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def judge(file: File) -> Verdict:
    """Load the file and check every promise."""
    options: dict[str, Any] = {}
    outcome = "read"
    for attempt in (1, 2):
        try:
            with at_most(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", DeprecationWarning)
                loaded = cp.load_preferences(file.source, **options)
                said = [str(loaded), loaded.summary()]
                said += [f"{bad.where}: {bad.reason}" for bad in loaded.bad]
        except (ValueError, TypeError, FileNotFoundError) as error:
            problems = words_of(error, file)
            if attempt == 1 and "label_values" in str(error) and file.plan.label_values:
                options, outcome = {"label_values": file.plan.label_values}, "asked, then read"
                if not problems:
                    continue
            if not file.may_refuse and not problems:
                problems.append(f"refused: {type(error).__name__}: {str(error)[:600]}")
            if not own(error):
                problems.append(f"not the loader's own words: {type(error).__name__}: {error}")
            return Verdict(problems, "refused", message=str(error))
        except Hang as hang:
            return Verdict([f"hang: {hang}"], "hang")
        except Exception as error:
            return Verdict([f"{type(error).__name__}: {str(error)[:300]}"], "traceback")
        break
    problems = [f"cannot be printed: {s[:200]!r}" for s in said if not printable(s)]
    problems += [f"long: {s[:200]!r}" for s in said[2:] if len(s) > 1500 or "\n" in s]
    if outcome != "read" and file.plan.reads == "read" and not file.may_refuse:
        problems.append("asked for the meaning of a label that the layout tells")
    if file.plan.reads == "refuse" and not file.damage.startswith("rows: other"):
        problems.append(f"read {len(loaded.data)} pairs where there is no preference")
    problems += accounts(file, loaded)
    return Verdict(problems, outcome, loaded.rows, loaded.lost, loaded=loaded)


def own(error: BaseException) -> bool:
    """Whether the loader raised it on purpose: a TypeError of Python itself is a traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "causalpref" in Path(last.filename).parts and "raise" in (last.line or "")


def judgements(data: Any) -> Iterator[tuple[int | None, int | None, int | None]]:
    """Row, winner and loser of every pair, by the tags of their texts; None has no tag."""
    if data is None:
        return
    for (first, second), label in zip(data.pairs, data.label):
        texts = [str(data.responses[i]) for i in ((first, second) if label else (second, first))]
        tags = [re.findall(r"a(\d{4})y(\d)x", text) for text in texts]
        rows = {int(t[-1][0]) for t in tags if t}
        rows |= {
            int(r) for r in re.findall(r"q(\d{4})x", str(data.prompts[data.response_prompt[first]]))
        }
        ks = [int(t[-1][1]) if t else None for t in tags]
        yield (rows.pop() if len(rows) == 1 else (None if not rows else -1)), ks[0], ks[1]


def accounts(file: File, loaded: Any) -> list[str]:
    """Every row is used or listed; every judgement is the one that was written."""
    said: list[str] = []
    got: dict[int | None, collections.Counter] = collections.defaultdict(collections.Counter)
    tied: dict[int | None, int] = collections.Counter()
    for row, w, v in judgements(loaded.data):
        got[row][w, v] += 1
    for row, _, _ in judgements(loaded.tied):
        tied[row] += 1
    joined = file.damage in ("cut in the middle", "bytes flipped", "unclosed quote")
    if -1 in got and not joined:
        said.append(f"{sum(got[-1].values())} pairs mix texts of several rows")
    if loaded.ties != (0 if loaded.tied is None else len(loaded.tied)):
        said.append(f"ties = {loaded.ties}, but tied has {loaded.tied and len(loaded.tied)}")

    n = len(written(file.rows))
    twice = sum(r.copies for r in file.rows if r.damage == "two on a line")
    if not file.broken and loaded.rows not in (n, n + twice):
        said.append(f"rows = {loaded.rows}, but {n} were written")
    mixed = file.damage == "rows: other layout"
    if file.plan.single and not mixed and not file.broken:
        kept = len(loaded.data) + loaded.ties
        if not plural(file) and loaded.rows != kept + loaded.lost:
            said.append(
                f"rows {loaded.rows} != pairs {len(loaded.data)} + ties {loaded.ties} "
                f"+ lost {loaded.lost}"
            )
    if file.byte_hit:
        return said  # texts and labels may be others now

    # One odd row may not cost the others; with many, the file is of either layout.
    either = mixed and sum(bool(r.damage) for r in file.rows) > 0.2 * len(file.rows)
    numbers = named_rows(loaded.bad)
    position = 0
    for row in file.rows:
        here = range(position, position + row.copies)
        position += row.copies
        found, ties = got.get(row.number, collections.Counter()), tied.get(row.number, 0)
        what = f"row {row.number} ({row.damage or 'whole'})"
        wrong = set() if row.label_hit else set(found) - row.possible()
        if wrong and (not row.damage or any(inverted(row, w) for w in wrong)):
            said.append(f"{what} gave {list(wrong)}, expected {list(row.possible())}")
        if not row.damage and not file.broken and not (either and not found and not ties):
            expected = collections.Counter([row.seen(w) for w in row.wins * row.copies])
            if row.label_hit:
                if not found and not ties:
                    said.append(f"{what} gave nothing; {reason_of(loaded.bad, file, row, here)}")
            elif row.allowed is None and (found != expected or ties != len(row.ties) * row.copies):
                said.append(f"row {row.number} (whole) gave {dict(found)} and {ties} ties, "
                            f"expected {dict(expected)} and {len(row.ties) * row.copies}"
                            f"; {reason_of(loaded.bad, file, row, here)}")  # fmt: skip
            elif row.allowed is not None and set(expected) - set(found):
                said.append(f"row {row.number} (whole) lacks {dict(expected)}")
        untold = not found and not ties and not listed(numbers, file, row, here)
        if row.damage and None in got:
            continue  # its tags are gone, and there are judgements without tags
        if untold and not file.broken and (row.damage or row.wins or row.allowed or row.ties):
            where = [b.where for b in loaded.bad][:5]
            said.append(f"{what} is lost without a word: bad = {where}")
    return said[:6]


def plural(file: File) -> bool:
    """Damage can make a text a list of texts: then a row may hold several judgements."""
    several = ("wrong type", "swapped type", "two on a line")
    return any(r.damage in several for r in file.rows)


def inverted(row: Row, win: tuple[int | None, int | None]) -> bool:
    """Whether a judgement of a damaged row contradicts the truth; a lost tag may be either."""
    if win[0] is None and win[1] is None:
        return False
    fits = lambda told, seen: seen is None or told is None or told == seen
    return not any(fits(w, win[0]) and fits(v, win[1]) for w, v in row.possible())


ROWS_FROM = 1
"""What the loader calls the first row of a source without lines."""


def named_rows(bad: Any) -> set[tuple[str, int]]:
    return {
        (match[1], int(match[2].replace(",", "")))
        for b in bad
        if (match := re.search(r"(line|row) ([\d,]+)", b.where))
    }


def listed(numbers: set[tuple[str, int]], file: File, row: Row, here: range) -> bool:
    first, last = file.lines.get(row.number, (0, -1))
    return any(("line", i) in numbers for i in range(first, last + 1)) or any(
        ("row", i + ROWS_FROM) in numbers for i in here
    )


def reason_of(bad: Any, file: File, row: Row, here: range) -> str:
    for b in bad:
        if listed(named_rows([b]), file, row, here):
            return f"{b.where}: {b.reason}"
    return "not in bad"


def smallest(seed: int, folder: Path) -> Verdict | None:
    """The same layout, container and damage with as few rows as still show a problem."""
    for n in (1, 2, 3, 5, 8, 12, 20):
        verdict = judge(file := generate(seed, folder / f"n{n}", n))
        if verdict.problems:
            verdict.problems.insert(0, str(file))
            return verdict
    return None


def main(files: int, start: int = 0) -> None:
    counts: collections.Counter = collections.Counter()
    kinds: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    since, slowest = time.perf_counter(), (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(start, start + files):
            file = generate(seed, Path(folder))
            begun = time.perf_counter()
            verdict = judge(file)
            slowest = max(slowest, (time.perf_counter() - begun, str(file)))
            counts[verdict.outcome] += 1
            counts["rows"] += verdict.rows
            counts["rows lost"] += verdict.lost
            kinds[file.layout][verdict.outcome] += 1
            if verdict.problems:
                counts["files with problems"] += 1
                print(file, *verdict.problems, sep="\n    ")
    print(f"\n{files} files in {time.perf_counter() - since:.0f} s: {dict(counts)}")
    print(f"slowest: {slowest[0]:.2f} s, {slowest[1]}")
    for name, tally in kinds.items():
        print(f"{name:22}", dict(tally))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ["2000"]))
