"""Results kept in the repository, with what made them."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["hashes", "record", "recorded"]

_PACKAGES = ("causalpref", "numpy", "scikit-learn", "torch", "transformers")


def record(
    tables: Mapping[str, pd.DataFrame],
    folder: str | os.PathLike[str],
    *,
    command: str,
    **facts: Any,
) -> Path:
    """Write tables as CSV and ``provenance.json`` beside them.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        File name without ending, and table.
    folder : path
        Made if missing; files of the same name are replaced.
    command : str
        What makes the tables again.
    **facts
        Anything else worth keeping: hash of the data, model, settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # torch is an extra
            versions[package] = importlib.metadata.version(package)
    provenance = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        **facts,
        "versions": versions,
    }
    (folder / "provenance.json").write_text(
        json.dumps(provenance, indent=2) + "\n", encoding="utf-8"
    )
    return folder


def recorded(name: str) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Tables and provenance of a recorded run, by the name of its folder.

    They are read from ``book/results`` of a clone, or from the copy inside an installed
    package. No network is used.

    Raises
    ------
    FileNotFoundError
        No such recorded run; lists those there are.
    """
    package = Path(__file__).resolve().parents[1]
    homes = [package.parent / "book" / "results", package / "_results"]
    for home in homes:
        folder = home / name
        if (folder / "provenance.json").is_file():
            tables = {f.stem: pd.read_csv(f) for f in sorted(folder.glob("*.csv"))}
            return tables, json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    known = sorted({p.parent.name for home in homes for p in home.glob("*/provenance.json")})
    raise FileNotFoundError(f"no recorded run {name!r}; there are {known}")


def hashes(source: str | os.PathLike[str]) -> dict[str, str]:
    """sha256 of a file, or of the data files of a folder, by name; empty where there is none."""
    path = Path(source)
    kinds = ("*.jsonl*", "*.parquet", "*.csv")
    files = (
        sorted(f for kind in kinds for f in path.glob(kind))
        if path.is_dir()
        else [path]
        if path.is_file()
        else []
    )
    found = {}
    for file in files:
        with open(file, "rb") as stream:
            found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
