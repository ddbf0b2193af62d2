"""A study is a configuration: what it runs, and the command that runs it again."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "Study", "carry_out", "option", "whole_number"]

S = TypeVar("S", bound="Study")


def option(
    default: Any,
    help: str,
    *,
    least: int = 1,
    metavar: str | None = None,
    placeholder: str | None = None,
    environment: str | None = None,
    setup: bool = False,
) -> Any:
    """A field of a study, and so an option of its command.

    Parameters
    ----------
    default
        Its value when the command does not name it.
    help : str
        One line for ``--help``.
    least : int
        Smallest value of a whole number.
    metavar : str, optional
        Stands for the value in ``--help``.
    placeholder : str, optional
        Written in place of a local path, since a path means nothing on another machine.
    environment : str, optional
        Variable that sets the default of the command line. The command then always names the
        value, so that it means the same everywhere.
    setup : bool
        Says where or how the study runs and changes no table: neither part of the command nor of
        what makes two configurations equal.
    """
    metadata = {
        "help": help,
        "least": least,
        "metavar": metavar,
        "placeholder": placeholder,
        "environment": environment,
    }
    return field(default=default, compare=not setup, metadata=metadata)


@dataclass(frozen=True)
class Results:
    """What a study found.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Tidy tables by name.
    facts : mapping of str
        What the provenance says beside the command: source, hash of the data, model.
    text : str
        The main table for reading.
    """

    tables: Mapping[str, pd.DataFrame]
    facts: Mapping[str, Any]
    text: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """Base of all studies. A subclass adds fields made by :func:`option` and a :meth:`run`.

    The options of ``causalpref run`` and :attr:`command` are both made from the fields:
    ``n_train`` is ``--train``, ``rhos`` is ``--rho`` with several values, ``batch_size`` is
    ``--batch-size``, and a field that is False by default is a flag.
    """

    name: ClassVar[str]
    """In ``causalpref run NAME``."""

    about: ClassVar[str]
    """One line for ``causalpref run --help``."""

    def run(self, *, progress: bool = False) -> Results:
        """Load the data and make the tables.

        Parameters
        ----------
        progress : bool
            Show bars with the time left.
        """
        raise NotImplementedError

    def at(self: S, folder: Path) -> S:
        """The same study, keeping in ``folder`` what it needs to go on after an interruption."""
        return self

    def clear(self) -> None:
        """Remove what :meth:`at` asked to keep."""

    @property
    def command(self) -> str:
        """The command that runs this study again.

        It names the options that differ from their defaults; local paths are named by what they
        hold (DATA, MODEL).
        """
        words = ["causalpref", "run", self.name]
        for f in _options(type(self)):
            value = getattr(self, f.name)
            if f.compare and (f.metadata["environment"] or value != f.default):
                words += _words(f, value)
        return shlex.join(words)

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """Give a parser one option for each field."""
        hints = get_type_hints(cls)
        for f in _options(cls):
            default = os.environ.get(f.metadata["environment"] or "") or f.default
            parser.add_argument(
                _flag(f),
                dest=f.name,
                default=default,
                help=f.metadata["help"],
                **_reading(hints[f.name], f.metadata),
            )

    @classmethod
    def from_options(cls: type[S], options: argparse.Namespace) -> S:
        """The configuration that :meth:`add_options` has read."""
        values = {f.name: getattr(options, f.name) for f in _options(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def carry_out(study: Study, folder: str | os.PathLike[str], *, progress: bool = False) -> Results:
    """Run a study and record its tables in a folder, with the command that makes them again.

    A study that was interrupted goes on from what it kept in the folder.
    """
    from causalpref.studies._recorded import record

    study = study.at(Path(folder))
    results = study.run(progress=progress)
    record(results.tables, folder, command=study.command, **results.facts)
    study.clear()
    return results


def whole_number(least: int = 1) -> Any:
    """A reader of whole numbers from ``least`` on, for :mod:`argparse`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
            raise argparse.ArgumentTypeError(f"{text!r} must be {wanted}")
        return int(text)

    return read


def _options(cls: type[Study]) -> list[dataclasses.Field[Any]]:
    return [f for f in fields(cls) if "help" in f.metadata]


def _flag(f: dataclasses.Field[Any]) -> str:
    name = f.name.removeprefix("n_")
    if isinstance(f.default, tuple):
        name = name.removesuffix("s")
    return "--" + name.replace("_", "-")


def _reading(hint: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """How :mod:`argparse` reads a value of this type."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    shown = {"metavar": metadata["metavar"]} if metadata["metavar"] else {}
    if hint is bool:
        return {"action": "store_true"}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is tuple:
        return {"nargs": "+", **_reading(get_args(hint)[0], metadata)}
    if hint is int:
        return {"type": whole_number(metadata["least"]), "metavar": "N", **shown}
    return {"type": hint, **shown}


def _words(f: dataclasses.Field[Any], value: Any) -> list[str]:
    """An option as it is typed."""
    flag = _flag(f)
    if value is True:
        return [flag]
    if isinstance(value, tuple):
        return [flag, *map(_said, value)]
    word = _said(value)
    if f.metadata["placeholder"] and Path(word).exists() and word not in _WORDS:
        word = f.metadata["placeholder"]
    return [f"{flag}={word}"] if word.startswith("-") else [flag, word]


_WORDS = ("offline", "hub", "hashed")
"""Values of a source or a model that are no paths, whatever the folder holds."""


def _said(value: Any) -> str:
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)
