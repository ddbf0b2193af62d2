"""The first minutes of somebody with another machine: import, audit a file, train a model.

The workflow ``smoke`` runs this on macOS and Windows, where no ``make`` is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import causalpref


def made_up(path: Path, n: int = 200) -> Path:
    """The longer answer wins three times out of four; letters that no code page of Windows has."""
    rows = [
        {
            "prompt": f"Question {i}: où, 何処?",
            "response_a": "word " * (3 + i % 2 * 9) + str(i),
            "response_b": "word " * (12 - i % 2 * 9) + str(i),
            "label": int((i % 2 == 1) != (i % 8 in (2, 5))),
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def test_every_name_of_the_front_door_is_there_or_says_what_to_install() -> None:
    for name in causalpref.__all__:
        try:
            assert getattr(causalpref, name) is not None
        except ImportError as error:
            assert "causalpref[models]" in str(error), name


def test_audit_of_a_file(tmp_path: Path) -> None:
    path = made_up(tmp_path / "made-up.jsonl")
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    command = [
        sys.executable,
        "-c",
        "import sys; from causalpref.cli import main; sys.exit(main())",
    ]
    done = subprocess.run(
        [*command, "audit", str(path), "--report", str(page), "--json", str(numbers)],
        capture_output=True,
        env=os.environ | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "utf-8"},
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    found = json.loads(numbers.read_text("utf-8"))
    assert found["counts"]["pairs"] == 200
    assert page.read_text("utf-8").lower().startswith("<!doctype html>")


def test_a_model_is_trained() -> None:
    pytest.importorskip("torch")
    from causalpref.rewards import RewardConfig, fit

    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((800, 4)).astype(np.float32)
    data = causalpref.PreferenceData(
        prompts=[f"question {i}" for i in range(400)],
        responses=[f"answer {i}" for i in range(800)],
        response_prompt=np.repeat(np.arange(400), 2),
        pairs=np.arange(800).reshape(400, 2),
        label=(embeddings[::2, 0] > embeddings[1::2, 0]).astype(int),
        embeddings=embeddings,
    )
    sides = data.split(seed=0, train=0.7, test=0.3)
    config = RewardConfig("base", hidden=16)
    fitted = fit(config, sides["train"], sides["test"], epochs=20, learning_rate=1e-2)
    assert fitted.accuracy(sides["test"]).all > 0.85
