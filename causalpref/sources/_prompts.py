"""The prompt of a row, and how it comes together with the answers."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from causalpref.data import Conversation
from causalpref.sources._layouts import MAIN, PARTS  # fmt: skip
from causalpref.sources._rows import Bad, Row, show
from causalpref.sources._values import (
    Answer,
    Message,
    answer,
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
from causalpref.sources._view import View, at, need

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
        assert self.main is not None
        value = opened(need(row, self.main))
        extra = {
            part: opened(v) for part, path in self.parts.items() if not is_empty(v := at(row, path))
        }
        tools = extra.pop("tools", None)
        if tools is not None and not isinstance(tools, list):
            tools = [tools]
        before: list[Message] = []
        if "system" in extra:
            before.append(
                {"role": "system", "content": string(extra["system"], self.parts["system"])}
            )
        texts: list[str] = []
        for part in ("history", "context"):
            if part in extra:
                said = self._part(extra[part], self.parts[part])
                if isinstance(said, str):
                    texts.append(said)
                else:
                    before += said
        if isinstance(value, Mapping) and not is_message(value):
            value = answer(value, self.main).content
        if is_message(value):
            value = [value]
        if isinstance(value, list):
            asked = self._part(value, self.main)
            assert isinstance(asked, list)
            if texts and asked:
                asked[0] = {**asked[0], "content": "\n\n".join([*texts, asked[0]["content"]])}
            if not any(m["content"].strip() or m.get("tool_calls") for m in asked):
                raise Bad("is empty", self.main)
            if before and before[0]["role"] == "system" and asked[0]["role"] == "system":
                before = before[1:]
            return before + asked, tools
        text = string(value, self.main)
        more = extra.get("input")
        if more is not None:
            text = f"{text}\n\n{string(more if isinstance(more, str) else at(row, self.parts['input']), self.parts['input'])}"
        text = "\n\n".join([*texts, filled(text, self.main)])
        if before or tools:
            return [*before, {"role": "user", "content": text}], tools
        return text, None

    def _part(self, value: Any, name: str) -> str | list[Message]:
        """A text, or the messages of a list: of messages, of question and answer, alternating."""
        if isinstance(value, str):
            return string(value, name)
        if not isinstance(value, list):
            raise Bad(f"is {show(value)}, expected a text or messages", name)
        if not value:
            raise Bad("is empty", name)
        if all(isinstance(v, list) and len(v) == 2 for v in value):
            turns = [t for pair in value for t in pair]
        elif all(isinstance(v, str) or v is None for v in value):
            turns = value
        else:
            return messages_of(value, name)
        roles = itertools.cycle(("user", "assistant"))
        return [
            {"role": role, "content": string("" if t is None else t, f"{name}[{i}]")}
            for i, (role, t) in enumerate(zip(roles, turns))
        ]


def asked(view: View, taken: Collection[str], answers: str = "") -> Asked:
    """The columns of the prompt among those that hold no answer.

    A prompt that shares the first word of the column of ``answers`` comes first: ``orig_question``
    beside ``orig_answer_a``.
    """
    open_ = [n for n in view.names if n not in taken]
    like = words(answers)[:1]
    known = [n for n in open_ if len(words(n)) > 1 and words(n)[:1] == like]
    known = [n for n in known if plain("_".join(words(n)[1:])) in MAIN]
    known += [n for n in MAIN if n in open_]
    known += [n for n in open_ if words(n)[-1:] and words(n)[-1] in MAIN[:9]]
    held = [n for n in open_ if any(is_messages(opened(v)) for v in view.values(n)[:50])]
    main = view.first((n for n in (*known, *held) if view.texty(n) or view.blank(n)), taken)
    parts = {}
    for part, names in PARTS.items():
        name = view.first(names, {*taken, main or ""})
        if name is not None and (part != "input" or main != "messages"):
            parts[part] = view.names[name]
    if main is None:
        parts = {k: v for k, v in parts.items() if k in ("system", "tools")}
    return Asked(view.names[main] if main else None, parts)


# -- prompt and answers together ------------------------------------------------------


Sides = tuple[Answer, Answer]


def together(asking: Prompt | None, answers: Sides, names: tuple[str, str]) -> tuple[str, str, str]:
    """Prompt, first and second text of a comparison.

    Conversations that hold the prompt themselves are parted where they differ.

    Raises
    ------
    Bad
        No prompt, or conversations that share none.
    """
    a, b = (ans.content for ans in answers)
    tools = asking[1] if asking else None
    if isinstance(a, list) or isinstance(b, list):
        first, second = (
            x if isinstance(x, list) else [{"role": "assistant", "content": x}] for x in (a, b)
        )
        for turns, name in ((first, names[0]), (second, names[1])):
            if not turns:
                raise Bad("holds no messages", name)
        starts = {
            first[0]["role"] in ("assistant", "tool"),
            second[0]["role"] in ("assistant", "tool"),
        }
        if starts == {True}:
            if asking is None:
                raise Bad(
                    f"{names[0]} and {names[1]} begin with the assistant, and there is no prompt"
                )
            prompt = asking[0]
            if isinstance(prompt, list):
                prompt = Conversation(prompt, tools=tools)
            return prompt, _response(a), _response(b)
        if len(starts) == 2:
            raise Bad(f"only one of {names[0]} and {names[1]} holds the prompt")
        shared, y, y2 = parted(first, second, names)
        if asking and isinstance(asking[0], list) and asking[0][0]["role"] == "system":
            if shared[0]["role"] != "system":
                shared = [asking[0][0], *shared]
        return Conversation(shared, tools=tools), Conversation(y), Conversation(y2)
    if asking is None:
        raise Bad("there is no prompt")
    prompt = asking[0]
    return (Conversation(prompt, tools=tools) if isinstance(prompt, list) else prompt), a, b


def _response(content: str | list[Message]) -> str:
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
    return first[:k], first[k:], second[k:]


def _same(one: Message, other: Message) -> bool:
    """Whether two messages say the same, blanks around them apart."""
    return {**one, "content": one["content"].strip()} == {
        **other,
        "content": other["content"].strip(),
    }


def as_transcripts(texts: tuple[str, str], names: tuple[str, str]) -> tuple[str, str, str]:
    """Prompt and answers of two transcripts with ``Human:`` and ``Assistant:`` turns."""
    shared, a, b = parted(*(parsed(text, name) for text, name in zip(texts, names)), names)
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


def tools_of(asking: Asked, row: Row) -> Any:
    tools = opened(at(row, asking.parts["tools"])) if "tools" in asking.parts else None
    return None if is_empty(tools) else tools if isinstance(tools, list) else [tools]


def system_of(asking: Asked, row: Row) -> list[Message] | str:
    said = at(row, asking.parts["system"]) if "system" in asking.parts else None
    return (
        ""
        if is_empty(said)
        else [{"role": "system", "content": string(said, asking.parts["system"])}]
    )


def hold_prompt(first: list[Answer], second: list[Answer]) -> bool:
    return all(
        isinstance(y.content, list) and y.content[0]["role"] in ("user", "system")
        for y in (*first, *second)
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
