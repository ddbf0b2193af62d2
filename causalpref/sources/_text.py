"""Rows of text files: what the bytes are, what the characters are, and JSON and CSV.

A file is opened by what it holds; the end of its name only decides where the content does not.

Bytes. gzip, bzip2 and xz are unpacked. What is no text (an archive, a workbook, a pickle) or not
the data (a Git LFS pointer, a web page) is refused in a sentence that says what to do.

Characters. A byte order mark decides, or NUL bytes in every other place (UTF-16). Otherwise the
file is UTF-8, unless most of its characters beyond ASCII are not valid UTF-8 while they stand
alone between ASCII letters, as accents and quotation marks do in Windows-1252; a note says so.
Bytes that cannot be decoded become lone surrogates, which are found where a text is used, so that
one bad byte is one bad row.

JSON. One object a line; an array of objects; objects one after the other over several lines; or
one object around the rows: a list of objects under one of its keys, lists of equal length by
column, and what ``DataFrame.to_json`` writes. A single object that is none of these is one row.
A list of objects in the place of a row becomes ``{"answers": [...]}``. Of a key that occurs twice
in an object the last value holds, as everywhere in Python.

CSV. The delimiter is the one of comma, tab, semicolon and bar that cuts the header and the first
rows into the same number of cells.

Damage is a bad row at the line where it is. Reading goes on at the next line that begins as a row
does; where there is none, the last bad row says that the rest is lost (``Bad.rest``).
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from causalpref.sources._table import Bad, Row, Rows, Table, Where, count, listed, show

_BLOCK = 1 << 20

# -- bytes ---------------------------------------------------------------------------

_PACKERS: dict[str, tuple[bytes, Callable[..., Any]]] = {
    "gzip": (rb"\x1f\x8b", gzip.open),
    "bzip2": (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", bz2.open),
    "xz": (rb"\xfd7zXZ\0", lzma.open),
}
_ARCHIVE = "an archive: unpack it and name the file inside"
_NO_DATA = [
    (rb"version https://(?:git-lfs|hawser)\.github\.com/spec/", None),
    (rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body)\b", None),
    (rb"(?:\xef\xbb\xbf)?\s*<\?xml\b", "an XML document: save the rows as JSON lines or CSV"),
    (rb"PK\x03\x04(?s:.*)(?:\[Content_Types\]\.xml|xl/)", "an Excel workbook: save it as CSV"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook: save it as CSV"),
    (rb"PK(?:\x03\x04|\x05\x06)|7z\xbc\xaf\x27\x1c|Rar!\x1a|(?s:.{257})ustar", _ARCHIVE),
    (rb"\x28\xb5\x2f\xfd", "compressed with Zstandard: run `zstd -d` on it first"),
    (
        rb"\x80[\x02-\x05]",
        "a Python pickle, which can run code when it is opened: save the rows as JSON lines or "
        "Parquet",
    ),
    (rb"ARROW1|FEA1", "an Arrow file: save it as Parquet"),
    (rb"SQLite format 3\0", "an SQLite database: export the table as CSV"),
    (rb"%PDF-", "a PDF: save its table as CSV"),
    (rb"\x93NUMPY|\x89HDF", "a file of arrays: save the rows as JSON lines or Parquet"),
]


def refuse_no_data(name: str, start: bytes) -> None:
    """A sentence about a file that begins so and cannot hold rows."""
    for number, (pattern, what) in enumerate(_NO_DATA):
        if re.match(pattern, start, re.IGNORECASE if number == 1 else 0):
            what = (
                "a Git LFS pointer, not the data: run `git lfs pull` in its repository",
                "a web page (HTML), not the data: download the file itself",
            )[number] if what is None else what  # fmt: skip
            raise ValueError(f"{name} is {what}.")


class _Unpacked(io.RawIOBase):
    """The bytes of a compressed file up to where it is damaged, and what the damage is."""

    def __init__(self, path: Path, packer: str):
        self._file = _PACKERS[packer][1](path, "rb")
        self._packer = packer
        self.damage: str | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.damage:
            return 0
        try:
            block = self._file.read1(len(buffer))
        except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            self.damage = f"damaged {self._packer} ({error})"
            return 0
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._file.close()
        super().close()


def _damage(stream: io.TextIOWrapper) -> str | None:
    raw = getattr(stream.buffer, "raw", None)
    return raw.damage if isinstance(raw, _Unpacked) else None


@dataclass(frozen=True)
class Text:
    """A text file: its path, what messages call it, how it is compressed and encoded."""

    path: Path
    name: str
    packer: str | None
    encoding: str
    notes: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def opened(self, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
        with _bytes_of(self.path, self.packer) as raw:
            codecs.register_error(_LONE, _lone)
            wide = self.encoding.startswith(("utf-16", "utf-32"))
            errors = _LONE if wide else "surrogateescape"
            yield io.TextIOWrapper(raw, encoding=self.encoding, errors=errors, newline=newline)


def _bytes_of(path: Path, packer: str | None) -> io.BufferedReader:
    return open(path, "rb") if packer is None else io.BufferedReader(_Unpacked(path, packer), 65536)


def _packer(start: bytes) -> str | None:
    return next((p for p, (magic, _) in _PACKERS.items() if re.match(magic, start)), None)


def text_of(path: Path, name: str) -> Text:
    """How to read a text file, or a sentence about why it is none."""
    with open(path, "rb") as raw:
        start = raw.read(4096)
    refuse_no_data(name, start)
    packer = _packer(start)
    if packer:
        with _bytes_of(path, packer) as raw:
            start = raw.read(4096)
        refuse_no_data(name, start)
        if start.startswith(b"PAR1") or _packer(start):
            what = "a compressed Parquet file" if _packer(start) is None else "compressed twice"
            raise ValueError(f"{name} is {what}: unpack it once.")
    encoding, note = _encoding(path, name, packer, start)
    return Text(path, name, packer, encoding, [note] if note else [])


# -- characters ------------------------------------------------------------------------

_LONE = "causalpref-lone-surrogate"
_ASCII = bytes(range(128))
_HIGH = bytes(range(128, 256))
_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_RUN = re.compile(rb"[\x80-\xff]+")
# Of the bytes 80 to 9f, the ones that text in Windows-1252 hardly ever uses.
_RARE = re.compile(rb"[\x81-\x84\x86-\x89\x8d\x8f\x90\x98\x9d]")
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_ENOUGH = 1000


def _lone(error: UnicodeError) -> tuple[str, int]:
    """Bytes of UTF-16 or UTF-32 that are no character become one lone surrogate."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ud800", error.end


