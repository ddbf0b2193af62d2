"""The prompt of a row, and how it comes together with the answers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from causalpref.data import Conversation
from causalpref.sources._layouts import GOOD_BAD, MAIN, PARTS, SIDES, TASKS  # fmt: skip
from causalpref.sources._rows import Bad, Row
from causalpref.sources._values import (
    Answer,
    Message,
    answer,
    as_json,
    filled,
    is_empty,
    is_message,
    is_messages,
    messages_of,
    opened,
    parsed,
    plain,
    string,
    transcript,
    words,
)  # fmt: skip
from causalpref.sources._view import View, at, mostly, need

# -- the prompt ------------------------------------------------------------------------

Prompt = tuple[str | list[Message], Any]
"""What was asked, as text or messages, and the tools that were offered."""


@dataclass(frozen=True)
class Asked:
    """The columns that make up the prompt."""

    main: str | None
    parts: Mapping[str, str]

    @property
    def used(self) -> set[str]:
        return {*self.parts.values(), *([self.main] if self.main else ())}

    def read(self, row: Row) -> Prompt:
        """The prompt of a row.

        Raises
        ------
        Bad
            A prompt that is empty or no text.
        """
        if self.main is None:
            raise Bad("there is no column with the prompt")
        before, texts = list(system_of(self, row)), []
        for part in ("history", "context"):
            path = self.parts.get(part, "")
            if path and not is_empty(said := opened(at(row, path))):
                if isinstance(said, list) and part == "context" and _is_texts(said):
                    texts += [string(s, path) for s in said]
                elif isinstance(said, list):
                    before += _turns(said, path)
                else:
                    texts.append(string(said, path))
        tools, value = tools_of(self, row), need(row, self.main)
        if isinstance(value, Conversation):
            return value, None
        if isinstance(value, str) and in_messages(value):
            value = opened(value)
        if isinstance(value, Mapping) and not is_message(value):
            value = answer(value, self.main).content
        if is_message(value):
            value = [value]
        path = self.parts.get("input", "")
        after = [string(more, path)] if path and not is_empty(more := at(row, path)) else []
        whole = str(value)
        again = lambda t: len(t) > 40 and t.strip() in whole  # said in the prompt already
        texts, after = ([t for t in side if not again(t)] for side in (texts, after))
        if isinstance(value, list):
            return self._conversation(before, texts, _turns(value, self.main), after), tools
        said = [text for text in (string(value, self.main), *after) if text.strip()]
        text = "\n\n".join([*texts, filled("\n\n".join(said), self.main)])
        if before or tools:
            return [*before, {"role": "user", "content": text}], tools
        return text, None

    def _conversation(
        self, before: list[Message], texts: list[str], turns: list[Message], after: list[str]
    ) -> list[Message]:
        """Messages, with what other columns put before and after them."""
        if not any(m["content"].strip() or m.get("tool_calls") for m in turns):
            raise Bad("is empty", self.main)
        if texts:
            turns[0] = {**turns[0], "content": "\n\n".join([*texts, turns[0]["content"]])}
        if after:
            turns[-1] = {**turns[-1], "content": "\n\n".join([turns[-1]["content"], *after])}
        if before and before[0]["role"] == turns[0]["role"] == "system":
            before = before[1:]
        return before + turns


def _is_texts(value: list[Any]) -> bool:
    return all(isinstance(v, str) for v in value)


def _turns(value: list[Any], name: str) -> list[Message]:
    """Messages of a list: of messages, of pairs of question and answer, of alternating texts."""
    if not value:
        raise Bad("is empty", name)
    if all(isinstance(v, list) and len(v) == 2 for v in value):
        texts = [text for pair in value for text in pair]
    elif all(isinstance(v, str) or v is None for v in value):
        texts = value
    else:
        return messages_of(value, name)
    return [
        {"role": role, "content": string("" if text is None else text, f"{name}[{i}]")}
        for i, (role, text) in enumerate(zip(itertools.cycle(("user", "assistant")), texts))
    ]


def asked(view: View, taken: Collection[str], answers: str = "") -> Asked:
    """The columns of the prompt among those that hold no answer.

    A prompt that shares the first word of the column of ``answers`` comes first: ``orig_question``
    beside ``orig_answer_a``.
    """
    inside = tuple(f"{view.names[n]}." for n in taken if n in view.names)
    open_ = [n for n, p in view.names.items() if n not in taken and not p.startswith(inside)]
    like = words(answers)[:1]
    sides = {w for pair in (*SIDES, *GOOD_BAD) for w in pair}
    known = [n for n in open_ if len(words(n)) > 1 and words(n)[:1] == like and not {*like} & sides]
    known = [n for n in known if plain("_".join(words(n)[1:])) in MAIN]
    known += [n for n in MAIN if n in open_]
    known += [n for n in open_ if words(n)[-1:] and words(n)[-1] in MAIN[:9]]
    held = [n for n in open_ if any(is_messages(opened(v)) for v in view.values(n)[:50])]
    open_ = [n for n in dict.fromkeys((*known, *held)) if view.texty(n) or view.blank(n)]
    main = view.first(open_, taken)
    parts = {}
    for part, names in PARTS.items():
        telling = [n for n in names if part != "context" or _tells(view, n)]
        name = view.first(telling, {*taken, main or ""})
        if name is not None and (part != "input" or main != "messages"):
            parts[part] = view.names[name]
    if main is not None and not parts.keys() - {"system", "tools"} and _varies(view, main) == 1:
        other = next((n for n in open_ if n in TASKS and _varies(view, n) > 1), None)
        if other is not None:  # what to do, the same in every row, and what to do it with
            parts["context"], main = view.names[main], other
    if main is None:
        parts = {k: v for k, v in parts.items() if k in ("system", "tools")}
    return Asked(view.names[main] if main else None, parts)


def _tells(view: View, name: str) -> bool:
    """Whether a column may hold what was said: lists or texts of several words, no codes."""
    values = view.values(name) if name in view.names else []
    return not mostly([v for v in values if not is_empty(v)], _is_code)


def _is_code(value: Any) -> bool:
    """Whether a value is a number, an object of facts, or one word of ASCII."""
    if isinstance(value, str):
        return value.isascii() and " " not in value.strip()
    return not isinstance(value, list)


def _varies(view: View, name: str) -> int:
    """How many values a column has; 0 where there is but one row."""
    values = view.values(name)
    return len(set(map(str, values))) if len(values) > 1 else 0


# -- prompt and answers together ------------------------------------------------------


Sides = tuple[Answer, Answer]


def together(prompt: Prompt, answers: Sides, names: tuple[str, str]) -> tuple[str, str, str]:
    """Prompt, first and second text of a comparison.

    Conversations that hold the prompt themselves are parted where they differ; of ``prompt`` they
    take the system message, where they have none, and the tools.

    Raises
    ------
    Bad
        No prompt, or conversations that share none.
    """
    asked_, tools = prompt
    for given, name in zip(answers, names):
        if given.content == []:
            raise Bad("holds no messages", name)
    inside = [hold_prompt([given]) for given in answers]
    if any(inside):
        if not all(inside):
            raise Bad(f"only one of {names[0]} and {names[1]} holds the prompt")
        first, second = (y.content for y in answers if isinstance(y.content, list))
        shared, *rest = parted(first, second, names)
        if isinstance(asked_, list) and asked_:
            own = [m for m in shared[:1] if m["role"] == "system"]
            turns = shared[len(own) :]
            own = own or [m for m in asked_[:1] if m["role"] == "system"]
            shared = [*own, *_earlier(asked_, turns), *turns]
        a, b = map(_text, rest)
        return Conversation(shared, tools=tools), a, b
    if not asked_:
        raise Bad(f"there is no prompt beside {names[0]} and {names[1]}")
    if isinstance(asked_, list):
        last = asked_[-1]
        if len(asked_) > 1 and last["role"] == "assistant" and _answered(last, answers):
            asked_ = asked_[:-1]  # the conversation holds the preferred answer as well
        asked_ = Conversation(asked_, tools=tools)
    a, b = (_text(given.content) for given in answers)
    return asked_, a, b


def _earlier(asked_: list[Message], shared: list[Message]) -> list[Message]:
    """The turns of a prompt that come before those that both answers begin with."""
    turns = [m for m in asked_ if m["role"] != "system"]
    alike = lambda one, other: len(one) == len(other) and all(map(_same, one, other))
    if not turns or alike(turns, shared[: len(turns)]):
        return []
    if turns[-1]["role"] == "assistant":
        return turns
    return turns[: -len(shared)] if alike(turns[-len(shared) :], shared) else []


def _answered(last: Message, answers: Sides) -> bool:
    """Whether the last turn of a conversation is one of the answers."""
    said = [y.content if isinstance(y.content, str) else y.content[0]["content"] for y in answers]
    return last["content"].strip() in {text.strip() for text in said}


def _text(content: str | list[Message]) -> str:
    return Conversation(content) if isinstance(content, list) else content


def parted(
    first: list[Message], second: list[Message], names: tuple[str, str]
) -> tuple[list[Message], list[Message], list[Message]]:
    """The messages that both begin with, up to where the assistants' answers begin."""
    systems = [
        turns[0]["content"] if turns[0]["role"] == "system" else None for turns in (first, second)
    ]
    if (systems[0] is None) != (systems[1] is None):
        one, other = names if systems[0] is not None else names[::-1]
        raise Bad(f"{one} begins with a system message and {other} has none")
    k, most = 0, min(len(first), len(second)) - 1
    while k < most and _same(first[k], second[k]):
        k += 1
    while k > 0 and not (
        first[k - 1]["role"] in ("user", "tool")
        and first[k]["role"] == second[k]["role"] == "assistant"
    ):
        k -= 1
    if k <= 0:
        why = "; their system messages differ" if systems[0] != systems[1] else ""
        raise Bad(
            f"{names[0]} and {names[1]} share no prompt: no human turn that both begin "
            f"with and the assistant answers{why}"
        )
    if not any(m["content"].strip() or m.get("tool_calls") for m in first[:k]):
        raise Bad(f"the prompt of {names[0]} and {names[1]} is empty")
    return first[:k], first[k:], second[k:]


