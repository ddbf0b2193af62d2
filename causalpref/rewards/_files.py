"""Tensors as safetensors files with a header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

__all__ = ["read_tensors", "write_tensors"]


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """A safetensors file that is there whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata=metadata
    )
    os.replace(temporary, path)


def read_tensors(path: Path, device: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a file.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Another kind of file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            names = file.keys()  # the file itself is not iterable
            return {k: file.get_tensor(k) for k in names}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from None