def _encoding(path: Path, name: str, packer: str | None, start: bytes) -> tuple[str, str | None]:
    """The encoding of a file, and a sentence where it is a surprise."""
    if start.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32", None
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", None
    even, odd = (start[:256][i::2].count(0) for i in (0, 1))
    units = len(start[:256]) // 2
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if units >= 4 and zeros >= units / 10 and others * 20 <= zeros and zeros >= 3:
            return encoding, f"{name} is read as UTF-16 (every other byte is NUL)"
    if start.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig", None
    good = bad = runs = rare = undefined = 0
    rest = b""
    with _bytes_of(path, packer) as raw:
        while good + bad < _ENOUGH:
            block = raw.read(_BLOCK)
            if not (block or rest):
                break
            if block.isascii() and block and not rest:
                continue
            ended, block = not block, rest + block
            whole = len(block) if ended or len(rest) > 1000 else len(block.rstrip(_HIGH))
            block, rest = block[:whole], block[whole:]
            other = _UTF8.sub(b"", block)
            good += len(_UTF8.findall(block))
            bad += len(other.translate(None, _ASCII))
            runs += len(_RUN.findall(other))
            rare += len(_RARE.findall(other))
            undefined += len(_UNDEFINED.findall(other))
    if bad * 2 <= good:
        return "utf-8-sig", None
    if bad <= good or bad > 1.7 * runs or rare > 0.1 * bad:
        return "utf-8-sig", f"{name} holds bytes that are neither UTF-8 nor Windows-1252"
    encoding, called = ("latin-1", "Latin-1") if undefined else ("cp1252", "Windows-1252")
    return encoding, f"{name} is read as {called} (it is not UTF-8)"


# -- which kind ------------------------------------------------------------------------

_OBJECT = re.compile(r'\{\s*(?:"|\}|$)')
_ARRAY = re.compile(r"\[\s*(?:[\[{\"\]\d-]|true|false|null|$)")


