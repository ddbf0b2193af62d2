"""Rows of files, folders and hub data sets, each with its place."""

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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalpref._extras import models_extra
from causalpref.sources._layouts import Row, Rows, _Bad, _count, _listed, _show, _Where

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


@dataclass(frozen=True)
class _Table:
    """Rows that can be read more than once.

    ``rows`` takes the columns wanted (None: all) and gives place and content of each row.
    ``columns`` is None where only the rows themselves tell (JSON). ``typed`` is False where
    every value is a string (CSV).
    """

    name: str
    rows: Callable[[Collection[str] | None], Rows]
    columns: list[str] | None
    typed: bool = True


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


def _kind(path: Path) -> str | None:
    """Kind of a data file by the end of its name, or None."""
    name = path.name.lower().removesuffix(".gz")
    return None if name in _NOT_DATA else _KINDS.get(os.path.splitext(name)[1])


def _is_saved(source: str | os.PathLike[str]) -> bool:
    folder = Path(source)
    return all((folder / f"{t}.parquet").is_file() for t in ("pairs", "prompts", "responses"))


def _open(
    source: str | os.PathLike[str], split: str | None, config: str | None, revision: str | None
) -> _Table:
    path = Path(source)
    if not path.exists():
        if isinstance(source, str) and _HUB_ID.fullmatch(source) and not _kind(path):
            return _hub(source, split, config, revision)
        raise FileNotFoundError(
            f"source {str(source)!r} is neither an existing file or folder nor a hub id owner/name"
        )
    for option, value in (("config", config), ("revision", revision)):
        if value is not None:
            raise ValueError(f"{option}={value!r} goes with a hub id; {path} is on this disk")
    if path.is_dir():
        if any((path / f).is_file() for f in ("state.json", "dataset_dict.json")):
            return _from_disk(path, split)
        return _joined(path, _files(path, split))
    if split is not None:
        raise ValueError(f"{path} is one file: split={split!r} goes with a folder or a hub id")
    if _kind(path) is None:
        raise ValueError(
            f"{path} is no kind of file known here: expected a name that ends with "
            f"{', '.join(_KINDS)}, the text ones with or without .gz"
        )
    return _file(path)


def _files(folder: Path, split: str | None) -> list[Path]:
    """The data files of a folder, those of the training split first."""
    files = sorted(
        f for f in folder.iterdir() if f.is_file() and _kind(f) and not f.name.startswith(".")
    )
    kinds = Counter(_kind(f) for f in files)
    if not kinds:
        raise ValueError(
            f"{folder} holds no data files ({', '.join(_KINDS)}); it holds "
            f"{_listed(sorted(f.name for f in folder.iterdir()), 10) or 'nothing'}"
        )
    if len(kinds) > 1:
        raise ValueError(
            f"{folder} holds data files of several kinds, {dict(kinds)}: name one file"
        )
    if split is not None:
        named = [f for f in files if re.match(re.escape(split) + r"(\W|_|$)", f.name)]
        if not named:
            raise ValueError(
                f"{folder} has no file named after the split {split!r}; it has "
                f"{_listed((f.name for f in files), 10)}"
            )
        files = named
    return sorted(files, key=lambda f: not f.name.startswith("train"))


def _joined(folder: Path, files: list[Path]) -> _Table:
    tables = [_file(f) for f in files]
    name = (
        " + ".join(f.name for f in files)
        if len(files) <= 3
        else f"{folder.name} ({len(files)} files)"
    )
    columns = (
        None
        if tables[0].columns is None
        else list(dict.fromkeys(c for t in tables for c in t.columns or ()))
    )

    def rows(wanted: Collection[str] | None) -> Rows:
        for table in tables:
            yield from table.rows(wanted)

    return _Table(name, rows, columns, tables[0].typed)


def _file(path: Path) -> _Table:
    kind = _kind(path)
    if kind == "parquet":
        return _parquet(path)
    with _opened(path) as stream:
        start = ""
        for line in stream:
            if start := line.lstrip()[:1]:
                break
    if not start:
        raise ValueError(f"{path.name} is empty")
    if kind in ("csv", "tsv"):
        return _csv(path, "\t" if kind == "tsv" else ",")
    read = _json_array if kind == "json" and start == "[" else _json_lines
    return _Table(path.name, lambda wanted: read(path), None)


