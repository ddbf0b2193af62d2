"""A conversation as chat messages, which reads as a string wherever a text is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

SPEAKERS = {"user": "Human", "assistant": "Assistant", "system": "", "tool": "Tool"}
"""What a transcript calls each role."""


class Conversation(str):
    """A prompt or a response that keeps its messages.

    It is a string, the transcript of the messages: ``Human: ...``, ``Assistant: ...`` with an empty
    line between the turns. One user message alone is its plain words, and so is the first
    message of an assistant: the beginning of a response. What a message quotes is text, however
    much it looks like a turn.

    Parameters
    ----------
    messages : iterable of mapping
        Each with ``role`` ("system", "user", "assistant" or "tool") and ``content`` (str), and
        optionally ``tool_calls`` and whatever else a chat template knows.
    tools : sequence, optional
        The tools that the assistant could call, as chat templates take them.

    Raises
    ------
    ValueError
        No messages, a role that is none of the four, or a content that is not a string.
    """

    __slots__ = ("messages", "tools")

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Any, ...] | None

    def __new__(
        cls, messages: Iterable[Mapping[str, Any]], *, tools: Iterable[Any] | None = None
    ) -> Conversation:
        kept = tuple(dict(m) for m in messages)
        if not kept:
            raise ValueError("messages is empty: a conversation has at least one")
        for i, message in enumerate(kept):
            if message.get("role") not in SPEAKERS:
                raise ValueError(
                    f"messages[{i}] has the role {message.get('role')!r}, expected one of "
                    f"{', '.join(SPEAKERS)}"
                )
            if not isinstance(message.get("content"), str):
                raise ValueError(
                    f"messages[{i}] has the content {message.get('content')!r}, expected a string"
                )
        offered = None if tools is None else tuple(tools)
        self = super().__new__(cls, _transcript(kept, offered))
        self.messages, self.tools = kept, offered
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.messages, self.tools)

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Speaker and words of each message, tool calls among the words; see :data:`SPEAKERS`."""
        return [(SPEAKERS[m["role"]], _words(m)) for m in self.messages]


def _remade(messages: tuple[Mapping[str, Any], ...], tools: tuple[Any, ...] | None) -> Conversation:
    return Conversation(messages, tools=tools)


def _transcript(messages: tuple[dict[str, Any], ...], tools: tuple[Any, ...] | None) -> str:
    parts = [(SPEAKERS[m["role"]], _words(m)) for m in messages]
    if messages[0]["role"] == "assistant" or (len(messages) == 1 and messages[0]["role"] == "user"):
        parts[0] = "", parts[0][1]
    said = [f"{speaker}: {words}" if speaker else words for speaker, words in parts]
    if tools:
        said.insert(0, f"Tools: {json.dumps(tools, ensure_ascii=False, sort_keys=True)}")
    return "\n\n".join(said)


def _words(message: Mapping[str, Any]) -> str:
    """The content, followed by the tool calls that differ between two answers."""
    calls = [_called(call) for call in message.get("tool_calls") or ()]
    return "\n".join([message["content"]] * bool(message["content"] or not calls) + calls)


def _called(call: Any) -> str:
    call = call.get("function", call) if isinstance(call, Mapping) else call
    if not isinstance(call, Mapping):
        return f"[tool call] {call}"
    given = call.get("arguments", "")
    if not isinstance(given, str):
        given = json.dumps(given, ensure_ascii=False, sort_keys=True)
    return f"[tool call] {call.get('name', '')}({given})"