def table_of(
    text: Text, kind: str | None, split: str | None, otherwise: str | None
) -> Table | None:
    """The rows of a text file; ``kind`` is what its name says. None where nothing says it."""
    start, whole = _start(text)
    if not start:
        with text.opened() as stream:
            stream.read(_BLOCK)
            damage = _damage(stream)
        raise ValueError(f"{text.name}: {damage}" if damage else f"{text.name} is empty")
    json_like = _OBJECT.match(start) or _ARRAY.match(start)
    if not json_like and kind in ("json", "jsonl"):
        lines = [line for line in start.split("\n")[:50] if line.strip()]
        json_like = any(_OBJECT.match(x) for x in lines) or not _delimiter(start, whole, kind)
    if json_like:
        return _json(text, start, whole, split, otherwise)
    delimiter = _delimiter(start, whole, kind)
    if delimiter is None and kind is None:
        return None
    refuse_split(text.name, split)
    return _csv(text, delimiter or ",")


def refuse_split(name: str, split: str | None) -> None:
    if split is not None:
        raise ValueError(f"{name} is one file: split={split!r} goes with a folder or a hub id")


def _start(text: Text) -> tuple[str, bool]:
    """The first characters from the first that is not blank, and whether they are all."""
    with text.opened() as stream:
        while (start := stream.read(_BLOCK)) and not start.strip("\ufeff \t\r\n"):
            pass
        start = start.lstrip("\ufeff \t\r\n")
        if not start:
            return "", True
        more = stream.read(_BLOCK)
        return start + more, len(more) < _BLOCK


# -- JSON ------------------------------------------------------------------------------


def _row(value: Any) -> Row | Bad:
    """A row of JSON: an object, what the hub's viewer wraps, or a list of answers."""
    if isinstance(value, dict):
        if "row_idx" in value and isinstance(value.get("row"), dict):
            if value.get("truncated_cells"):
                return Bad("has cells that the dataset viewer cut off: take the file itself")
            return value["row"]
        return value
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        return {"answers": value}
    return Bad(f"is {show(value)}, expected an object")


