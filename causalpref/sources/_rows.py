"""Rows from anywhere, each with its place: the one module that opens things.

A source is a file (JSON lines, a JSON array, CSV, TSV, Parquet; the text ones gzipped or not), a
folder of such files or of ``save_to_disk``, a hub id, a ``datasets.Dataset``, a
``pandas.DataFrame``, or a sequence of mappings.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from causalpref._extras import models_extra

if TYPE_CHECKING:
    import pyarrow as pa


class Bad(Exception):
    """Why a row cannot be used. With a column, the sentence goes on after its name."""

    def __init__(self, reason: str, column: str | None = None):
        super().__init__(reason if column is None else f"{column} {reason}")
        self.reason, self.column = reason, column


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
    every value is a string (CSV).
    """

    name: str
    rows: Callable[[Collection[str] | None], Rows]
    columns: list[str] | None
    typed: bool = True


def resolve(source: Any) -> Any:
    """The source asked for, else that of ``CAUSALPREF_DATA``, else ``"offline"``."""
    return os.environ.get("CAUSALPREF_DATA") or "offline" if source is None else source


def show(value: Any) -> str:
    """A value for a message; containers are only named, however deep they are."""
    for kind, word in ((Mapping, "an object"), ((list, tuple), "a list"), (bytes, "bytes")):
        if isinstance(value, kind):
            return word
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def count(n: int, word: str) -> str:
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def listed(names: Iterable[str], most: int = 40) -> str:
    names = [repr(str(n))[:60] for n in names]
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


# -- what to open ------------------------------------------------------------------

_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _kind(file: str) -> str | None:
    """Kind of a data file by the end of its name, or None."""
    name = file.lower().removesuffix(".gz")
    return None if name in _NOT_DATA else _KINDS.get(os.path.splitext(name)[1])


