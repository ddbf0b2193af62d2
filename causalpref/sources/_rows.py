"""Rows from anywhere, each with its place: the one module that opens things.

A source is a file (JSON, CSV or Parquet), a folder of such files or of ``save_to_disk``, a hub
id, a ``datasets.Dataset``, a ``pandas.DataFrame``, or a sequence of mappings. What a text file may
be is said in :mod:`causalpref.sources._text`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalpref._extras import models_extra
from causalpref.sources._table import Bad, Row, Rows, Table, Where, count, listed, printable, show
from causalpref.sources._text import refuse_no_data, refuse_split, table_of, text_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Bad",
    "Row",
    "Rows",
    "Table",
    "Where",
    "count",
    "downloaded",
    "is_saved",
    "listed",
    "printable",
    "open_rows",
    "resolve",
    "rows_at",
    "show",
]


def resolve(source: Any) -> Any:
    """The source asked for, else that of ``CAUSALPREF_DATA``, else ``"offline"``."""
    return os.environ.get("CAUSALPREF_DATA") or "offline" if source is None else source


# -- what to open ------------------------------------------------------------------

_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".psv": "psv",
    ".parquet": "parquet",
}
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _kind(file: str) -> str | None:
    """Kind of a data file by the end of its name, or None."""
    name = re.sub(r"\.(gz|bz2|xz|zst)$", "", file.lower())
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
            for file in path.rglob("*"):
                if file.is_file() and file.stat().st_size < 1024:
                    refuse_no_data(f"{path.name}/{file.relative_to(path)}", file.read_bytes())
            return _from_disk(path, split, otherwise)
        return _joined(path.name, [(f, f.name) for f in _files(path, split)])
    return _file(path, path.name, split, otherwise)


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
            f"({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}: "
            f"{listed((f.name for f in files), 10)}): name one file"
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
        [note for t in tables for note in t.notes],
    )


def _file(path: Path, name: str, split: str | None = None, otherwise: str | None = None) -> Table:
    """The rows of one file; messages call it ``name``."""
    kind = _kind(name)
    with open(path, "rb") as raw:
        start = raw.read(512)
    if start[:4] == b"PAR1" or (kind == "parquet" and start.lstrip()[:1] not in (b"{", b"[")):
        refuse_no_data(name, start)
        refuse_split(name, split)
        return _parquet(path, name)
    table = table_of(text_of(path, name), kind, split, otherwise)
    if table is None:
        raise ValueError(
            f"{path} is no kind of file known here: expected JSON or CSV, or a name that ends with "
            f"{', '.join(_KINDS)}, the text ones with or without .gz"
        )
    return table


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
    try:
        return {key: _python(value) for key, value in row.items()}
    except RecursionError:
        return Bad("is nested too deep")


def _python(value: Any) -> Any:
    """A value of Python's own: arrays inside objects become lists too."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {k: _python(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_python(v) for v in value]
    return None if value is pd.NA or value is pd.NaT else value
