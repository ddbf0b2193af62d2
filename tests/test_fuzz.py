"""Generated files of every layout, whole and damaged: nothing is lost or inverted in silence.

Here run the first 200 files; ``CAUSALPREF_FUZZ=2000`` runs 2,000. A failure names the seed:
``fuzzing.judge(fuzzing.generate(seed, folder))`` repeats it and ``fuzzing.smallest(seed, folder)``
looks for fewer rows that show the same.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import fuzzing
import pytest

import causalpref as cp

FILES = int(os.environ.get("CAUSALPREF_FUZZ", "200"))
BLOCKS = 10


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_file_is_misread_in_silence(block: int, tmp_path: Path) -> None:
    failed = []
    for seed in range(block, FILES, BLOCKS):
        file = fuzzing.generate(seed, tmp_path)
        failed += [f"{file}: {problem}" for problem in fuzzing.judge(file).problems]
    assert not failed, "\n".join([f"{len(failed)} problems", *failed[:20]])


def test_what_was_read_can_be_audited(tmp_path: Path) -> None:
    audited = 0
    for seed in range(1000):
        loaded = fuzzing.judge(fuzzing.generate(seed, tmp_path)).loaded
        if loaded is not None:
            str(cp.audit(loaded.data))
            audited += 1
        if audited == 20:
            break
    assert audited == 20


def whole_file(folder: Path, layout: str = "strings") -> fuzzing.File:
    """A file of JSON lines with several rows, of which some are damaged."""
    for seed in range(100_000):
        if seed % fuzzing.KINDS == list(fuzzing.LAYOUTS).index(layout):
            file = fuzzing.generate(seed, folder)
            if file.container == "json lines" and file.damage == "rows: null" and not file.broken:
                verdict = fuzzing.judge(file)
                if verdict.loaded is not None and verdict.lost and len(verdict.loaded.data) > 1:
                    return file
    raise AssertionError("no such file")


@pytest.mark.parametrize("fault", ["inverted", "dropped", "unlisted", "miscounted", "KeyError"])
def test_the_check_notices(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, load = whole_file(tmp_path), cp.load_preferences

    def faulty(source: Any, **options: Any) -> Any:
        loaded = load(source, **options)
        if fault == "inverted":
            fewer = dataclasses.replace(loaded.data, label=1 - loaded.data.label)
            return dataclasses.replace(loaded, data=fewer)
        if fault == "dropped":
            return dataclasses.replace(loaded, data=loaded.data[1:])
        if fault == "unlisted":
            return dataclasses.replace(loaded, bad=[])
        if fault == "miscounted":
            return dataclasses.replace(loaded, rows=loaded.rows - 1)
        raise KeyError("chosen")

    monkeypatch.setattr(cp, "load_preferences", faulty)
    assert fuzzing.judge(file).problems
