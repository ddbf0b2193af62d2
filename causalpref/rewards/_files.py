"""Reward models as files: weights in safetensors, the configuration in the header."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from causalpref.rewards._config import RewardConfig
from causalpref.rewards._models import RewardModel

__all__ = ["load_model", "save_model"]

_FORMAT = "causalpref.RewardModel/1"


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """A safetensors file that is there whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata=metadata
    )
    os.replace(temporary, path)


def save_model(model: RewardModel, path: str | os.PathLike[str]) -> Path:
    """Write weights as safetensors, the configuration in the file's header.

    Parameters
    ----------
    model : RewardModel
        Of a :class:`Fit`: its ``model``.
    path : path
        Missing folders are made; a file of this name is replaced.

    Returns
    -------
    path
    """
    path = Path(path)
    write_tensors(
        model.state_dict(),
        path,
        {"format": _FORMAT, "config": json.dumps(dataclasses.asdict(model.config))},
    )
    return path


def load_model(path: str | os.PathLike[str], *, device: str = "cpu") -> RewardModel:
    """Read a file of :func:`save_model`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        A file that :func:`save_model` did not write.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            metadata = file.metadata() or {}
            names = file.keys()  # the file itself is not iterable
            weights = {k: file.get_tensor(k) for k in names}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from None
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} has format {metadata.get('format')!r}, expected {_FORMAT!r}")
    model = RewardModel(RewardConfig(**json.loads(metadata["config"]))).to(device)
    model.load_state_dict(weights)
    return model.eval()