def _same(one: Message, other: Message) -> bool:
    """Whether two messages say the same, blanks around them apart."""
    return {**one, "content": one["content"].strip()} == {
        **other,
        "content": other["content"].strip(),
    }


def as_transcripts(texts: tuple[str, str], names: tuple[str, str]) -> tuple[str, str, str]:
    """Prompt and answers of two transcripts with ``Human:`` and ``Assistant:`` turns."""
    one, other = (parsed(text, name) for text, name in zip(texts, names))
    shared, a, b = parted(one, other, names)
    said = (
        "\n\n".join([y[0]["content"], *([transcript(y[1:])] if len(y) > 1 else [])]) for y in (a, b)
    )
    first, second = said
    return transcript(shared), first, second


def common_start(first: str, second: str) -> str:
    """What two texts begin with, cut at the end of a word, as TRL finds an implicit prompt."""
    n = next(
        (i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second))
    )
    while n and not (
        first[n - 1].isspace() or (first[n : n + 1].isspace() and second[n : n + 1].isspace())
    ):
        n -= 1
    return first[:n].rstrip()


def tools_of(asking: Asked, row: Row) -> list[Any] | None:
    """The tools of a row, if it has any."""
    tools = opened(at(row, asking.parts["tools"])) if "tools" in asking.parts else None
    if is_empty(tools):
        return None
    return as_json(tools if isinstance(tools, list) else [tools], asking.parts["tools"])


