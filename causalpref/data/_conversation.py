"""A conversation as chat messages, which reads as a string wherever a text is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

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
        Each with ``role`` ("system", "user", "assistant" or "tool") and ``content`` (str; None is
        no words beside ``tool_calls``), and whatever else a chat template knows. What else is
        None is left out.
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
        kept = tuple({k: v for k, v in m.items() if v is not None} for m in messages)
        if not kept:
            raise ValueError("messages is empty: a conversation has at least one")
        for i, message in enumerate(kept):
            if message.get("tool_calls"):
                message.setdefault("content", "")
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

    @classmethod
    def from_json(cls, cell: str) -> Conversation:
        """What :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            A string that is not JSON, or not that of messages.
        """
        said = json.loads(cell)
        whole = said if isinstance(said, dict) else {"messages": said}
        messages = whole.get("messages")
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise ValueError(f"the JSON {cell[:60]!r} is no list of messages")
        return cls(messages, tools=whole.get("tools"))

    def to_json(self) -> str:
        """A list of the messages, or where there are tools an object of both, as JSON."""
        said: Any = self.messages
        if self.tools is not None:
            said = {"messages": self.messages, "tools": self.tools}
        return json.dumps(said, default=str)

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self.messages, self.tools)

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Speaker and words of each message, tool calls among the words; see :data:`SPEAKERS`."""
        return [(SPEAKERS[m["role"]], _words(m)) for m in self.messages]


def turns(transcript: str) -> list[tuple[str, str]]:
    """Speaker and words of each turn of an HH-RLHF transcript.

    ``Human:`` or ``Assistant:`` at the start of a paragraph begins a turn; the speaker of
    what stands before the first one is ``""``. A turn without words is left out.
    A :class:`Conversation` gives the turns that it holds; nothing is parsed.
    """
    if isinstance(transcript, Conversation):
        return [(name, words.strip()) for name, words in transcript.turns if words.strip()]
    found = [["", ""]]
    for paragraph in transcript.strip().split("\n\n"):
        name, mark, rest = paragraph.partition(":")
        if mark and name in ("Human", "Assistant"):
            found.append([name, rest.strip()])
        else:
            found[-1][1] += "\n\n" + paragraph
    return [(name, words.strip()) for name, words in found if words.strip()]


def as_messages(text: str, role: Literal["user", "assistant"]) -> list[dict[str, Any]]:
    """Chat messages of a prompt (``role`` "user") or of a response ("assistant").

    Those of a :class:`Conversation` as they are. A plain response is one message. So is a plain
    prompt, unless it is a transcript: its turns alternate between user and assistant, as chat
    templates ask; text before the first marker opens the first user turn, and adjacent turns of
    one speaker become one.
    """
    if isinstance(text, Conversation):
        return [dict(message) for message in text.messages]
    found = turns(text) if role == "user" else []
    if not any(name for name, _ in found):
        return [{"role": role, "content": text}]
    chat: list[dict[str, Any]] = []
    for name, words in found:
        speaker = "assistant" if name == "Assistant" else "user"
        if chat and chat[-1]["role"] == speaker:
            chat[-1]["content"] += "\n\n" + words
        else:
            chat.append({"role": speaker, "content": words})
    return chat


def cells(texts: Iterable[str]) -> list[str | None] | None:
    """The JSON of each conversation, None for a plain text; None where all of them are plain."""
    said = [text.to_json() if isinstance(text, Conversation) else None for text in texts]
    return said if any(cell is not None for cell in said) else None


def alike(one: str, other: str, *, ids: bool = True) -> bool:
    """Whether two texts are equal in their messages and tools too.

    Without ``ids``, what links a tool call to its result does not count.
    """
    if not isinstance(one, Conversation) or not isinstance(other, Conversation):
        return type(one) is type(other) and one == other
    if one.tools != other.tools or len(one.messages) != len(other.messages):
        return False
    if one.messages == other.messages:
        return True
    return not ids and _unlinked(one.messages) == _unlinked(other.messages)


def _unlinked(said: Any) -> Any:
    if isinstance(said, Mapping):
        return {k: _unlinked(v) for k, v in said.items() if k not in ("id", "tool_call_id")}
    return [_unlinked(v) for v in said] if isinstance(said, (list, tuple)) else said


def tools_of(*texts: str) -> list[Any] | None:
    """The tools of the first of the texts that has any."""
    for text in texts:
        if isinstance(text, Conversation) and text.tools:
            return list(text.tools)
    return None


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
    given = "" if call.get("arguments") is None else call["arguments"]
    if not isinstance(given, str):
        given = json.dumps(given, ensure_ascii=False, sort_keys=True)
    return f"[tool call] {call.get('name', '')}({given})"
