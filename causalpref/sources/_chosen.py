"""Rows that name the preferred answer and the other one."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
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
    Asked,
    Prompt,
    around,
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

Columns = tuple[str, str, tuple[str, str]]
"""The preferred answer, the other one, and what the sides are called."""

Reader = Callable[[Row], Said]


def chosen_rejected(view: View) -> Columns | None:
    """The columns of the preferred answer and of the other one."""
    pairs: dict[Any, Columns] = {}
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
        return "response_j", "response_k", ("j", "k")
    return found or _lone(view)


def _lone(view: View) -> Columns | None:
    """One column of preferred answers and one of others, whose names are no pair.

    Or a rejected answer beside a plain one, or beside messages that end with the preferred one.
    """

    def like(side: int) -> list[str]:
        wanted = {pair[side] for pair in GOOD_BAD if len(pair[side]) > 1}
        return [
            n
            for n, path in view.names.items()
            if wanted & set(words(n)) and path in view.found and view.texty(n)
            if last_word(words(n)) not in NO_TEXTS
        ]

    good, bad = like(0), like(1)
    if len(bad) == 1 and not good:
        beside = ("response", "output", "answer", "completion", *_WHOLE)
        top = [n for n in beside if view.names.get(n) in view.found]
        good = [n for n in top if view.texty(n)][:1]
    if len(good) != 1 or len(bad) != 1 or good == bad:
        return None
    return good[0], bad[0], ("chosen", "rejected")


_WHOLE = ("messages", "conversations")
"""Columns of messages that hold the prompt and end with the preferred answer."""


def build_chosen_rejected(view: View, good: str, bad: str, sides: tuple[str, str]) -> Shape:
    """Rows that hold the preferred answer and the other one.

    Raises
    ------
    Lacks
        No prompt: in no column, and not in the answers either.
    """
    paths = view.names[good], view.names[bad]
    asking = asked(view, {good, bad}, good)
    cells = [(at(row, paths[0]), at(row, paths[1])) for row in view.sample]
    cells = [(x, y) for x, y in cells if not is_empty(x) and y is not None]
    texts = [(x, y) for x, y in cells if isinstance(x, str) and isinstance(y, str)]
    texts = [(x, y) for x, y in texts if not in_messages(x)]
    is_text, lacks = len(texts) > 0.5 * len(cells), Lacks("chosen_rejected", "prompt", _has(paths))
    name, notes, many = "chosen_rejected" if is_text else "messages", [], False
    if good in _WHOLE:
        read = _ending(asking, paths)
    elif is_text and mostly(texts, lambda pair: _is_transcript(pair[0], asking)):
        name, read = "transcripts", _transcripts(asking, paths)
        asking = Asked(None, {k: v for k, v in asking.parts.items() if k == "system"})
    elif is_text and asking.main is None:
        if not mostly([common_start(*pair) for pair in texts], _is_prompt, 0.9):
            raise lacks
        read = _implicit(paths)
        notes = [
            f"There is no column of prompts: the words that {paths[0]!r} and {paths[1]!r} both "
            "begin with are read as the prompt."
        ]
    else:
        lists = [x for pair in cells for x in pair if _is_list(x)]
        if asking.main is None and not mostly(cells, lambda pair: _opens(pair[0])):
            raise lacks
        whole = is_text and mostly(view.sample, lambda row: _begin(row, asking, paths), 0.9)
        read = _answers(asking, paths, whole)
        many = len(lists) > len(cells)
        if whole:
            notes = [f"{paths[0]!r} and {paths[1]!r} begin with the prompt, which is taken off."]
    if many:
        notes.append("Every preferred answer of a row is compared with every other one.")
    return Shape(
        name,
        read,
        frozenset({*paths, *asking.used}),
        f"{paths[0]} is preferred to {paths[1]}",
        order_known=False,
        facts=frozenset({"model"} if name_models(cells) else ()),
        sides=sides,
        notes=tuple(notes),
        ratings=_ratings(view, sides, {good, bad}),
    )


def _has(paths: tuple[str, str]) -> str:
    return f"the columns {paths[0]!r} and {paths[1]!r}"


def _is_prompt(text: str) -> bool:
    return len(text.split()) > 1 or len(text) > 8


def _is_transcript(text: str, asking: Asked) -> bool:
    find = TURN.match if asking.main else TURN.search
    return find(text.lstrip()) is not None


def _is_list(value: Any) -> bool:
    """Whether a cell holds several answers."""
    return isinstance(value, list) and not is_messages(value)


def _opens(value: Any) -> bool:
    """Whether messages begin with the prompt."""
    found = opened(value)
    with contextlib.suppress(Bad):
        return is_messages(found) and messages_of(found, "")[0]["role"] in ("user", "system")
    return False


def _begin(row: Row, asking: Asked, paths: tuple[str, str]) -> bool:
    """Whether both answers of a row begin with its prompt."""
    prompt = at(row, asking.main or "")
    if not isinstance(prompt, str) or not _is_prompt(prompt):
        return False
    return all(_begins(at(row, p), prompt) for p in paths)


def _begins(text: Any, prompt: str) -> bool:
    """Whether a text goes on after a prompt, not in the middle of a word."""
    if not isinstance(text, str) or not 0 < len(prompt) < len(text) or not text.startswith(prompt):
        return False
    ends = prompt[-1] + text[len(prompt)]
    return not (ends.isascii() and ends.isalnum())


def _transcripts(asking: Asked, paths: tuple[str, str]) -> Reader:
    def read(row: Row) -> Said:
        first, second = (filled(string(need(row, p), p), p) for p in paths)
        prompt, a, b = as_transcripts((first, second), paths)
        if TURN.match(prompt):  # with no words before its first turn
            prompt = "\n\n".join([*(m["content"] for m in system_of(asking, row)), prompt])
        return [Judged(prompt, a, b, 1)]

    return read


def _implicit(paths: tuple[str, str]) -> Reader:
    """The prompt is what both begin with, as TRL has it."""

    def read(row: Row) -> Said:
        first, second = (string(need(row, p), p) for p in paths)
        prompt = common_start(first, second)
        if not prompt:
            raise Bad(f"{paths[0]} and {paths[1]} begin with no common prompt")
        return [Judged(prompt, first[len(prompt) :].strip(), second[len(prompt) :].strip(), 1)]

    return read


def _ending(asking: Asked, paths: tuple[str, str]) -> Reader:
    """Messages that end with the preferred answer, beside the other one."""

    def read(row: Row) -> Said:
        turns = messages_of(need(row, paths[0]), paths[0])
        other = answer(need(row, paths[1]), paths[1])
        ends = len(turns)
        while ends and turns[ends - 1]["role"] == "assistant":
            ends -= 1
        if not 0 < ends < len(turns):
            raise Bad("does not end with an answer of the assistant", paths[0])
        before = [] if turns[0]["role"] == "system" else system_of(asking, row)
        tools = tools_of(asking, row)
        if hold_prompt([other]):
            return [Judged(*together((before, tools), (Answer(turns), other), paths), 1)]
        prompt = [*before, *turns[:ends]], tools
        return [Judged(*together(prompt, (Answer(turns[ends:]), other), paths), 1)]

    return read


def _answers(asking: Asked, paths: tuple[str, str], whole: bool) -> Reader:
    """Answers beside a prompt, or conversations that begin with it; several answers a side."""

    def cut(given: Answer, prompt: str) -> Answer:
        text = str(given.content)
        return Answer(text[len(prompt) :].strip(), given.facts) if _begins(text, prompt) else given

    def read(row: Row) -> Said:
        first, second = (several(need(row, p), p) for p in paths)
        questions = at(row, asking.main or "")
        batch = isinstance(questions, list) and [type(q) for q in questions[:2]] == [str, str]
        if batch and len(first) > 1:
            raise Bad("holds several prompts", asking.main)
        if hold_prompt([*first, *second]):
            prompt: Prompt = around(asking, row)
        else:
            prompt = asking.read(row)
        if whole and _begin(row, asking, paths):
            text = str(at(row, asking.main or ""))
            first, second = ([cut(y, text) for y in side] for side in (first, second))
        return [
            Judged(*together(prompt, (a, b), paths), 1, facts_of(a, b))
            for a, b in itertools.product(first, second)
        ]

    return read


def _ratings(view: View, sides: tuple[str, str], used: set[str]) -> tuple[str, str] | None:
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

    def two(value: Any) -> bool:
        found = opened(value)
        return isinstance(found, list) and [type(x) for x in found] == [str, str]

    judging = {*VERDICT_WORDS, *SCORES, *RANKS, "label"}
    if not view.has("instruction", "output") or not mostly(view.values("output"), two, 0.9):
        return None
    if any(set(words(n)) & judging for n in view.names):
        return None
    path, asking = view.names["output"], asked(view, {"output"})

    def read(row: Row) -> Said:
        found = opened(need(row, path))
        if not isinstance(found, list) or len(found) != 2:
            raise Bad(f"is {show(found)}, expected a list of two answers", path)
        names = f"{path}[0]", f"{path}[1]"
        sides = answer(found[0], names[0]), answer(found[1], names[1])
        return [Judged(*together(asking.read(row), sides, names), 1)]

    used = frozenset({path, *asking.used})
    meaning = f"the first of {path} is preferred to the second"
    return Shape("chosen_rejected", read, used, meaning, order_known=False)