def system_of(asking: Asked, row: Row) -> list[Message]:
    """The system message of a row, if it has one."""
    path = asking.parts.get("system", "")
    said = at(row, path) if path else None
    return [] if is_empty(said) else [{"role": "system", "content": string(said, path)}]


def around(asking: Asked, row: Row) -> Prompt:
    """What a row has beside answers that are whole conversations: messages, where it has some."""
    tools = tools_of(asking, row)
    with contextlib.suppress(Bad):
        said = asking.read(row)[0]
        if isinstance(said, list):
            return said, tools
    return system_of(asking, row), tools


def hold_prompt(answers: Sequence[Answer]) -> bool:
    """Whether answers are whole conversations, which begin with what was asked."""
    return all(
        isinstance(y.content, list) and y.content and y.content[0]["role"] in ("user", "system")
        for y in answers
    )


def in_messages(text: str) -> bool:
    found = opened(text)
    return found is not text and (is_messages(found) or is_message(found))


def several(value: Any, name: str) -> list[Answer]:
    """One answer, or the answers of a list."""
    value = opened(value) if isinstance(value, str) and in_messages(value) else value
    if isinstance(value, list) and not is_messages(value):
        if not value:
            raise Bad("is an empty list", name)
        if not all(isinstance(p, Mapping) and "type" in p for p in value):
            return [answer(v, f"{name}[{i}]") for i, v in enumerate(value)]
    return [answer(value, name)]
