"""What the loaders share: which source is meant, rows from files, all pairs of a prompt."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalpref._extras import models_extra

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

_BATCH = 500  # Arrow rows turned into Python objects at a time


def resolve(source: Any) -> Any:
    """The source asked for, else that of ``CAUSALPREF_DATA``, else ``"offline"``."""
    return os.environ.get("CAUSALPREF_DATA") or "offline" if source is None else source


def downloaded(url: str, name: str) -> Path:
    """A local copy of a file on the web, from the cache of ``datasets`` where it is there."""
    with models_extra():
        import datasets

    return Path(datasets.DownloadManager(dataset_name=name).download(url))


def json_lines(path: Path, name: str) -> Iterator[tuple[int, Any]]:
    """Line number, as an editor counts, and content of each line that is not blank."""
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    if not zipped and str(name).endswith(".gz"):
        raise ValueError(f"{name}: not a gzip file, although its name says so")
    number = 0
    try:
        with (gzip.open if zipped else open)(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except json.JSONDecodeError as error:
                        raise ValueError(f"{name}, line {number}: not JSON ({error})") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{name}: damaged gzip after line {number} ({error}); nothing was loaded"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}, after line {number}: not UTF-8 ({error})") from None


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row number, counted from 1, and those columns of a Parquet file that are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            here = [c for c in columns if c in file.schema_arrow.names]
            yield from _arrow_rows(file.iter_batches(batch_size=_BATCH, columns=here))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is no Parquet file, or damaged ({error})") from None


def dataset_rows(
    dataset: datasets.Dataset, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row number, counted from 1, and those columns of a ``datasets.Dataset`` that are there."""
    here = dataset.select_columns([c for c in columns if c in dataset.column_names])
    return _arrow_rows(here.with_format("arrow").iter(batch_size=_BATCH))


def _arrow_rows(
    batches: Iterable[pa.RecordBatch | pa.Table],
) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield number, row