def is_saved(source: Any) -> bool:
    """Whether :meth:`PreferenceData.save` wrote this folder."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    folder = Path(source)
    return all((folder / f"{t}.parquet").is_file() for t in ("pairs", "prompts", "responses"))


def open_rows(
    source: Any, *, split: str | None = None, config: str | None = None, revision: str | None = None
) -> Table:
    """Rows of anything that :func:`~causalpref.sources.load_preferences` reads."""
    path = Path(source) if isinstance(source, (str, os.PathLike)) else None
    if path is not None and not path.exists():
        if isinstance(source, str) and _HUB_ID.fullmatch(source) and not _kind(source):
            return _hub(source, split, config, revision)
        raise FileNotFoundError(
            f"source {str(source)!r} is neither an existing file or folder nor a hub id owner/name"
        )
    for option, value in (("config", config), ("revision", revision)):
        if value is not None:
            here = "the rows are in memory" if path is None else f"{path} is on this disk"
            raise ValueError(f"{option}={value!r} goes with a hub id; {here}")
    return _in_memory(source, split) if path is None else _at_path(path, split)


def rows_at(
    source: Any,
    hub: str | Sequence[str],
    *,
    split: str | None = None,
    revision: str | None = None,
    file: str = "",
) -> Table:
    """Rows of one data set whose address is known.

    Parameters
    ----------
    source : "hub" or path
    hub : str or sequence of str
        A hub id, or the addresses of files on the web.
    split, revision : str, optional
        ``split`` of a folder of files; ``revision`` of a hub id.
    file : str, optional
        Name of the file in a folder.
    """
    if source == "hub":
        if isinstance(hub, str):
            return _hub(hub, "train", None, revision)
        return _joined("the hub", [(downloaded(u), u.rsplit("/", 1)[-1]) for u in hub])
    path = Path(source)
    if file and path.is_dir():
        path = path / file
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is neither 'offline', 'hub' nor an existing file or folder"
        )
    return _at_path(path, split, otherwise="train")


def _at_path(path: Path, split: str | None, otherwise: str | None = None) -> Table:
    if path.is_dir():
        if any((path / f).is_file() for f in ("state.json", "dataset_dict.json")):
            return _from_disk(path, split, otherwise)
        return _joined(path.name, [(f, f.name) for f in _files(path, split)])
    if split is not None:
        raise ValueError(f"{path} is one file: split={split!r} goes with a folder or a hub id")
    if _kind(path.name) is None:
        raise ValueError(
            f"{path} is no kind of file known here: expected a name that ends with "
            f"{', '.join(_KINDS)}, the text ones with or without .gz"
        )
    return _file(path, path.name)


def _files(folder: Path, split: str | None) -> list[Path]:
    """The data files of a folder, those of the training split first."""
    files = sorted(
        f for f in folder.iterdir() if f.is_file() and _kind(f.name) and not f.name.startswith(".")
    )
    kinds = Counter(_kind(f.name) for f in files)
    if not kinds:
        raise ValueError(
            f"{folder} holds no data files ({', '.join(_KINDS)}); it holds "
            f"{listed(sorted(f.name for f in folder.iterdir()), 10) or 'nothing'}"
        )
    if len(kinds) > 1:
        raise ValueError(
            f"{folder} holds data files of several kinds "
            f"({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}): name one file"
        )
    if split is not None:
        named = [f for f in files if re.match(re.escape(split) + r"(\W|_|$)", f.name)]
        if not named:
            raise ValueError(
                f"{folder} has no file named after the split {split!r}; it has "
                f"{listed((f.name for f in files), 10)}"
            )
        files = named
    return sorted(files, key=lambda f: not f.name.startswith("train"))


def _joined(folder: str, files: Sequence[tuple[Path, str]]) -> Table:
    tables = [_file(*f) for f in files]
    known = [t.columns for t in tables if t.columns is not None]
    columns = list(dict.fromkeys(itertools.chain(*known))) if known else None
    few = " + ".join(t.name for t in tables)
    name = few if len(tables) <= 3 else f"{folder} ({len(tables)} files)"
    return Table(
        name,
        lambda wanted: (row for t in tables for row in t.rows(wanted)),
        columns,
        tables[0].typed,
    )


def _file(path: Path, name: str) -> Table:
    """The rows of one file; messages call it ``name``, whose end says what kind it is."""
    kind = _kind(name)
    if kind == "parquet":
        return _parquet(path, name)
    with _opened(path, name) as stream:
        start = next((line.lstrip()[:1] for line in stream if line.strip()), "")
    if not start:
        raise ValueError(f"{name} is empty")
    if kind in ("csv", "tsv"):
        return _csv(path, name, "\t" if kind == "tsv" else ",")
    read = _json_array if kind == "json" and start == "[" else _json_lines
    return Table(name, lambda wanted: read(path, name), None)


# -- text files -------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: Path, name: str, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """A text file, gzipped or not. Bytes that are not UTF-8 become lone surrogates.

    Those are found where a text is used (:func:`_string`), so that one bad byte is one bad row.
    """
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    if not zipped and name.lower().endswith(".gz") and path.stat().st_size:
        raise ValueError(f"{name}: not a gzip file, although its name says so")
    try:
        with (gzip.open if zipped else open)(path, "rb") as raw:
            if raw.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise ValueError(f"{name} is UTF-16: save it as UTF-8")
            yield io.TextIOWrapper(
                raw, encoding="utf-8-sig", errors="surrogateescape", newline=newline
            )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name}: damaged gzip ({error})") from None


def _parse(text: str) -> Row | Bad:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else error
        return Bad(f"not JSON ({what})")
    return value if isinstance(value, dict) else Bad(f"is {show(value)}, expected an object")


def _json_lines(path: Path, name: str) -> Rows:
    with _opened(path, name) as lines:
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield Where(name, "line", number), _parse(line)


_BLANK = re.compile(r"[ \t\n\r]*")


def _json_array(path: Path, name: str) -> Rows:
    """The objects of an array, one by one, by the line on which each begins."""
    with _opened(path, name) as stream:
        text = stream.read()
    decode = json.JSONDecoder().raw_decode
    skip = lambda at: _BLANK.match(text, at).end()  # type: ignore[union-attr]
    at = skip(skip(0) + 1)
    line, counted = 1, 0
    more = text[at : at + 1] != "]"
    while more:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = decode(text, at)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name}, line {error.lineno}: not JSON ({error.msg}); the rest of "
                "the array cannot be read"
            ) from None
        except (ValueError, RecursionError) as error:
            what = "nested too deep" if isinstance(error, RecursionError) else error
            raise ValueError(f"{name}, line {line}: not JSON ({what})") from None
        yield (
            Where(name, "line", line),
            value if isinstance(value, dict) else Bad(f"is {show(value)}, expected an object"),
        )
        at = skip(end)
        if more := text[at : at + 1] == ",":
            at = skip(at + 1)
    end = skip(at + 1)
    if text[at : at + 1] != "]" or end < len(text):
        at, what = (
            (end, "something follows the array")
            if text[at : at + 1] == "]"
            else (at, "expected a comma or ]" if at < len(text) else "the array is not closed")
        )
        line += text.count("\n", counted, at)
        raise ValueError(f"{name}, line {line}: not JSON ({what})")


@contextlib.contextmanager
def _wide_cells() -> Iterator[None]:
    """Let the csv module read cells of more than 131,072 characters."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv(path: Path, name: str, delimiter: str) -> Table:
    with _opened(path, name, newline="") as stream, _wide_cells():
        first = next(line for line in stream if line.strip())
        if delimiter == "," and "," not in first and max(";\t", key=first.count) in first:
            delimiter = max(";\t", key=first.count)
        try:
            header = next(
                csv.reader(itertools.chain([first], stream), delimiter=delimiter, strict=True)
            )
        except csv.Error as error:
            raise ValueError(f"{name}: the header is not CSV ({error})") from None
    twice = [c for c, n in Counter(header).items() if n > 1]
    if twice:
        raise ValueError(f"{name}: the header has {twice[0]!r} more than once")

    def rows(wanted: Collection[str] | None) -> Rows:
        with _opened(path, name, newline="") as stream, _wide_cells():
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            past_header = False
            while True:
                where = Where(name, "line", reader.line_num + 1)
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield where, Bad(f"not CSV ({error})")
                    continue
                if not past_header:
                    past_header = any(cell.strip() for cell in cells)
                elif len(cells) == len(header):
                    yield where, dict(zip(header, cells))
                elif cells:
                    yield where, Bad(f"{count(len(cells), 'cell')}, the header has {len(header)}")

    return Table(name, rows, header, typed=False)


