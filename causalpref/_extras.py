"""Packages that a plain install leaves out, asked for with the command that adds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_MODELS = frozenset({"aiohttp", "datasets", "torch", "transformers"})


@contextmanager
def models_extra() -> Iterator[None]:
    """Around an import of torch, transformers or datasets: a missing one names the extra.

    Raises
    ------
    ModuleNotFoundError
        That of the import, with the command that installs what is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _MODELS:
            raise
        raise ModuleNotFoundError(
            f"{missing} is not installed, and this needs it: "
            'pip install "causalpref[models]" adds torch, transformers and datasets',
            name=missing,
        ) from error
