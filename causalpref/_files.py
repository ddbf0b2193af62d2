"""Files that people name: found out early whether they can be written, and replaced whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["check_writable", "replace_text"]


def check_writable(outputs: Sequence[Path], *, data: str | os.PathLike[str]) -> None:
    """Find out before the work whether files can be written.

    Parameters
    ----------
    outputs : sequence of path
    data : path
        What is read: no output may replace it.

    Raises
    ------
    ValueError
        An output that is a folder, the data, or named twice.
    OSError
        A folder that does not exist or may not be written to.
    """
    for i, path in enumerate(outputs):
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give the name of a file")
        if path.exists() and Path(data).exists() and path.samefile(data):
            raise ValueError(f"{path} is the data: it would be replaced by the report")
        if path.resolve() in (p.resolve() for p in outputs[:i]):
            raise ValueError(f"{path} is named for both outputs: give each a file of its own")
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
                pass
        except OSError as error:
            raise OSError(f"cannot write {path}: {error.strerror}") from None


def replace_text(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as stream:
            stream.write(text.encode("utf-8", "replace"))
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
