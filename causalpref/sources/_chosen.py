"""Rows that name the preferred answer and the other one."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

from causalpref.sources._layouts import (
    GOOD_BAD,
    RANKS,
    SCORES,
    VERDICT_WORDS,
    Judged,
    Said,
)  # fmt: skip
from causalpref.sources._prompts import (
    Prompt,
    as_transcripts,
    asked,
    common_start,
    hold_prompt,
    in_messages,
    several,
    system_of,
    together,
    tools_of,
)
from causalpref.sources._rows import Bad, Row, show
from causalpref.sources._shapes import (
    NO_TEXTS,
    Lacks,
    Shape,
    answer_columns,
    facts_of,
    last_word,
    name_models,
)
from causalpref.sources._values import (
    TURN,
    Answer,
    Message,
    answer,
    filled,
    is_empty,
    is_messages,
    messages_of,
    opened,
    string,
    words,
)  # fmt: skip
from causalpref.sources._view import View, at, mostly, need


def chosen_rejected(view: View) -> tuple[str, str, tuple[str, str]] | None:
    """The columns of the preferred answer and of the other one, and what the sides are called."""
    pairs: dict[Any, tuple[str, str, tuple[str, str]]] = {}
    tokens = {name: words(name) for name in view.names}
    for name, said in tokens.items():
        for good, bad in GOOD_BAD:
            if good not in said or (len(good) == 1 and len(said) == 1):
                continue
            other = tuple(bad if w == good else w for w in said)
            match = next((n for n, t in tokens.items() if t == other), None)
            if match is not None:
                stem = tuple(None if w == good else w for w in said)
                pairs.setdefault(stem, (name, match, (good, bad)))
    found = answer_columns(view, pairs)
    if found is None and view.has("response_j", "response_k"):  # StackExchange paired
        found = "response_j", "response_k", ("j", "k")
    if found is None:
        found = _lone(view)
    return found


def _lone(view: View) -> tuple[str, str, tuple[str, str]] | None:
    """One column of preferred answers and one of others, whose names are no pair.

    Or a rejected answer beside a plain one, or beside messages that end with the preferred one.
    """
    good, bad = (
        [
            n
            for n in view.names
            if {w[side] for w in GOOD_BAD} & set(words(n)) - {"w"} and view.texty(n)
        ]
        for side in (0, 1)
    )
    top = [n for n, path in view.names.items() if path in view.found]
    good = [n for n in good if n in top and last_word(words(n)) not in NO_TEXTS]
    bad = [n for n in bad if n in top and last_word(words(n)) not in NO_TEXTS]
    if len(bad) == 1 and not good:
        beside = ("response", "output", "answer", "completion", "messages", "conversations")
        good = [n for n in beside if n in view.names and view.texty(n)][:1]
    if len(good) != 1 or len(bad) != 1 or good == bad:
        return None
    return good[0], bad[0], ("chosen", "rejected")


def build_chosen_rejected(view: View, good: str, bad: str, sides: tuple[str, str]) -> Shape:
    paths = view.names[good], view.names[bad]
    names = (good, bad) if {good, bad} == {"chosen", "rejected"} else paths
    asking = asked(view, {good, bad}, good)
    sample = [
        (x, y)
        for row in view.sample
        if not is_empty(x := at(row, paths[0])) and (y := at(row, paths[1])) is not None
    ]
    strings = [(x, y) for x, y in sample if isinstance(x, str) and isinstance(y, str)]
    plain_ = [(x, y) for x, y in strings if not in_messages(x)]
    is_text = len(plain_) > 0.5 * len(sample)
    whole = good in ("messages", "conversations")
    notes: list[str] = []
    mode, name = "texts", "chosen_rejected" if is_text else "messages"
    if is_text and mostly(
        plain_, lambda p: bool(TURN.match(p[0].lstrip()) or (not asking.main and TURN.search(p[0])))
    ):
        mode = name = "transcripts"
    elif is_text and asking.main is None:
        starts = [common_start(*p) for p in plain_]
        if sum(len(s.split()) > 1 or len(s) > 8 for s in starts) > 0.9 * len(starts):
            mode = "implicit"
            notes.append(
                f"There is no column of prompts: the words that {names[0]!r} and {names[1]!r} both "
                "begin with are read as the prompt."
            )
        else:
            raise Lacks("chosen_rejected", "prompt", f"the columns {paths[0]!r} and {paths[1]!r}")
    elif is_text and asking.main is not None:
        full = [
            (p, x, y) for row in view.sample
            if isinstance(p := at(row, asking.main), str) and isinstance(x := at(row, paths[0]), str)
            and isinstance(y := at(row, paths[1]), str)
        ]  # fmt: skip
        if full and mostly(
            full, lambda t: len(t[0]) > 0 and all(_begins(y, t[0]) for y in t[1:]), 0.9
        ):
            mode = "prefixed"
            notes.append(
                f"{paths[0]!r} and {paths[1]!r} begin with the prompt: it is taken off the answers."
            )
    elif not is_text and asking.main is None and not whole:
        if not any(
            isinstance(m := opened(x), list) and is_messages(m) and _opens(m) for x, _ in sample
        ):
            if not any(isinstance(opened(x), list) for x, _ in sample):
                raise Lacks("messages", "prompt", f"the columns {paths[0]!r} and {paths[1]!r}")

    def read(row: Row) -> Said:
        values = need(row, paths[0]), need(row, paths[1])
        if mode == "transcripts":
            texts = string(values[0], names[0]), string(values[1], names[1])
            return [
                Judged(
                    *as_transcripts(
                        (filled(texts[0], names[0]), filled(texts[1], names[1])), names
                    ),
                    1,
                )
            ]
        asking_now: Prompt | None = None
        if whole:
            turns = messages_of(values[0], names[0])
            ends = next(
                (i for i in range(len(turns), 0, -1) if turns[i - 1]["role"] != "assistant"), 0
            )
            if not 0 < ends < len(turns):
                raise Bad("does not end with an answer of the assistant", names[0])
            others = asking.read(row)[1] if asking.main else None
            other = answer(values[1], names[1])
            before: list[Message] = []
            if "system" in asking.parts and turns[0]["role"] != "system":
                if not is_empty(said := at(row, asking.parts["system"])):
                    before = [{"role": "system", "content": string(said, asking.parts["system"])}]
            if isinstance(other.content, list) and other.content[0]["role"] not in (
                "assistant",
                "tool",
            ):
                sides_ = Answer([*before, *turns]), Answer([*before, *other.content])
                return [Judged(*together((before, others) if before else None, sides_, names), 1)]
            asking_now = [*before, *turns[:ends]], others or tools_of(asking, row)
            return [Judged(*together(asking_now, (Answer(turns[ends:]), other), names), 1)]
        first, second = several(values[0], names[0]), several(values[1], names[1])
        if mode == "implicit":
            text = common_start(str(first[0].content), str(second[0].content))
            if not text:
                raise Bad(f"{names[0]} and {names[1]} begin with no common prompt")
            cut = (Answer(str(y[0].content)[len(text) :].strip()) for y in (first, second))
            return [Judged(*together((text, None), (next(cut), next(cut)), names), 1)]
        if asking.main is not None and not hold_prompt(first, second):
            asking_now = asking.read(row)
        elif asking.parts or asking.main:
            with contextlib.suppress(Bad):
                asking_now = (
                    asking.read(row)
                    if asking.main
                    else (system_of(asking, row), tools_of(asking, row))
                )
        if mode == "prefixed" and asking_now is not None and isinstance(asking_now[0], str):
            p = str(at(row, asking.main or ""))
            if all(isinstance(y.content, str) and _begins(y.content, p) for y in (*first, *second)):
                first, second = (
                    [Answer(str(y.content)[len(p) :].strip(), y.facts) for y in s]
                    for s in (first, second)
                )
        said: Said = []
        for a, b in itertools.product(first, second):
            said.append(Judged(*together(asking_now, (a, b), names), 1, facts_of(a, b)))
        return said

    many = [len(o) for x, _ in sample if isinstance(o := opened(x), list) and not is_messages(o)]
    if many:
        notes.append("Every preferred answer of a row is compared with every other one.")
    facts = frozenset({"model"}) if name_models(sample) else frozenset()
    used = {good, bad}
    found = f"{paths[0]} is preferred to {paths[1]}"
    return Shape(name, read, frozenset({*paths, *asking.used}), found, order_known=False, facts=facts,
                 sides=sides, notes=tuple(notes),
        ratings=ratings_of(view, sides, used))  # fmt: skip


def _begins(text: str, prompt: str) -> bool:
    return len(text) > len(prompt) and text.startswith(prompt)


def _opens(messages: list[Any]) -> bool:
    with contextlib.suppress(Bad):
        return messages_of(messages, "")[0]["role"] in ("user", "system")
    return False


def ratings_of(view: View, sides: tuple[str, str], used: set[str]) -> tuple[str, str] | None:
    """The columns of scores of the two answers, which may stand against the choice."""
    tokens = {name: words(name) for name in view.names}
    for name, said in tokens.items():
        if sides[0] not in said or name in used:
            continue
        if last_word(w for w in said if w != sides[0]) in SCORES:
            match = tuple(sides[1] if w == sides[0] else w for w in said)
            other = next((n for n, s in tokens.items() if s == match), None)
            if other is not None:
                return view.names[name], view.names[other]
    return None


def build_output_of_two(view: View) -> Shape | None:
    """``output`` as a list of the preferred answer and the other one, as LLaMA-Factory had it."""
    if not view.has("instruction", "output") or not mostly(
        view.values("output"),
        lambda v: (
            isinstance(o := opened(v), list) and len(o) == 2 and all(isinstance(x, str) for x in o)
        ),
        0.9,
    ):
        return None
    if any(
        set(words(n)) & (VERDICT_WORDS | set(SCORES) | set(RANKS) | {"label"}) for n in view.names
    ):
        return None
    path = view.names["output"]
    asking = asked(view, {"output"})

    def read(row: Row) -> Said:
        found = opened(need(row, path))
        if not isinstance(found, list) or len(found) != 2:
            raise Bad(f"is {show(found)}, expected a list of two answers", path)
        names = f"{path}[0]", f"{path}[1]"
        return [
            Judged(
                *together(
                    asking.read(row),
                    (answer(found[0], names[0]), answer(found[1], names[1])),
                    names,
                ),
                1,
            )
        ]

    return Shape(
        "chosen_rejected",
        read,
        frozenset({path, *asking.used}),
        f"the first of {path} is preferred to the second",
        order_known=False,
    )
