"""Seconds by stage and peak memory of ``causalpref audit`` on a simulated JSON lines file.

    python benchmarks/audit.py [--pairs 100000] [--words 120]

The words are drawn at random with frequencies of natural language; who is asked shows in them,
and so does what is preferred. The command runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--pairs", type=int, default=100_000)
parser.add_argument("--words", type=int, default=120, help="of a response, on average")
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()


def write(path: Path, n: int, words: int) -> None:
    """n rows: prompt, two responses, label, objective; log-normal lengths, Zipf's law."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(
        [
            f"{a}{b}{c}"
            for a in "bdfglmnprst"
            for b in ("a", "en", "ist", "o")
            for c in "bdfglmnprst" * 20
        ]
    )
    frequency = 1 / np.arange(1, len(vocabulary) + 1)
    frequency /= frequency.sum()
    with open(path, "w", encoding="utf-8") as stream:
        for start in range(0, n, 1000):
            size = min(1000, n - start)
            lengths = np.clip(
                np.exp(np.log(words) - 0.125 + 0.5 * rng.standard_normal((size, 2))), 5, 2000
            ).astype(int)
            objective = rng.integers(0, 2, size)
            asked = rng.random(size) < 0.3 + 0.4 * objective
            gap = np.log(lengths[:, 0] / lengths[:, 1]) * np.where(objective, -1, 1)
            label = (rng.random(size) < 1 / (1 + np.exp(-gap))).astype(int)
            pool = iter(
                rng.choice(vocabulary, int(lengths.sum()) + 90 * size, p=frequency).tolist()
            )
            listed, refused, asks = (
                rng.random((3, size, 2)) < np.array([0.2, 0.1, 0.3])[:, None, None]
            ).tolist()
            turns = rng.integers(0, 3, size)

            def text(k: int) -> str:
                return " ".join(next(pool) for _ in range(k)).capitalize() + "."

            def response(i: int, side: int) -> str:
                said = text(lengths[i, side])
                if listed[i][side]:
                    said = said.replace(" b", "\n- b", 5)
                return "I'm sorry, but " * refused[i][side] + said + " Fine?" * asks[i][side]

            for i in range(size):
                before = "".join(
                    f"Human: {text(12)}\n\nAssistant: {text(12)}\n\n" for _ in range(turns[i])
                )
                ask = "Please" if asked[i] else "Why"
                row = {
                    "prompt": f"{before}Human: {ask} {text(30)}",
                    "response_a": response(i, 0),
                    "response_b": response(i, 1),
                    "label": int(label[i]),
                    "objective": ["helpful", "safe"][objective[i]],
                }
                stream.write(json.dumps(row) + "\n")


with tempfile.TemporaryDirectory() as folder:
    data = Path(folder) / "simulated.jsonl"
    write(data, args.pairs, args.words)
    threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    start = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "causalpref.cli",
            "audit",
            str(data),
            "--report",
            str(Path(folder) / "audit.html"),
            "--json",
            str(Path(folder) / "audit.json"),
        ],
        env=os.environ | threads,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    size = {f.suffix: f.stat().st_size / 1e6 for f in Path(folder).iterdir()}
print(done.stderr, done.stdout, sep="\n")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(
    f"{args.pairs:,} pairs ({size['.jsonl']:.0f} MB): {seconds:.1f} s "
    f"({used.ru_utime + used.ru_stime:.1f} s of processor), peak memory "
    f"{used.ru_maxrss / 1e6:.2f} GB, exit status {done.returncode}; report "
    f"{size.get('.html', 0):.2f} MB; {args.threads} threads, {platform.machine()}"
)
