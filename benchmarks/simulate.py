"""Seconds and peak memory to draw pairs and compute their potential outcomes.

python benchmarks/simulate.py [--pairs 1000000]
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np
import torch  # noqa: F401  (so that the baseline of memory holds the package's imports)

from causalpref.simulation import Simulator, linear_reward

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--pairs", type=int, default=1_000_000)
args = parser.parse_args()


def peak() -> float:
    """Peak resident memory so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


simulator = Simulator(
    linear_reward([[0.25, 0.75], [0.75, 0.25]]), correlation=0.6, contexts=(0.5, 0.5), rho=0.9
)
before, start = peak(), time.perf_counter()
data = simulator.sample(args.pairs, seed=0)
drawn = time.perf_counter()
outcomes = simulator.outcomes(data)
done = time.perf_counter()
print(
    f"{len(data):,} pairs: drawn in {drawn - start:.2f} s, potential outcomes in "
    f"{done - drawn:.2f} s; peak memory {peak():.2f} GB ({before:.2f} GB before); "
    f"numpy {np.__version__}, {platform.machine()}"
)