# -- text files -------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: Path, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """A text file, gzipped or not. Bytes that are not UTF-8 become lone surrogates.

    Those are found where a text is used (:func:`_string`), so that one bad byte is one bad row.
    """
    name = path.name
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


def _parse(text: str) -> Row | _Bad:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else error
        return _Bad(f"not JSON ({what})")
    return value if isinstance(value, dict) else _Bad(f"is {_show(value)}, expected an object")


def _json_lines(path: Path) -> Rows:
    with _opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.isspace():
                yield _Where(path.name, "line", number), _parse(line)


_BLANK = re.compile(r"[ \t\n\r]*")


def _json_array(path: Path) -> Rows:
    """The objects of an array, one by one, by the line on which each begins."""
    with _opened(path) as stream:
        text = stream.read()
    name, decode = path.name, json.JSONDecoder().raw_decode
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
            _Where(name, "line", line),
            value if isinstance(value, dict) else _Bad(f"is {_show(value)}, expected an object"),
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


def _csv(path: Path, delimiter: str) -> _Table:
    with _opened(path, newline="") as stream, _wide_cells():
        first = next(line for line in stream if line.strip())
        if delimiter == "," and "," not in first and max(";\t", key=first.count) in first:
            delimiter = max(";\t", key=first.count)
        try:
            header = next(
                csv.reader(itertools.chain([first], stream), delimiter=delimiter, strict=True)
            )
        except csv.Error as error:
            raise ValueError(f"{path.name}: the header is not CSV ({error})") from None
    twice = [c for c, n in Counter(header).items() if n > 1]
    if twice:
        raise ValueError(f"{path.name}: the header has {twice[0]!r} more than once")

    def rows(wanted: Collection[str] | None) -> Rows:
        with _opened(path, newline="") as stream, _wide_cells():
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            past_header = False
            while True:
                where = _Where(path.name, "line", reader.line_num + 1)
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield where, _Bad(f"not CSV ({error})")
                    continue
                if not past_header:
                    past_header = any(cell.strip() for cell in cells)
                elif len(cells) == len(header):
                    yield where, dict(zip(header, cells))
                elif cells:
                    yield where, _Bad(f"{_count(len(cells), 'cell')}, the header has {len(header)}")

    return _Table(path.name, rows, header, typed=False)


# -- Arrow -------------------------------------------------------------------------


def _parquet(path: Path) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.stat().st_size == 0:
        raise ValueError(f"{path.name} is empty")

    @contextlib.contextmanager
    def opened() -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path.name} is no Parquet file, or damaged ({error})") from None

    with opened() as file:
        columns = file.schema_arrow.names
    return _arrow(path.name, columns, opened, lambda file: file.iter_batches(batch_size=_BATCH))


_BATCH = 1000


def _arrow(
    name: str,
    columns: list[str],
    opened: Callable[[], Any],
    batches: Callable[[Any], Iterable[pa.RecordBatch | pa.Table]],
    words: Mapping[str, Sequence[str]] | None = None,
) -> _Table:
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
                    content: list[Row | _Bad] = batch.to_pylist()
                except (ValueError, OverflowError, pa.ArrowException):
                    content = [_one(batch.slice(i, 1)) for i in range(batch.num_rows)]
                for row in content:
                    number += 1
                    for column, classes in (words or {}).items():
                        if isinstance(row, dict) and row.get(column) is not None:
                            code = row[column]
                            row[column] = classes[code] if 0 <= code < len(classes) else None
                    yield _Where(name, "row", number), row

    return _Table(name, rows, columns)


def _one(batch: pa.RecordBatch | pa.Table) -> Row | _Bad:
    import pyarrow as pa

    try:
        return batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return _Bad(f"holds bytes that are not UTF-8 ({error.reason})")
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return _Bad(f"cannot be read ({error})")


def _from_disk(folder: Path, split: str | None) -> _Table:
    with models_extra():
        import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # whatever a folder with parts missing makes the library raise
        raise ValueError(
            f"{folder} is no folder of save_to_disk, or damaged ({type(error).__name__}: {error})"
        ) from None
    if isinstance(found, datasets.Dataset) and split is not None:
        raise ValueError(f"{folder} holds one data set without splits: leave split out")
    return _dataset(folder.name, found, split)


def _hub(name: str, split: str | None, config: str | None, revision: str | None) -> _Table:
    with models_extra():
        import datasets

    try:
        found = datasets.load_dataset(name, config, split=split, revision=revision)
    except Exception as error:  # the network, the hub, the data set's files
        raise ValueError(
            f"the hub data set {name!r} could not be loaded ({type(error).__name__}: {error})"
        ) from None
    return _dataset(name, found, split)


def _dataset(
    name: str, found: datasets.Dataset | datasets.DatasetDict, split: str | None
) -> _Table:
    with models_extra():
        import datasets

    if isinstance(found, datasets.DatasetDict):
        if split is None and len(found) == 1:
            split = next(iter(found))
        if split not in found:
            raise ValueError(
                f"{name} has the splits {list(found)}: pick one with split="
                if split is None
                else f"{name} has no split {split!r}, only {list(found)}"
            )
        found = found[split]
    if not isinstance(found, datasets.Dataset):
        raise ValueError(f"{name} is a {type(found).__name__}, expected a Dataset")
    dataset = found.with_format("arrow")
    words = {c: f.names for c, f in found.features.items() if isinstance(f, datasets.ClassLabel)}
    return _arrow(
        name if split is None else f"{name} ({split})",
        found.column_names,
        lambda: contextlib.nullcontext(dataset),
        lambda source: source.iter(batch_size=_BATCH),
        words,
    )