def _parse(text: str) -> Any:
    """The value of a JSON text, or why it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else error
        return Bad(f"not JSON ({what})")


def _json(text: Text, start: str, whole: bool, split: str | None, otherwise: str | None) -> Table:
    name = text.name
    rows = None
    columns = None
    notes = list(text.notes)
    lines = start.split("\n")
    lines = [line for line in (lines if whole else lines[:-1]) if line.strip()]
    if _by_line(lines, whole):
        rows = lambda: _json_lines(text)
    elif start.startswith("["):
        rows = lambda: _series(text, None)
    else:
        found = _one_object(text, split, otherwise)
        if found is None:
            rows = lambda: _series(text, None)
        else:
            rows, columns, note, has_splits = found
            notes += note
            split = None if has_splits else split
    refuse_split(name, split)
    return Table(name, lambda wanted: rows(), columns, notes=notes)


def _by_line(lines: list[str], whole: bool) -> bool:
    """Whether each line is a row, by the first lines that are not blank."""
    if not lines:
        return False
    first, others = _parse(lines[0]), lines[1:50]
    if lines[0].startswith("["):
        more = any(isinstance(_parse(x), (list, dict)) for x in others)
        return isinstance(first, list) and more
    if not lines[0].startswith("{"):
        return True
    if isinstance(first, Bad):
        whole_rows = [x for x in others if isinstance(v := _parse(x), dict) and v]
        return len(whole_rows) > 0.4 * len(others)
    return bool(others) or not whole


def _json_lines(text: Text) -> Rows:
    with text.opened() as lines:
        held: tuple[int, str] | None = None
        for number, line in enumerate(lines, 1):
            if line.endswith("\n"):
                if not line.isspace():
                    value = _parse(line)
                    yield (
                        Where(text.name, "line", number),
                        value if isinstance(value, Bad) else _row(value),
                    )
            else:
                held = number, line
        damage = _damage(lines)
        number, line = held or (1, "")
        if damage:
            yield Where(text.name, "line", number), Bad(f"{damage}; the rest is lost", rest=True)
        elif line.strip():
            value = _parse(line)
            yield (
                Where(text.name, "line", number),
                value if isinstance(value, Bad) else _row(value),
            )


_BLANK = re.compile(r"[ \t\n\r\ufeff]*")
_NEAR = 16  # characters: longer than any token that has no end of its own


class _Broken(Exception):
    def __init__(self, line: int, reason: str, cut: bool = False):
        super().__init__(reason)
        self.line, self.reason, self.cut = line, reason, cut


class _Values:
    """The values of a JSON text one after the other, a block of it in memory."""

    def __init__(self, stream: io.TextIOWrapper):
        self._stream = stream
        self._decode = json.JSONDecoder().raw_decode
        self._text, self._at, self._ended = "", 0, False
        self.line = 1

    @property
    def damage(self) -> str | None:
        return _damage(self._stream) if self._ended else None

    def _more(self) -> bool:
        if self._ended:
            return False
        block = self._stream.read(max(_BLOCK, len(self._text) - self._at))
        if block:
            self._text, self._at = self._text[self._at :] + block, 0
        self._ended = not block
        return bool(block)

    def _to(self, at: int) -> None:
        self.line += self._text.count("\n", self._at, at)
        self._at = at

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self._to(blank.end() if blank else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, expected: str) -> None:
        if self.peek() != expected:
            raise _Broken(self.line, f"expected {expected}", not self.peek())
        self._at += 1

    def value(self) -> Any:
        self.peek()
        while True:
            broken = value = None
            end = self._at
            try:
                value, end = self._decode(self._text, self._at)
                short = end > len(self._text) - _NEAR and self._text[end - 1] not in '}]"'
            except json.JSONDecodeError as error:
                broken = error
                short = error.pos > len(self._text) - _NEAR or "Unterminated" in error.msg
            except (ValueError, RecursionError) as error:
                what = "nested too deep" if isinstance(error, RecursionError) else str(error)
                raise _Broken(self.line, what) from None
            if short and self._more():
                continue
            if broken is None:
                self._to(end)
                return value
            cut = broken.pos >= len(self._text.rstrip()) or "Unterminated" in broken.msg
            line = self.line + self._text.count("\n", self._at, broken.pos)
            raise _Broken(line, broken.msg, cut)

    def opening(self) -> str | None:
        """How the line of the object here begins, where other rows can be known by it."""
        indent = self._text[self._text.rfind("\n", 0, self._at) + 1 : self._at]
        if self.peek() != "{" or indent.strip(" \t"):
            return None
        below = self._text.find("\n", self._at) + 1
        if not indent and self._text[below : below + 1] not in (" ", "\t", "{"):
            return None
        return "\n" + indent + "{"

    def go_to(self, opening: str) -> bool:
        """On to the next line that begins so."""
        self._at = min(self._at + 1, len(self._text))
        while (found := self._text.find(opening, self._at)) < 0:
            self._to(max(self._at, len(self._text) - len(opening)))
            if not self._more():
                return False
        self._to(found + len(opening) - 1)
        return True


def _series(text: Text, key: str | None) -> Rows:
    """The rows of an array, of objects one after the other, or of the array under a key."""
    name = text.name
    with text.opened() as stream:
        values = _Values(stream)
        try:
            if key is not None:
                values.skip("{")
                while _key(values) != key:
                    values.value()
                    if values.peek() == ",":
                        values.skip(",")
        except _Broken as broken:  # the file changed since it was opened
            yield Where(name, "line", broken.line), Bad(f"not JSON ({broken.reason})", rest=True)
            return
        array = values.peek() == "["
        lost = yield from _items(values, name, array)
        if lost or not array:
            return
        try:
            while key is not None and values.peek() == ",":
                values.skip(",")
                _key(values)
                values.value()
            if key is not None:
                values.skip("}")
            if values.peek():
                raise _Broken(values.line, "something follows the array")
            if values.damage:
                where = Where(name, "line", values.line)
                yield where, Bad(f"{values.damage}; the rest is lost", rest=True)
        except _Broken as broken:
            yield Where(name, "line", broken.line), Bad(f"not JSON ({broken.reason})", rest=True)


def _items(values: _Values, name: str, array: bool) -> Any:
    """Each value with its line; whether the rest of the file is lost."""
    if array:
        values.skip("[")
    opening, what = None, "the array is cut off" if array else "the file is cut off"
    while True:
        char = values.peek()
        where = Where(name, "line", values.line)
        if array and char == "]":
            values.skip("]")
            return False
        if not char:
            if array or values.damage:
                reason = f"{values.damage or what}; the rest is lost"
                yield where, Bad(reason, rest=True)
                return True
            return False
        opening = opening or values.opening()
        try:
            value = values.value()
            yield where, _row(value)
            after = values.peek()
            if after == ",":
                values.skip(",")
            elif array and after not in ("]", "{", ""):
                raise _Broken(values.line, "expected a comma or ]")
        except _Broken as broken:
            if broken.cut:
                reason = values.damage or f"{what} at line {broken.line}"
                yield where, Bad(f"{reason}; the rest is lost", rest=True)
                return True
            found = opening is not None and values.go_to(opening)
            place = Where(name, "line", broken.line)
            if not found:
                reason = f"not JSON ({broken.reason}); the rest is lost"
                yield place, Bad(reason, rest=True)
                return True
            yield place, Bad(f"not JSON ({broken.reason})")


def _key(values: _Values) -> str:
    if values.peek() != '"':
        raise _Broken(values.line, "expected a key", not values.peek())
    key = values.value()
    values.skip(":")
    return key


# -- one object around the rows ----------------------------------------------------------

_AROUND = {
    *("data", "rows", "examples", "instances", "items", "results", "records", "samples"),
    *("entries", "questions", "annotations", "pairs", "comparisons", "preferences", "dataset"),
}
_SPLIT = re.compile(r"(train|test|valid|val|dev|eval)(\W|_|\d|$|ing|idation|elopment|uation)", re.I)
_OF_A_ROW = re.compile(
    r"(^|_)(prompts?|instructions?|questions?|query|inputs?|context|conversations?|messages?|post"
    r"|chosen|rejected|responses?|answers?|completions?|outputs?)(_|\d|$)",
    re.I,
)

_ANSWERS = re.compile(
    "answers|summaries|completions|candidates|responses|generations|outputs|replies|options|choices"
)


def _is_turn(value: Mapping[str, Any]) -> bool:
    return bool(value.keys() & {"role", "from", "speaker", "author"}) and bool(
        value.keys() & {"content", "value", "text", "tool_calls", "message"}
    )


@dataclass
class _Member:
    """What one key of an object holds; ``n`` values of a list, an object's own keys."""

    key: str
    kind: str
    n: int = 0
    value: Any = None


