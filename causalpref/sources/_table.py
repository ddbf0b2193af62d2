"""What every reader of rows speaks: a row, its place, why it is unusable, and a table of rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Bad(Exception):
    """Why a row cannot be used. With a column, the sentence goes on after its name.

    ``rest`` says that everything after this place in the file is lost as well.
    """

    def __init__(self, reason: str, column: str | None = None, *, rest: bool = False):
        super().__init__(reason if column is None else f"{column} {reason}")
        self.reason, self.column, self.rest = reason, column, rest


class Where(NamedTuple):
    file: str
    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"


Row = Mapping[str, Any]
Rows = Generator[tuple[Where, Row | Bad], None, None]


@dataclass(frozen=True)
class Table:
    """Rows that can be read more than once.

    ``rows`` takes the columns wanted (None: all) and gives place and content of each row.
    ``columns`` is None where only the rows themselves tell (JSON). ``typed`` is False where
    every value is a string (CSV). ``notes`` are sentences about decisions made on opening.
    """

    name: str
    rows: Callable[[Collection[str] | None], Rows]
    columns: list[str] | None
    typed: bool = True
    notes: list[str] = field(default_factory=list)


def show(value: Any) -> str:
    """A value for a message; containers are only named, however deep they are."""
    for kind, word in ((Mapping, "an object"), ((list, tuple), "a list"), (bytes, "bytes")):
        if isinstance(value, kind):
            return word
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def printable(text: str) -> str:
    """A line that any terminal shows as it is: what it cannot print is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def count(n: int, word: str) -> str:
    """3 rows, 1 row."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def listed(names: Iterable[str], most: int = 40) -> str:
    """The names, quoted and separated by commas; of more than ``most`` the first and the number."""
    names = [repr(str(n))[:60] for n in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
