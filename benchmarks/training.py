"""All runs at once against one after another, in the trainer and in plain PyTorch; kill and resume.

    python benchmarks/training.py [--d 384 4096] [--pairs 3000] [--seeds 4] [--kills 20]

Prints seconds and ratios measured in this one process, for the three models at each of two rho,
and the largest difference of their reward differences. Plain PyTorch is the loop that tutorials
show: a Dataset of pairs, a DataLoader that shuffles, a model, Adam, a validation pass an epoch.
With ``--kills`` a training process is killed at random moments and started again, and must end
with the numbers of one that was not.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from causalpref.rewards import KINDS, RewardConfig, RewardModel, Run, fit_runs, predict
from causalpref.simulation import hh_rlhf_twin
from causalpref.studies.hh_rlhf import draw_confounded

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--d", type=int, nargs="+", default=[384, 4096])
parser.add_argument("--pairs", type=int, default=3000, help="training pairs of a run")
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
parser.add_argument("--kills", type=int, default=0, help="kill and resume so often; nothing else")
parser.add_argument("--resume", help=argparse.SUPPRESS)
args = parser.parse_args()


def make_runs(d: int, pairs: int, seeds: int, hidden: int = 512) -> list[Run]:
    data = hh_rlhf_twin(4 * pairs, d=d)
    runs = []
    for rho in (0.5, 0.9):
        draw = draw_confounded(data, rho, n_train=pairs, n_validation=pairs // 5, seed=0)
        runs += [
            Run(
                RewardConfig(kind, hidden=hidden),
                *draw.blind,
                seed=seed,
                tags={"rho": rho, "model": kind},
            )
            for kind in KINDS
            for seed in range(seeds)
        ]
    return runs


class Pairs(Dataset):
    """Pairs as a tutorial would hold them."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        first, second = self.data.pairs[row]
        return (
            torch.tensor(self.data.embeddings[first]),
            torch.tensor(self.data.embeddings[second]),
            int(self.data.label[row]),
            int(self.data.objective[row]),
        )


def plain(run: Run, epochs: int, device: str) -> RewardModel:
    torch.manual_seed(run.seed)
    model = RewardModel(run.config.sized(run.train, run.validation)).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
    train = DataLoader(Pairs(run.train), batch_size=64, shuffle=True)
    validation = DataLoader(Pairs(run.validation), batch_size=64)
    for _ in range(epochs):
        for batch in train:
            loss, adversary, _ = model.losses(*(v.to(device) for v in batch))
            optimiser.zero_grad()
            (loss if adversary is None else loss + adversary).backward()
            optimiser.step()
        with torch.no_grad():
            for batch in validation:
                batch = [v.to(device) for v in batch]
                ((model.losses(*batch)[2] > 0) == batch[2].bool()).sum().item()
    return model


def seconds(work) -> tuple[float, object]:
    start = time.perf_counter()
    out = work()
    if args.device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start, out


def rate(n: int, device: str) -> float:
    """Products of n x n matrices, 10^9 floating-point operations a second."""
    a = torch.randn(n, n, device=device)
    for _ in range(3):
        a @ a
    took, _ = seconds(lambda: [a @ a for _ in range(20)])
    return 20 * 2 * n**3 / took / 1e9


def operations(run: Run, epochs: int) -> float:
    """Of the products that training needs: forward and twice that backward, one head a response."""
    c = run.config.sized(run.train, run.validation)
    weights = c.d * c.hidden + (c.depth - 1) * c.hidden**2
    weights += {"base": 0, "multihead": c.hidden**2, "adversarial": 2 * c.hidden**2}[c.kind]
    return 6.0 * weights * 2 * len(run.train) * epochs


def kill_and_resume(times: int) -> None:
    """A process killed at random moments ends with the numbers of one that was not."""
    runs = make_runs(64, 600, 2, hidden=64)
    whole = fit_runs(runs, epochs=30, device=args.device)
    chance = random.Random(0)
    killed = started = 0
    while killed < times:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(min(4, times - killed)):
                process = subprocess.Popen(
                    [sys.executable, __file__, "--resume", folder, "--device", args.device]
                )
                started += 1
                until = time.monotonic() + 120
                while not (Path(folder) / "plan.json").exists() and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(6 * chance.random())
                process.send_signal(signal.SIGKILL)
                killed += process.wait() == -signal.SIGKILL
            done = fit_runs(runs, epochs=30, device=args.device, checkpoint=folder)
        for a, b in zip(whole, done):
            assert a.history.equals(b.history) and a.best_epoch == b.best_epoch
            for name, weight in a.model.state_dict().items():
                assert torch.equal(weight, b.model.state_dict()[name]), name
        print(f"{killed} kills of {started} starts: equal to the bit", flush=True)


if args.resume:
    fit_runs(
        make_runs(64, 600, 2, hidden=64), epochs=30, device=args.device, checkpoint=args.resume
    )
    sys.exit(0)
print(
    f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch "
    f"{torch.__version__}, {args.device}"
    + (f" ({torch.cuda.get_device_name()})" if args.device.startswith("cuda") else "")
)
if args.kills:
    kill_and_resume(args.kills)
    sys.exit(0)
peak = rate(8192 if args.device.startswith("cuda") else 2048, args.device)
print(f"matrix rate {peak:,.0f} Gflop/s in float32")
for d in args.d:
    runs = make_runs(d, args.pairs, args.seeds)
    options = dict(epochs=args.epochs, device=args.device, precision=args.precision)
    fit_runs(runs[:1], **options | {"epochs": 1})  # warm
    together, fits = seconds(lambda: fit_runs(runs, **options))
    one, alone = seconds(lambda: [fit_runs([run], **options)[0] for run in runs])
    loop, _ = seconds(lambda: [plain(run, args.epochs, args.device) for run in runs])
    apart = max(
        np.abs(predict(a.model, run.validation) - predict(b.model, run.validation)).max()
        for run, a, b in zip(runs, fits, alone)
        if a.best_epoch == b.best_epoch
    )
    work = sum(operations(run, args.epochs) for run in runs) / 1e9
    print(
        f"d = {d}: {len(runs)} runs, {args.pairs} pairs, {args.epochs} epochs: together "
        f"{together:.1f} s, one after another {one:.1f} s ({one / together:.2f} times), plain "
        f"PyTorch {loop:.1f} s ({loop / together:.2f} times); {work / together:,.0f} Gflop/s, "
        f"{work / together / peak:.0%} of the matrix rate; largest difference of a margin "
        f"{apart:.1e}",
        flush=True,
    )
