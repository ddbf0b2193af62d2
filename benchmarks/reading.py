"""Seconds and peak memory to read JSON lines, beside ``datasets`` reading the same file.

    python benchmarks/reading.py [--megabytes 1000] [--words 120]

Each way of reading runs in a process of its own on the same made-up file, all in one run, and a
process that only imports says what the memory holds before anything is read. ``datasets`` writes
an Arrow copy of the file into an empty cache; its seconds include that, as a first reading does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--megabytes", type=int, default=1000)
parser.add_argument("--words", type=int, default=120, help="of a response, on average")
args = parser.parse_args()

START = """
import json, resource, sys, time
path, cache = sys.argv[1:]
"""
WAYS = {
    "open_rows, every row": (
        "from causalpref.sources._rows import open_rows",
        "n = sum(1 for _ in open_rows(path).rows(None))",
    ),
    "load_preferences": (
        "from causalpref.sources import load_preferences",
        "n = len(load_preferences(path).data)",
    ),
    "datasets.load_dataset": (
        "import datasets; datasets.disable_progress_bars()",
        "n = len(datasets.load_dataset('json', data_files=path, split='train', cache_dir=cache))",
    ),
    "datasets, every row": (
        "import datasets; datasets.disable_progress_bars()",
        "n = sum(1 for _ in datasets.load_dataset("
        "'json', data_files=path, split='train', cache_dir=cache))",
    ),
}
END = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak, "before": before, "n": n}))
"""


def write(path: Path, size: int, words: int) -> None:
    """Rows of prompt, chosen, rejected until the file has so many bytes; Zipf's law."""
    rng = np.random.default_rng(0)
    vocabulary = np.array(
        [f"{a}{b}{c}" for a in "bdfglmnprst" for b in ("a", "én", "ist", "o") for c in "bdfglm"]
    )
    frequency = 1 / np.arange(1, len(vocabulary) + 1)
    frequency /= frequency.sum()
    written = number = 0
    with open(path, "w", encoding="utf-8") as stream:
        while written < size:
            lengths = np.maximum(rng.poisson((30, words, words), (1000, 3)), 1)
            pool = iter(rng.choice(vocabulary, lengths.sum(), p=frequency).tolist())
            for row in lengths.tolist():
                texts = [" ".join(next(pool) for _ in range(n)) for n in row]
                names = ("prompt", "chosen", "rejected")
                texts[0] = f"{number}: {texts[0]}"
                line = json.dumps(dict(zip(names, texts)), ensure_ascii=False) + "\n"
                written += stream.write(line)
                number += 1


def measured(first: str, then: str, path: Path) -> dict[str, float]:
    before = "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6\n"
    code = f"{START}{first}\n{before}start = time.perf_counter()\n{then}\n{END}"
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), cache],
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "simulated.jsonl"
    write(file, args.megabytes * 1_000_000, args.words)
    size = file.stat().st_size / 1e6
    results = {way: measured(*code, file) for way, code in WAYS.items()}
base = results["datasets.load_dataset"]
print(f"{size:.0f} MB of JSON lines, {base['n']:,} rows; {platform.machine()}")
for way, r in results.items():
    print(
        f"{way:24s} {r['seconds']:7.2f} s ({r['seconds'] / base['seconds']:.2f} of load_dataset), "
        f"peak memory {r['peak']:.2f} GB ({r['before']:.2f} GB before)"
    )
