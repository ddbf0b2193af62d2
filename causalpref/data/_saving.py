"""Preference data as a folder: three Parquet tables and one safetensors file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalpref.data._conversation import Conversation, cells
from causalpref.data._validation import FACTS

if TYPE_CHECKING:
    from causalpref.data._preferences import PreferenceData

_TABLES = ("prompts", "responses", "pairs")
_ARRAY_FILE = "arrays.safetensors"
_FORMAT = "causalpref.PreferenceData/2"


def save(data: PreferenceData, folder: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """See :meth:`PreferenceData.save`."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save_file

    folder = Path(folder)
    if folder.exists():
        if not overwrite:
            raise FileExistsError(f"{folder} exists; pass overwrite=True to replace it")
        _check_only_ours(folder)
    arrays = {}
    tables: dict[str, dict[str, Any]] = {
        "prompts": {"text": pa.array(map(str, data.prompts), pa.large_string())},
        "responses": {
            "text": pa.array(map(str, data.responses), pa.large_string()),
            "prompt": data.response_prompt,
        },
        "pairs": {"first": data.pairs[:, 0], "second": data.pairs[:, 1], "label": data.label},
    }
    for name in ("prompts", "responses"):
        if (said := cells(getattr(data, name))) is not None:
            tables[name]["messages"] = pa.array(said, pa.large_string())
    for name, fact in FACTS.items():
        values = getattr(data, name)
        if values is None:
            continue
        if fact.kind == "vector":
            arrays[name] = np.ascontiguousarray(values)
        else:
            tables[f"{fact.per}s"][name] = values
    about = {
        "format": _FORMAT,
        "source": data.source,
        "simulated": data.simulated,
        "order_known": data.order_known,
        "names": dict(data.names),
        "arrays": list(arrays),
        "recipe": None if data.recipe is None else dict(data.recipe),
    }
    meta = {b"causalpref": json.dumps(about).encode()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, columns in tables.items():
            table = pa.table(columns)
            pq.write_table(table.replace_schema_metadata(meta), temporary / f"{name}.parquet")
        if arrays:
            save_file(arrays, temporary / _ARRAY_FILE)
        os.chmod(temporary, 0o755)
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            os.replace(folder, old / "was")
            try:
                os.replace(temporary, folder)
            except BaseException:
                os.replace(old / "was", folder)
                raise
            finally:
                shutil.rmtree(old)
        else:
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of :class:`PreferenceData`; see :meth:`PreferenceData.load`."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    tables = {}
    for name in _TABLES:
        path = folder / f"{name}.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: {folder} holds no saved PreferenceData")
        try:
            tables[name] = pq.read_table(path)
        except pa.ArrowException as error:
            raise ValueError(f"{path} is damaged ({error})") from None
    meta = _meta(folder)
    fields: dict[str, Any] = {}
    if meta["arrays"]:
        path = folder / _ARRAY_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: it holds {meta['arrays']}")
        try:
            fields = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error})") from None
        if sorted(fields) != sorted(meta["arrays"]):
            raise ValueError(f"{path} holds {sorted(fields)}, expected {meta['arrays']}")
    try:
        for name, fact in FACTS.items():
            table = tables[f"{fact.per}s"]
            if name in table.column_names:
                fields[name] = table[name].to_numpy()
        return {
            "prompts": _texts(tables["prompts"], folder),
            "responses": _texts(tables["responses"], folder),
            "response_prompt": tables["responses"]["prompt"].to_numpy(),
            "pairs": np.column_stack([tables["pairs"][c].to_numpy() for c in ("first", "second")]),
            "label": tables["pairs"]["label"].to_numpy(),
            **{key: meta[key] for key in ("source", "simulated", "order_known", "names")},
            "recipe": meta.get("recipe"),
            **fields,
        }
    except KeyError as error:
        raise ValueError(f"{folder} is damaged ({error.args[0]})") from None


def _texts(table: Any, folder: Path) -> list[str]:
    """The texts of a table, conversations where it has messages."""
    words = table["text"].to_pylist()
    if "messages" not in table.column_names:
        return words
    try:
        return [
            text if cell is None else Conversation.from_json(cell)
            for text, cell in zip(words, table["messages"].to_pylist())
        ]
    except ValueError as error:
        raise ValueError(f"{folder} is damaged (messages: {error})") from None


def _meta(folder: Path) -> dict[str, Any]:
    """What :func:`save` says of the folder; ValueError when it did not write the table of pairs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "pairs.parquet"
    try:
        meta = json.loads((pq.read_schema(path).metadata or {}).get(b"causalpref", b"{}"))
    except pa.ArrowException as error:
        raise ValueError(f"{path} is damaged ({error})") from None
    if meta.get("format") != _FORMAT:
        raise ValueError(f"{path} has format {meta.get('format')!r}, expected {_FORMAT!r}")
    return meta


def _check_only_ours(folder: Path) -> None:
    """Refuse to replace a folder that holds anything else than a saved data set."""
    allowed = {_ARRAY_FILE, *(f"{name}.parquet" for name in _TABLES)}
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else {""}
    try:
        if "pairs.parquet" not in names or names - allowed:
            raise ValueError
        _meta(folder)
    except ValueError:
        raise FileExistsError(
            f"{folder} holds no saved PreferenceData, or more than that: it is not replaced"
        ) from None
