"""What one value of a row holds: a text, a number, a group, chat messages, an answer."""

from __future__ import annotations

import ast
import contextlib
import datetime
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from causalpref.sources._rows import Bad, Row, show

_NOT = re.compile(r"\b(non|dis|un|not) (preferred|chosen|selected|accepted)\b")


def words(name: str) -> tuple[str, ...]:
    """The words of a column's name in lower case: ``chosenModel2`` is chosen, model, 2."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", str(name))
    apart = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", apart)
    found = re.findall(r"[^\W_]+", apart.lower())
    return tuple(re.findall(r"[^\W_]+", _NOT.sub(r"\1\2", " ".join(found))))


def plain(name: str) -> str:
    """A column's name in one spelling: lower case, words joined by underscores."""
    return "_".join(words(name))


def stated(row: Row, name: str) -> Any:
    if name not in row:
        raise Bad("is missing", name)
    return row[name]


# -- single values ---------------------------------------------------------------

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def string(value: Any, name: str, *, nul: bool = False) -> str:
    if not isinstance(value, str):
        raise Bad(f"is {show(value)}, expected a string", name)
    found = _NO_TEXT.search(value) if "\0" in value or not value.isascii() else None
    if found and not (nul and found[0] == "\0"):
        what = (
            "NUL" if found[0] == "\0" else "half of a surrogate pair, or bytes that are not UTF-8"
        )
        raise Bad(f"holds {found[0]!r} at character {found.start() + 1}: {what}", name)
    return value


def filled(text: str, name: str) -> str:
    if not text or text.isspace():
        raise Bad("is empty", name)
    return text


def is_empty(value: Any) -> bool:
    """Nothing stated: null, nan, an empty text, or an empty list."""
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and (not value or value.isspace()))
        or (isinstance(value, (list, Mapping)) and not value)
    )


def opened(value: Any) -> Any:
    """The list or object that a cell holds as JSON (or as Python writes it); else the value."""
    if isinstance(value, str) and (start := value.lstrip()[:3]) and start[0] in "[{":
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(value)
            return found if isinstance(found, (list, dict)) else value
        if start.startswith(("[{'", "{'", "['")):  # as Python and numpy print them
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                found = ast.literal_eval(re.sub(r"\}\s*\n\s*\{", "}, {", value.strip()))
                return found if isinstance(found, (list, dict)) else value
    return value


def a_list(value: Any, name: str) -> list[Any]:
    value = opened(value)
    if not isinstance(value, list):
        raise Bad(f"is {show(value)}, expected a list (in a text file: as JSON)", name)
    return value


def as_number(value: Any, name: str) -> float:
    try:
        number = math.nan if value is None or isinstance(value, (list, dict)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Bad(f"is {show(value)}, expected a number", name)
    return number


def as_numbers(row: Row, name: str) -> tuple[float, ...]:
    values = stated(row, name)
    if isinstance(values, str) and re.fullmatch(r"\s*\[[^\[\]]*\]\s*", values):
        values = values.strip("[] \t\r\n").replace(",", " ").split()  # with commas or as numpy
    values = a_list(values, name)
    return tuple(as_number(v, f"{name}[{i}]") for i, v in enumerate(values))


def as_category(row: Row, name: str) -> int | str:
    """A value that names a group: a whole number as it is, anything else as its text."""
    value = stated(row, name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return value
    if value is None or isinstance(value, (Mapping, list, bytes)) or value != value:
        raise Bad(f"is {show(value)}, expected a word or a whole number", name)
    return filled(string(str(value), name), name)


def as_time(row: Row, name: str) -> float:
    """Seconds since the epoch: a number, a date of Python's, or one written as ISO 8601."""
    value = stated(row, name)
    with contextlib.suppress(Bad):
        return as_number(value, name)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.datetime.fromisoformat(value.strip())
    if not isinstance(value, datetime.datetime):
        raise Bad(f"is {show(value)}, expected seconds since the epoch or a date", name)
    try:
        return value.replace(tzinfo=value.tzinfo or datetime.UTC).timestamp()
    except (ValueError, OverflowError):
        raise Bad(f"is {show(value)}, a date out of range", name) from None


# -- messages --------------------------------------------------------------------

Message = dict[str, Any]
"""``role``, ``content``, and what else a chat template may use."""

_ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "customer"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatbot", "chatgpt", "ai"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(
        ("tool", "function", "observation", "ipython", "tool_response", "function_response"), "tool"
    ),
    **dict.fromkeys(("function_call", "tool_call"), "call"),
}
_ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
_CONTENT_KEYS = ("content", "value", "text", "message", "parts")
_KEPT = ("name", "tool_call_id", "reasoning_content", "thinking")


def is_message(value: Any) -> bool:
    """Whether a value looks like one chat message."""
    return (
        isinstance(value, Mapping)
        and (
            any(isinstance(value.get(k), str) for k in ("role", "from"))
            or any(str(value.get(k)).lower() in _ROLES for k in _ROLE_KEYS)
        )
        and any(k in value for k in (*_CONTENT_KEYS, "tool_calls", "function_call"))
    )


def is_messages(value: Any) -> bool:
    return isinstance(value, list) and any(map(is_message, value))


def messages_of(value: Any, name: str) -> list[Message]:
    """Chat messages in one form: OpenAI's, ShareGPT's, content parts, tool calls.

    Raises
    ------
    Bad
        What is no list of messages, a role that nobody knows, or a part that is no text.
    """
    found: list[Message] = []
    for i, given in enumerate(a_list(value, name)):
        at = f"{name}[{i}]"
        if not isinstance(given, Mapping):
            raise Bad(f"is {show(given)}, expected an object with role and content", at)
        found += _message(given, at)
    return found