def _members(values: _Values) -> tuple[list[_Member], bool]:
    """The members of the object that is next, and whether nothing is wrong with it.

    Lists are gone through value by value and not kept.
    """
    members: list[_Member] = []
    try:
        values.skip("{")
        while values.peek() != "}":
            key = _key(values)
            if values.peek() != "[":
                value = values.value()
                kind = "object" if isinstance(value, dict) else "value"
                members.append(_Member(key, kind, value=value if kind == "object" else None))
            else:
                values.skip("[")
                member = _Member(key, "empty")
                members.append(member)
                _go_through(values, member)
            if values.peek() != "}":
                values.skip(",")
                if values.peek() == "}":
                    raise _Broken(values.line, "a comma before }")
        values.skip("}")
    except _Broken:
        return members, False
    return members, True


def _go_through(values: _Values, member: _Member) -> None:
    """What most values of a list are."""
    kinds: Counter[str] = Counter()
    try:
        while values.peek() != "]":
            value = values.value()
            if isinstance(value, dict):
                kinds["turns" if _is_turn(value) else "objects"] += 1
            else:
                kinds["lists" if isinstance(value, list) else "values"] += 1
            if values.peek() != "]":
                values.skip(",")
                if values.peek() == "]":
                    raise _Broken(values.line, "a comma before ]")
        values.skip("]")
    finally:
        if kinds:
            member.kind, member.n = kinds.most_common(1)[0][0], kinds.total()


_Found = tuple[Callable[[], Rows], list[str] | None, list[str], bool]


