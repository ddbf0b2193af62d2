"""Seeds from which many streams are derived."""

from __future__ import annotations

import numpy as np

__all__ = ["integer_seed"]


def integer_seed(seed: int | np.random.Generator) -> int:
    """The integer itself, or one drawn from a generator."""
    return int(seed.integers(2**63)) if isinstance(seed, np.random.Generator) else int(seed)