def _message(given: Mapping[str, Any], at: str) -> list[Message]:
    role_key = next((k for k in _ROLE_KEYS if isinstance(given.get(k), str)), None)
    if role_key is None:
        raise Bad(f"is {show(given.get('role'))}, expected a string", f"{at}.role")
    said = string(given[role_key], f"{at}.{role_key}").strip().lower()
    role = _ROLES.get(said)
    if role is None:
        raise Bad(
            f"is {show(given[role_key])}, expected user, assistant, system or tool",
            f"{at}.{role_key}",
        )
    key = next((k for k in _CONTENT_KEYS if k in given and k != role_key), "content")
    calls = opened(given.get("tool_calls")) or []
    if not isinstance(calls, list):
        raise Bad(f"is {show(calls)}, expected a list", f"{at}.tool_calls")
    calls = [*calls]
    if given.get("function_call"):
        calls.append({"type": "function", "function": opened(given["function_call"])})
    content, more, results = _content(given.get(key), f"{at}.{key}", bool(calls) or role == "call")
    calls += more
    if role == "call":
        parsed = opened(content)
        call = parsed if isinstance(parsed, Mapping) else {"name": "", "arguments": content}
        calls, content, role = [{"type": "function", "function": dict(call)}], "", "assistant"
    message: Message = {"role": role, "content": content}
    if calls:
        message["tool_calls"] = as_json(calls, f"{at}.tool_calls")
    message |= {k: as_json(given[k], f"{at}.{k}") for k in _KEPT if not is_empty(given.get(k))}
    if results and not content and not calls:
        return results
    return [*results, message]


def as_json(value: Any, name: str) -> Any:
    """A value that can be written as JSON, and its strings as UTF-8; raises Bad otherwise."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Bad(f"cannot be written as JSON ({error})", name) from None
    return value


def _content(value: Any, at: str, may_lack: bool) -> tuple[str, list[Any], list[Message]]:
    """Words, tool calls and tool results of the content of a message."""
    if value is None and may_lack:
        return "", [], []
    if isinstance(value, Mapping) and "type" in value:
        value = [value]
    if not isinstance(value, list):
        return string(value, at), [], []
    texts: list[str] = []
    calls: list[Any] = []
    results: list[Message] = []
    for i, part in enumerate(value):
        where = f"{at}[{i}]"
        if isinstance(part, str):
            texts.append(string(part, where))
            continue
        if not isinstance(part, Mapping):
            raise Bad(f"is {show(part)}, expected a part with text", where)
        kind = part.get("type") or "text"
        if kind == "tool_use":
            function = {"name": part.get("name", ""), "arguments": part.get("input", {})}
            calls.append({"id": part.get("id"), "type": "function", "function": function})
        elif kind == "tool_result":
            words_, _, _ = _content(part.get("content"), f"{where}.content", True)
            results.append({"role": "tool", "content": words_})
        else:
            text = next((part[k] for k in ("text", "value", kind) if part.get(k) is not None), None)
            if not isinstance(text, str):
                raise Bad(f"is a part of type {kind!r}, and only text is read", where)
            texts.append(string(text, where))
    return "\n".join(texts), calls, results


# -- transcripts -------------------------------------------------------------------

TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_OF_SPEAKER = {"Human": "user", "Assistant": "assistant", "": "system"}


def parsed(text: str, name: str) -> list[Message]:
    """Turns of an HH-RLHF transcript, empty ones too."""
    marks = list(TURN.finditer(text))
    if not marks:
        raise Bad("has no turn that begins with Human: or Assistant:", name)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    before = text[: marks[0].start()].strip()
    return [{"role": "system", "content": before}] * bool(before) + [
        {"role": _OF_SPEAKER[mark[1]], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends)
    ]


def transcript(messages: list[Message]) -> str:
    """Messages as ``Human: ...``, ``Assistant: ...``; the first mark stays, even of one turn."""
    speaker = {"user": "Human: ", "assistant": "Assistant: ", "system": ""}
    said = (speaker[m["role"]] + m["content"] for m in messages)
    return "\n\n".join(said)


# -- answers -------------------------------------------------------------------------


@dataclass
class Answer:
    """One answer: its text or messages, and what else its object says of it."""

    content: str | list[Message]
    facts: Mapping[str, Any] = field(default_factory=dict)


TEXT_KEYS = (
    "text", "answer", "response", "content", "completion", "output", "generation", "summary",
    "reply", "continuation", "message", "body", "value", "candidate", "full_text", "answer_text",
    "messages", "conversation",
)  # fmt: skip


def answer(value: Any, name: str) -> Answer:
    """An answer as people store it: a text, a message, messages, or an object with one of these.

    Raises
    ------
    Bad
        Null, a number, or an object without a text.
    """
    if isinstance(value, str):
        found = opened(value)  # messages in a cell; any other JSON is an answer in JSON
        if not (is_message(found) or is_messages(found)):
            return Answer(string(value, name))
        value = found
    if is_message(value):
        return Answer(_message(value, name), value)
    if is_messages(value):
        return Answer(messages_of(value, name))
    if (
        isinstance(value, list)
        and value
        and all(isinstance(p, Mapping) and "type" in p for p in value)
    ):
        return Answer(_content(value, name, False)[0])
    if isinstance(value, Mapping):
        keys = {plain(k): k for k in value}
        key = next((keys[k] for k in TEXT_KEYS if k in keys and value[keys[k]] is not None), None)
        if key is None:
            raise Bad(
                f"is an object without a text ({', '.join(map(repr, list(value)[:6]))})", name
            )
        return Answer(answer(value[key], f"{name}.{key}").content, value)
    raise Bad(f"is {show(value)}, expected a text or messages", name)