def _one_object(text: Text, split: str | None, otherwise: str | None) -> _Found | None:
    """Rows inside of the one object of a file; None: it is not one, or is a row itself."""
    with text.opened() as stream:
        values = _Values(stream)
        members, sound = _members(values)
        if sound and values.peek():
            return None
    kinds = {m.key: m.kind for m in members}
    if kinds.get("data") == "object" and kinds.get("annotations") in ("objects", "empty"):
        return None  # one task of Label Studio
    lists = [m for m in members if m.kind in ("values", "lists", "objects", "turns")]
    lengths = {m.n for m in lists}
    columns = len(lists) == len(members) > 1 and bool({"values", "lists"} & set(kinds.values()))
    split_up = kinds.get("columns") == "values" and kinds.get("data") in ("lists", "empty")
    if sound and columns and len(lengths) == 1 and not split_up:
        return lambda: _column_rows(text), list(kinds), [], False
    under, splits = _key_of_rows(text.name, members, split, otherwise)
    if under is not None:
        others = [m.key for m in members if m.key != under]
        note = f"{text.name}: the rows are those under {under!r}" + (
            f"; not read: {listed(others, 10)}" if others else ""
        )
        return lambda: _series(text, under), None, [note], splits
    if not sound:
        return None
    if split_up:
        return lambda: _split_rows(text), None, [], False
    if columns and "turns" not in kinds.values() and min(lengths) > 2:
        held = ", ".join(f"{m.key!r} {m.n:,}" for m in lists[:10])
        raise ValueError(
            f"{text.name} holds columns of unequal length ({held}): expected one value of "
            "each column for each row."
        )
    if members and all(m.kind == "object" and m.value for m in members):
        inner = set(itertools.chain(*(m.value for m in members)))
        if all(k.isdecimal() for k in inner) and len(members) > 1:
            return lambda: _column_rows(text), list(kinds), [], False
        by_number = all(m.key.isdecimal() for m in members)
        named = any(map(_OF_A_ROW.search, inner)) and not any(map(_OF_A_ROW.search, kinds))
        if by_number or named:
            return lambda: _index_rows(text), None, [], False
    return None


def _key_of_rows(
    name: str, members: list[_Member], split: str | None, otherwise: str | None
) -> tuple[str | None, bool]:
    """The key whose list of objects is the rows, and whether it is a split."""
    tables = [m.key for m in members if m.kind == "objects"]
    if len(members) > 2:  # a row with its answers, rather than rows beside what is said of them
        tables = [key for key in tables if not _ANSWERS.fullmatch(key)]
    splits = [key for key in tables if _SPLIT.match(key)]
    if len(splits) > 1 or (splits and split is not None):
        split = split or (otherwise if otherwise in splits else None)
        if split not in splits:
            raise ValueError(
                f"{name} has the splits {splits}: pick one with split="
                if split is None
                else f"{name} has no split {split!r}, only {splits}"
            )
        return split, True
    empty = [m.key for m in members if m.kind == "empty" and m.key.lower() in _AROUND]
    known = splits or [key for key in tables if key.lower() in _AROUND] or (
        empty if not tables else []
    )  # fmt: skip
    if len(known) == 1:
        return known[0], False
    if not known and any(_OF_A_ROW.search(m.key) for m in members if m.key not in tables):
        return None, False
    if len(tables) > 1 and not all(_OF_A_ROW.search(key) for key in tables):
        raise ValueError(
            f"{name} holds several lists of objects, under {listed(tables, 10)}: expected one. "
            "Save the one with the rows as a file of its own."
        )
    return (tables[0] if len(tables) == 1 else None), False


def _loaded(text: Text) -> dict[str, Any]:
    with text.opened() as stream:
        return _Values(stream).value()


def _column_rows(text: Text) -> Rows:
    columns = _loaded(text)
    if isinstance(next(iter(columns.values())), dict):
        numbers = dict.fromkeys(itertools.chain(*columns.values()))
        made = ({c: v.get(i) for c, v in columns.items()} for i in numbers)
    else:
        made = (dict(zip(columns, cells)) for cells in zip(*columns.values()))
    for number, row in enumerate(made, 1):
        yield Where(text.name, "row", number), row


def _split_rows(text: Text) -> Rows:
    held = _loaded(text)
    for number, cells in enumerate(held["data"], 1):
        where, names = Where(text.name, "row", number), held["columns"]
        if not isinstance(cells, list) or len(cells) != len(names):
            yield where, Bad(f"is not a list of {count(len(names), 'value')}")
        else:
            yield where, dict(zip(map(str, names), cells))