# -- Arrow -------------------------------------------------------------------------


def _parquet(path: Path, name: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        raise ValueError(f"{name} is empty")

    @contextlib.contextmanager
    def opened() -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{name} is no Parquet file, or damaged ({error})") from None

    with opened() as file:
        columns = file.schema_arrow.names
    return _arrow(name, columns, opened, lambda file: file.iter_batches(batch_size=_BATCH))


_BATCH = 1000


def _arrow(
    name: str,
    columns: list[str],
    opened: Callable[[], Any],
    batches: Callable[[Any], Iterable[pa.RecordBatch | pa.Table]],
    words: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Rows of Arrow batches; ``words`` names the codes of columns that hold classes."""
    twice = [c for c, n in Counter(columns).items() if n > 1]
    if twice:
        raise ValueError(f"{name} has a column {twice[0]!r} more than once")

    def rows(wanted: Collection[str] | None) -> Rows:
        import pyarrow as pa

        number = 0
        with opened() as source:
            for batch in batches(source):
                batch = batch.select(
                    [c for c in batch.schema.names if wanted is None or c in wanted]
                )
                try:
                    content: list[Row | Bad] = batch.to_pylist()
                except (ValueError, OverflowError, pa.ArrowException):
                    content = [_one(batch.slice(i, 1)) for i in range(batch.num_rows)]
                for row in content:
                    number += 1
                    for column, classes in (words or {}).items():
                        if isinstance(row, dict) and row.get(column) is not None:
                            code = row[column]
                            row[column] = classes[code] if 0 <= code < len(classes) else None
                    yield Where(name, "row", number), row

    return Table(name, rows, columns)


def _one(batch: pa.RecordBatch | pa.Table) -> Row | Bad:
    import pyarrow as pa

    try:
        return batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return Bad(f"holds bytes that are not UTF-8 ({error.reason})")
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return Bad(f"cannot be read ({error})")


# -- datasets, pandas, lists -------------------------------------------------------


def _datasets() -> Any:
    with models_extra():
        import datasets
    return datasets


def downloaded(url: str) -> Path:
    """A local copy of a file on the web, from the cache of ``datasets`` where it is there."""
    return Path(_datasets().DownloadManager(dataset_name="causalpref").download(url))


def _from_disk(folder: Path, split: str | None, otherwise: str | None) -> Table:
    datasets = _datasets()
    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever a folder with parts missing makes the library raise
        raise ValueError(
            f"{folder} is no folder of save_to_disk, or damaged ({type(error).__name__}: {error})"
        ) from None
    return _dataset(folder.name, found, split, otherwise)


def _hub(name: str, split: str | None, config: str | None, revision: str | None) -> Table:
    datasets = _datasets()
    try:
        found = datasets.load_dataset(name, config, split=split, revision=revision)
    except Exception as error:  # the network, the hub, the data set's files
        raise ValueError(
            f"the hub data set {name!r} could not be loaded ({type(error).__name__}: {error})"
        ) from None
    if isinstance(found, datasets.Dataset) and split is not None:
        return _dataset(f"{name} ({split})", found, None)
    return _dataset(name, found, split)


def _dataset(name: str, found: Any, split: str | None, otherwise: str | None = None) -> Table:
    """Rows of a Dataset, or of one split of a DatasetDict: the only one, or ``otherwise``."""
    datasets = _datasets()
    if isinstance(found, datasets.DatasetDict):
        if split is None:
            split = next(iter(found)) if len(found) == 1 else otherwise
        if split not in found:
            raise ValueError(
                f"{name} has the splits {list(found)}: pick one with split="
                if split is None
                else f"{name} has no split {split!r}, only {list(found)}"
            )
        name, found, split = f"{name} ({split})", found[split], None
    if not isinstance(found, datasets.Dataset):
        raise ValueError(f"{name} is a {type(found).__name__}, expected a Dataset")
    if split is not None:
        raise ValueError(f"{name} holds one data set without splits: leave split out")
    dataset = found.with_format("arrow")
    words = {c: f.names for c, f in found.features.items() if isinstance(f, datasets.ClassLabel)}
    return _arrow(
        name,
        found.column_names,
        lambda: contextlib.nullcontext(dataset),
        lambda source: source.iter(batch_size=_BATCH),
        words,
    )


def _in_memory(source: Any, split: str | None) -> Table:
    kind = type(source).__name__
    if type(source).__module__.partition(".")[0] == "datasets":
        return _dataset(kind, source, split)
    if split is not None:
        raise ValueError(f"split={split!r} goes with a folder or a hub id, not with a {kind}")
    if isinstance(source, pd.DataFrame):
        columns = [str(c) for c in source.columns]
        twice = [c for c, n in Counter(columns).items() if n > 1]
        if twice:
            raise ValueError(f"the DataFrame has a column {twice[0]!r} more than once")
        cells = lambda: zip(*(source.iloc[:, i] for i in range(len(columns))))
        rows: Callable[[], Iterable[Any]] = lambda: (dict(zip(columns, r)) for r in cells())
    elif isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        columns, rows = None, lambda: source
    else:
        raise TypeError(
            f"source is {show(source)} ({kind}), expected a path, a hub id, a datasets.Dataset, a "
            "pandas.DataFrame or a list of mappings"
        )
    return Table(
        kind,
        lambda wanted: (
            (Where(kind, "row", number), _plain(row)) for number, row in enumerate(rows(), 1)
        ),
        columns,
    )


def _plain(row: Any) -> Row | Bad:
    """A row with values of Python's own in place of those of numpy and pandas."""
    if not isinstance(row, Mapping):
        return Bad(f"is {show(row)}, expected an object")
    return {
        key: value.tolist()
        if isinstance(value, (np.ndarray, np.generic))
        else None
        if value is pd.NA or value is pd.NaT
        else value
        for key, value in row.items()
    }
