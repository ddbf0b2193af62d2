"""Reward modelling from human preferences as causal inference.

The package that the causalpref book runs on. Import what you need from its
modules; :class:`PreferenceData` is what all of them speak.
"""

from causalpref.data import PreferenceData

__all__ = ["PreferenceData", "__version__"]
__version__ = "0.1.0"
"""Version of the package."""