def _index_rows(text: Text) -> Rows:
    for number, row in enumerate(_loaded(text).values(), 1):
        yield Where(text.name, "row", number), _row(row)


# -- CSV -------------------------------------------------------------------------------

_DELIMITERS = ",\t;|"


@contextlib.contextmanager
def _wide_cells() -> Iterator[None]:
    """Let the csv module read cells of more than 131,072 characters."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(start: str, whole: bool, kind: str | None) -> str | None:
    """The character that cuts header and first rows into equally many cells."""
    tried = []
    for delimiter in _DELIMITERS:
        sizes: list[int] = []
        with _wide_cells(), contextlib.suppress(csv.Error):
            for cells in csv.reader(io.StringIO(start), delimiter=delimiter, strict=True):
                if cells:
                    sizes.append(len(cells))
                if len(sizes) > 20:
                    break
            else:
                if not whole and len(sizes) > 1:
                    sizes.pop()
        if sizes and sizes[0] > 1:
            same = sum(n == sizes[0] for n in sizes[1:])
            own = delimiter == {"tsv": "\t", "csv": ","}.get(kind or "")
            alike = same / max(1, len(sizes) - 1)
            tried.append((alike, same, own, sizes[0], delimiter, len(sizes)))
    if not tried:
        return None
    alike, _, _, _, delimiter, n = max(tried)
    return delimiter if kind in ("csv", "tsv") or (alike == 1 and n > 1) else None


class _Lines:
    """Lines of a file that can be given again."""

    def __init__(self, stream: Iterable[str]):
        self._stream = iter(stream)
        self._again: list[str] = []
        self.taken: list[str] = []
        self.number = 0
        self.most: int | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.most is not None and len(self.taken) >= self.most:
            raise csv.Error("a quote is not closed")
        line = self._again.pop() if self._again else next(self._stream)
        self.taken.append(line)
        self.number += 1
        return line

    def give_back(self) -> None:
        """All lines taken but the first are read again."""
        self._again += reversed(self.taken[1:])
        self.number -= len(self.taken) - 1


def _csv(text: Text, delimiter: str) -> Table:
    name = text.name
    with text.opened(newline="") as stream, _wide_cells():
        try:
            header = next(
                cells
                for cells in csv.reader(stream, delimiter=delimiter, strict=True)
                if any(cell.strip() for cell in cells)
            )
        except (csv.Error, StopIteration) as error:
            raise ValueError(f"{name}: the header is not CSV ({error})") from None
    if header.count("") > 1:
        header = [cell or f"column {i}" for i, cell in enumerate(header, 1)]
    twice = [c for c, n in Counter(header).items() if n > 1]
    if twice:
        raise ValueError(f"{name}: the header has {twice[0]!r} more than once")
    return Table(
        name, lambda wanted: _csv_rows(text, delimiter, header), header, False, list(text.notes)
    )


def _csv_rows(text: Text, delimiter: str, header: list[str]) -> Rows:
    with text.opened(newline="") as stream:
        lines = _Lines(stream)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        past_header = False
        while True:
            where = Where(text.name, "line", lines.number + 1)
            lines.taken.clear()
            try:
                with _wide_cells():
                    cells = next(reader)
            except StopIteration:
                if damage := _damage(stream):
                    yield where, Bad(f"{damage}; the rest is lost", rest=True)
                return
            except csv.Error as error:
                if _damage(stream) and not lines.taken[-1].endswith(("\n", "\r")):
                    continue
                what = error
                if len(lines.taken) > 1:
                    what = "a quote is opened here and not closed"
                    lines.most = 1000  # so that many such quotes do not take forever
                    lines.give_back()
                yield where, Bad(f"not CSV ({what})")
                continue
            if _damage(stream) and not lines.taken[-1].endswith(("\n", "\r")):
                continue
            over = f" over {len(lines.taken)} lines" if len(lines.taken) > 1 else ""
            if not past_header:
                past_header = any(cell.strip() for cell in cells)
            elif len(cells) == len(header):
                yield where, dict(zip(header, cells))
            elif cells:
                reason = f"{count(len(cells), 'cell')}{over}, the header has {len(header)}"
                yield where, Bad(reason)
