"""Fitting reward models to preferences: many runs at once, each as if it were alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from causalpref.data import PreferenceData, normalised, shared_prompts
from causalpref.rewards._config import Kind, RewardConfig, Run, check_embeddings, objectives
from causalpref.rewards._evaluation import Accuracy, accuracy, correct, predict
from causalpref.rewards._files import write_tensors
from causalpref.rewards._models import RewardModel, ordered, save_model
from causalpref.rewards._scoring import Texts
from causalpref.rewards._stacked import Stack, spans_of

__all__ = ["Fit", "curves", "fit", "fit_runs", "forget"]

Precision = Literal["float32", "bfloat16"]
_FORMAT = "causalpref.training/1"


@dataclass(frozen=True)
class Fit:
    """A fitted reward model and how it got there.

    Parameters
    ----------
    model : RewardModel
        With the weights of ``best_epoch``, on the CPU.
    history : pandas.DataFrame
        One row an epoch: ``epoch`` (1, 2, ...), ``train_loss`` (Bradley-Terry, nats a pair),
        ``train_accuracy``, ``adversary_loss`` (nats a pair, two responses; missing
        without an adversary), ``validation_loss``, ``validation_accuracy``. Training
        columns are means over the epoch's own batches, taken before each step.
    best_epoch : int
        The epoch of the highest validation accuracy, the earliest of equals; 0 (initial weights)
        if there was none.
    seed : int
    tags : mapping
        Those of the :class:`Run`.
    diverged : str
        Empty, or what went wrong: ``history`` then ends before that epoch.
    train : PreferenceData, optional
        The pairs that it was fitted to.
    """

    model: RewardModel
    history: pd.DataFrame
    best_epoch: int
    seed: int
    tags: Mapping[str, Any] = field(default_factory=dict)
    diverged: str = ""
    train: PreferenceData | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        model, n_epochs = self.model, len(self.history)
        pairs = "" if self.train is None else f" on {len(self.train):,} pairs"
        k = model.config.sizes[1]
        about = ", ".join(model.objectives) or f"{k} objective{'s' * (k > 1)}"
        kept = f"epoch {self.best_epoch} of {n_epochs} kept"
        if self.best_epoch:
            accuracy = self.history.validation_accuracy[self.best_epoch - 1]
            kept += f", validation accuracy {accuracy:.1%}"
        return f"Fit({model.config.kind}{pairs}; {about}; {self.diverged or kept})"

    def score(
        self,
        prompts: Texts | PreferenceData,
        responses: Texts | None = None,
        objective: int | str | None = None,
        **options: Any,
    ) -> np.ndarray:
        """The reward of each response, shape (n,); see :meth:`RewardModel.score`."""
        return self.model.score(prompts, responses, objective, **options)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to a file; see :func:`save_model`."""
        return save_model(self, path)

    def predict(self, data: PreferenceData) -> np.ndarray:
        """r(x, y, c) - r(x, y', c) for every pair; see :func:`predict`."""
        return predict(self.model, data)

    def correct(self, data: PreferenceData) -> np.ndarray:
        """1 for a pair ordered as labelled, 0 for another, 0.5 for a tie; see :func:`correct`."""
        return correct(self.model, data)

    def accuracy(self, data: PreferenceData) -> Accuracy:
        """Share of pairs ordered as labelled; see :func:`accuracy`.

        Warns
        -----
        UserWarning
            When pairs have prompts that were in training, but for blanks and case (in simulated
            data, whose prompts are no texts, this is not looked at).
        """
        found = accuracy(self.model, data)
        if self.train is not None and not (self.train.simulated or data.simulated):
            shared = shared_prompts(self.train, data)
            if shared:
                warnings.warn(
                    f"{shared.pairs / shared.of:.0%} of these {shared.of:,} pairs have prompts "
                    "that were in training, so this is not the accuracy on new prompts: keep a "
                    "test side of data.split(train=0.8, validation=0.1, test=0.1)",
                    stacklevel=2,
                )
        return found


def fit(
    config: RewardConfig | Kind,
    train: PreferenceData,
    validation: PreferenceData,
    *,
    seed: int | np.random.Generator = 0,
    learning_rate: float = 1e-4,
    weight: np.ndarray | None = None,
    patience: int | None = None,
    tags: Mapping[str, Any] | None = None,
    epochs: int = 10,
    batch_size: int = 64,
    device: str | None = None,
    precision: Precision = "float32",
) -> Fit:
    """Train one model with Adam and keep the weights of the best validation accuracy.

    As in appendix E.1. The whole validation set is scored after every epoch. One run of
    :func:`fit_runs`.

    Parameters
    ----------
    config : RewardConfig, or {"base", "multihead", "adversarial"}
        A name stands for ``RewardConfig(name)``.
    train, validation, learning_rate, weight, patience, tags
        See :class:`Run`.
    seed : int or numpy.random.Generator
        See :class:`Run`; from a generator one seed is drawn.
    epochs, batch_size, device, precision
        See :func:`fit_runs`.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        What :func:`fit_runs` raises, or a loss that is no longer finite.
    """
    run = Run(
        RewardConfig(config) if isinstance(config, str) else config,
        train,
        validation,
        seed=int(seed.integers(2**31)) if isinstance(seed, np.random.Generator) else seed,
        learning_rate=learning_rate,
        weight=weight,
        patience=patience,
        tags=tags or {},
    )
    (fitted,) = fit_runs(
        [run], epochs=epochs, batch_size=batch_size, device=device, precision=precision
    )
    if fitted.diverged:
        raise ValueError(
            f"{fitted.diverged}: lower the learning rate, or look at the embeddings' scale"
        )
    return fitted


def fit_runs(
    runs: Sequence[Run],
    *,
    epochs: int = 10,
    batch_size: int = 64,
    device: str | None = None,
    precision: Precision = "float32",
    checkpoint: str | os.PathLike[str] | None = None,
    together: int | None = None,
    progress: bool = False,
) -> list[Fit]:
    """Train many models at once; each comes out as if it had been trained alone.

    Runs of one shape (configuration but for lambda, number of training pairs, embeddings) are
    stacked and take their steps in one batched program. On a GPU there is one program a shape,
    split where memory is short; on a CPU small programs share the cores, a core each.

    Parameters
    ----------
    runs : sequence of Run
    epochs, batch_size : int
        The paper states 10 epochs and no batch size.
    device : str, optional
        Default: the GPU if there is one.
    precision : {"float32", "bfloat16"}
        ``"bfloat16"``: products in bfloat16, sums, losses and weights in float32.
    checkpoint : path, optional
        A folder. After every epoch the state of the runs is written there, whole or not at all;
        the same call after a stop goes on from it and ends with the same numbers. Delete it when
        it is no longer needed.
    together : int, optional
        Maximum number of runs trained in one batch. Default: by device and free memory.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    list of Fit
        In the order of ``runs``. A run whose loss is no longer finite stops, says so in
        ``diverged``, and leaves the others alone.

    Raises
    ------
    ValueError
        Missing or ill-sized embeddings, an objective out of range, sides that share a prompt,
        weights that do not fit; names the run. A checkpoint of other runs.
    """
    from tqdm import tqdm

    if len(runs) == 0:
        raise ValueError("runs is empty: there is nothing to fit")
    if epochs < 1 or batch_size < 1 or (together is not None and together < 1):
        raise ValueError(
            f"epochs ({epochs}), batch_size ({batch_size}) and together ({together}) "
            "must be positive"
        )
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision is {precision!r}, expected 'float32' or 'bfloat16'")
    runs = list(runs)
    known: dict[int, np.ndarray] = {}
    for place, run in enumerate(runs):
        try:
            config = run.config.sized(run.train, run.validation)
            runs[place] = dataclasses.replace(run, config=config)
            _check(runs[place], known)
        except ValueError as error:
            if len(runs) == 1:
                raise
            tags = f" {dict(run.tags)}" if run.tags else ""
            raise ValueError(f"run {place}{tags}: {error}") from None
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    cores = torch.get_num_threads() if device == "cpu" else 1
    shared = _Shared(device)
    plan = _plan(runs, epochs, batch_size, device, cores, together)
    if checkpoint is not None:
        checkpoint = Path(checkpoint)
        plan = _agree(plan, checkpoint, _fingerprint(runs, epochs, batch_size, precision))

    cost = [len(run.train) * _count(run.config) for run in runs]
    bar = tqdm(
        total=epochs * sum(cost),
        desc=f"{len(runs)} reward models",
        disable=not progress,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left",
    )
    lock, stop = threading.Lock(), threading.Event()
    fits: dict[int, Fit] = {}

    def train(number: int) -> None:
        members = plan[number]
        file = None if checkpoint is None else checkpoint / f"{number}.safetensors"
        program = _Program(
            [runs[i] for i in members],
            shared,
            epochs=epochs,
            device=device,
            batch_size=batch_size,
            precision=precision,
            file=file,
        )

        def tick(run: int, n_epochs: int) -> None:
            with lock:
                bar.update(n_epochs * cost[members[run]])

        done = program.run(tick, stop)
        fits.update(zip(members, done))

    workers = min(cores, len(plan))
    try:
        if workers == 1:
            for number in range(len(plan)):
                train(number)
        else:
            # a core each: several small products side by side beat one that is shared out
            with ThreadPoolExecutor(
                workers, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                try:
                    for future in as_completed([pool.submit(train, k) for k in range(len(plan))]):
                        future.result()
                except BaseException:
                    stop.set()
                    raise
    finally:
        if workers > 1:
            torch.set_num_threads(cores)
        bar.close()
    return [fits[i] for i in range(len(runs))]


def curves(fits: Sequence[Fit]) -> pd.DataFrame:
    """Training curves of many fits, one row a run and epoch: tags, ``seed``, and the history."""
    return pd.concat(
        [fitted.history.assign(**{**fitted.tags, "seed": fitted.seed}) for fitted in fits],
        ignore_index=True,
    )


# -- what is checked, and what goes to the device ---------------------------


def _check(run: Run, known: dict[int, np.ndarray]) -> None:
    if run.learning_rate <= 0 or (run.patience is not None and run.patience < 1):
        raise ValueError(
            f"learning_rate ({run.learning_rate}) and patience ({run.patience}) must be positive"
        )
    train, validation = run.train, run.validation
    if pairs := _shared(train, validation, known):
        near = sum(a != b for a, b in pairs)
        raise ValueError(
            f"train and validation share {len(pairs)} prompt{'s' * (len(pairs) > 1)}"
            + (f", {near} of them but for blanks or case" if near else "")
            + f": {' and '.join(repr(b[:60]) for _, b in pairs[:2])}"
            + (", for example" if len(pairs) > 2 else "")
            + ". Split by prompt: data.split(train=0.8, validation=0.1, test=0.1)"
        )
    for side in (train, validation):
        check_embeddings(side, run.config, train.recipe, "the training data")
        objectives(side, run.config, _names(run))
    if run.weight is not None:
        weight = np.asarray(run.weight, dtype=float)
        if weight.shape != (len(run.train),):
            raise ValueError(
                f"weight has shape {weight.shape}, there are {len(run.train)} training pairs"
            )
        bad = np.flatnonzero(~(weight >= 0) | ~np.isfinite(weight))
        if len(bad) or weight.sum() == 0:
            raise ValueError(
                f"weight[{bad[0]}] = {weight[bad[0]]}" if len(bad) else "all weights are 0"
            )


def _shared(
    train: PreferenceData, validation: PreferenceData, known: dict[int, np.ndarray]
) -> list[tuple[str, str]]:
    """Prompts that are on both sides, as either side has them.

    ``known`` keeps the normalised prompts of earlier runs.
    """
    sides: list[dict[str, str]] = []
    for side in (train, validation):
        key = id(side.prompts)  # the runs hold the arrays, so it names one array
        if key not in known:
            known[key] = np.array([normalised(p) for p in side.prompts], dtype=object)
        used = np.unique(side.pair_prompt)
        sides.append(dict(zip(known[key][used], side.prompts[used])))
    first, second = sides
    return [(text, second[key]) for key, text in first.items() if key in second]


def _names(run: Run) -> tuple[str, ...]:
    """Names of the objectives, where the data have them."""
    names = run.train.names.get("objective") or run.validation.names.get("objective", ())
    return names[: run.config.sizes[1]]


class _Shared:
    """Embedding matrices on the device, each once however many runs read it."""

    def __init__(self, device: str):
        self.device = device
        self._held: dict[tuple[Any, ...], tuple[np.ndarray, Tensor]] = {}
        self._lock = threading.Lock()

    def __call__(self, embeddings: np.ndarray) -> Tensor:
        with self._lock:
            key = _where(embeddings)
            if key not in self._held:  # keeps the array too, so that its place stays taken
                self._held[key] = embeddings, torch.tensor(embeddings, device=self.device)
            return self._held[key][1]


def _where(array: np.ndarray) -> tuple[Any, ...]:
    """Equal for views of the same memory."""
    return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str


# -- which runs go together --------------------------------------------------


def _count(config: RewardConfig) -> int:
    """Number of parameters."""
    with torch.device("meta"):
        return sum(p.numel() for p in RewardModel(config).parameters())


def _plan(
    runs: Sequence[Run], epochs: int, batch_size: int, device: str, cores: int, together: int | None
) -> list[list[int]]:
    """Runs by program, the longest first."""
    shapes: dict[Any, list[int]] = {}
    for i, run in enumerate(runs):
        key = (
            dataclasses.replace(run.config, lambda_=0.0),
            len(run.train),
            run.weight is None,
            _where(run.train.require("embeddings")),
        )
        shapes.setdefault(key, []).append(i)
    plan = []
    for members in shapes.values():
        members.sort(key=lambda i: runs[i].learning_rate)  # one block of the optimiser a rate
        most = together or _room(runs[members[0]], batch_size, device, cores)
        parts = math.ceil(len(members) / most)
        if together is None and device == "cpu":  # no core idle while another has two
            parts = min(len(members), math.ceil(parts / cores) * cores)
        plan += [part.tolist() for part in np.array_split(members, parts)]
    cost = [len(p) * len(runs[p[0]].train) * _count(runs[p[0]].config) for p in plan]
    return [plan[k] for k in np.argsort(cost, kind="stable")[::-1]]


def _room(run: Run, batch_size: int, device: str, cores: int) -> int:
    """Runs of this shape that a program can hold."""
    config, rows = run.config, 2 * min(batch_size, len(run.train))
    d, k = config.sizes
    layers = config.depth + 2 * k + 2
    need = 4 * (7 * _count(config) + rows * (d + 4 * layers * config.hidden))
    need += 64 * len(run.train)
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = _free_memory() / cores
    most = max(1, int(0.7 * free / need))
    return most if device.startswith("cuda") else min(most, _CPU_RUNS)


def _free_memory() -> float:
    """Free bytes of the machine; 4 GiB where the system does not say (macOS, Windows)."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30


_CPU_RUNS = 4
"""Runs in a program on a CPU: beyond it a step's numbers leave the cache and nothing is won."""


def _fingerprint(runs: Sequence[Run], epochs: int, batch_size: int, precision: str) -> str:
    """Hash of everything that decides the results."""
    digest = hashlib.sha256(f"{_FORMAT} {epochs} {batch_size} {precision}".encode())
    seen: dict[Any, bytes] = {}

    def add(array: np.ndarray | None) -> None:
        if array is None:
            digest.update(b"-")
            return
        key = _where(array)
        if key not in seen:
            seen[key] = hashlib.sha256(np.ascontiguousarray(array).data).digest()
        digest.update(seen[key])

    for run in runs:
        digest.update(
            json.dumps(
                [dataclasses.asdict(run.config), run.seed, run.learning_rate, run.patience]
            ).encode()
        )
        for side in (run.train, run.validation):
            for array in (side.pairs, side.label, side.objective, side.embeddings):
                add(array)
        add(None if run.weight is None else np.asarray(run.weight, dtype=float))
    return digest.hexdigest()


def _agree(plan: list[list[int]], folder: Path, fingerprint: str) -> list[list[int]]:
    """The division of the runs that the checkpoint was begun with: it decides the last bits."""
    file = folder / "plan.json"
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["fingerprint"] != fingerprint:
            raise ValueError(
                f"checkpoint {folder} belongs to other runs or settings: delete it, "
                "or name another folder"
            )
        return kept["plan"]
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".plan.json.part"
    temporary.write_text(json.dumps({"fingerprint": fingerprint, "plan": plan}), encoding="utf-8")
    os.replace(temporary, file)
    return plan


def forget(folder: str | os.PathLike[str]) -> None:
    """Delete a checkpoint of :func:`fit_runs`: its own files, and the folder if that empties it."""
    folder = Path(folder)
    plan = folder / "plan.json"
    if not plan.is_file():
        return
    for number in range(len(json.loads(plan.read_text(encoding="utf-8"))["plan"])):
        (folder / f"{number}.safetensors").unlink(missing_ok=True)
        (folder / f".{number}.safetensors.part").unlink(missing_ok=True)
    plan.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


# -- one program ---------------------------------------------------------------


class _Program:
    """Runs of one shape, trained step by step together."""

    def __init__(
        self,
        runs: Sequence[Run],
        shared: _Shared,
        *,
        epochs: int,
        batch_size: int,
        device: str,
        precision: Precision,
        file: Path | None,
    ):
        self.runs, self.shared, self.epochs, self.device = runs, shared, epochs, device
        self.batch_size, self.precision, self.file = batch_size, precision, file
        self.history: list[list[dict[str, Any]]] = [[] for _ in runs]
        self.best = [(0, -1.0)] * len(runs)  # epoch and validation accuracy
        self.diverged = [""] * len(runs)
        self.alive = list(range(len(runs)))
        self.epoch = 0
        self.models = [_initial(run, device) for run in runs]  # at the end: of the best epoch
        self.stack = Stack(self.models, device)
        self.moments: dict[str, Tensor] = {}

    def run(self, tick: Callable[[int, int], None], stop: threading.Event) -> list[Fit]:
        """Train to the end; ``tick(run, epochs)`` after each."""
        if self.file is not None and self.file.is_file():
            self._load()
            for k in range(len(self.runs)):
                tick(k, self.epoch if k in self.alive else self.epochs)
        if self.alive and self.epoch < self.epochs:
            self._train(tick, stop)
        return [
            Fit(
                model=model.to("cpu").eval(),
                history=_table(history),
                best_epoch=best[0],
                seed=run.seed,
                tags=run.tags,
                diverged=diverged,
                train=run.train,
            )
            for model, history, best, run, diverged in zip(
                self.models, self.history, self.best, self.runs, self.diverged
            )
        ]

    def _train(self, tick: Callable[[int, int], None], stop: threading.Event) -> None:
        config = self.runs[0].config
        embeddings = self.shared(self.runs[0].train.require("embeddings"))
        pairs = self._stacked(lambda run: run.train.pairs)
        label = self._stacked(lambda run: run.train.label)
        c_host = torch.stack([torch.tensor(objectives(run.train, config)) for run in self.runs])
        c_all = c_host.to(self.device)
        weight = (
            None
            if self.runs[0].weight is None
            else self._stacked(
                lambda run: ((w := np.asarray(run.weight)) / w.mean()).astype(np.float32)
            )
        )
        orders = [torch.Generator().manual_seed(run.seed) for run in self.runs]
        n = len(self.runs[0].train)
        for order in orders:  # batches of the epochs that are done
            for _ in range(self.epoch):
                torch.randperm(n, generator=order)
        optimiser = self._optimiser()

        while self.epoch < self.epochs:
            self.epoch += 1
            alive = torch.tensor(self.alive, device=self.device)
            rows = torch.stack([torch.randperm(n, generator=orders[k]) for k in self.alive])
            sums = torch.zeros(len(alive), 3, dtype=torch.float64, device=self.device)
            broke = torch.zeros(len(alive), device=self.device)
            for batch, spans in _batches(rows, c_host[self.alive], config, self.batch_size):
                if stop.is_set():
                    raise InterruptedError("stopped")
                batch = batch.to(self.device)
                at = alive[:, None], batch
                y = label[at]
                with self._cast():
                    loss, adversary, margin = self.stack.losses(
                        embeddings[pairs[at].transpose(1, 2)],
                        c_all[at],
                        y,
                        spans,
                        None if weight is None else weight[at],
                    )
                total = loss if adversary is None else loss + adversary
                broke = torch.where(
                    torch.isfinite(broke) & ~torch.isfinite(total), total.detach(), broke
                )
                self._step(optimiser, total)
                with torch.no_grad():
                    extra = torch.full_like(loss, torch.nan) if adversary is None else adversary
                    sums += batch.shape[1] * torch.stack(
                        [loss.double(), extra.double(), ordered(margin, y).mean(1)], dim=1
                    )
            self._close_epoch((sums / n).tolist(), broke.tolist())
            before, here = self.alive, [k for k in self.alive if not self._stops(k)]
            self.alive = here if self.epoch < self.epochs else []
            if self.alive and here != before:
                self._drop(optimiser, before)
                optimiser = self._optimiser()
            if self.file is not None:
                self._remember(optimiser)
                self._save()
            for k in before:
                tick(k, 1 if k in here else self.epochs - self.epoch + 1)
            if not self.alive:
                return

    def _stacked(self, of: Callable[[Run], np.ndarray]) -> Tensor:
        return torch.stack([torch.tensor(of(run)) for run in self.runs]).to(self.device)

    def _cast(self) -> torch.autocast:
        return torch.autocast(
            self.device.split(":")[0], torch.bfloat16, enabled=self.precision == "bfloat16"
        )

    def _close_epoch(self, sums: list[list[float]], broke: list[float]) -> None:
        """Validation, history and best weights of every run."""
        for place, k in enumerate(self.alive):
            loss, accuracy = math.nan, math.nan
            if math.isfinite(broke[place]):
                loss, accuracy = self._validate(place, self.runs[k])
            bad = broke[place] if not math.isfinite(broke[place]) else loss
            if not math.isfinite(bad):
                self.diverged[k] = f"the loss is {bad} in epoch {self.epoch}"
                continue
            self.history[k].append(
                {
                    "epoch": self.epoch,
                    "train_loss": sums[place][0],
                    "train_accuracy": sums[place][2],
                    "adversary_loss": sums[place][1],
                    "validation_loss": loss,
                    "validation_accuracy": accuracy,
                }
            )
            if accuracy > self.best[k][1]:
                self.best[k] = self.epoch, accuracy
                self.models[k].load_state_dict(self.stack.weights(place))

    @torch.no_grad()
    def _validate(self, place: int, run: Run) -> tuple[float, float]:
        """Loss and accuracy on the whole validation set."""
        data, weights = run.validation, self.stack.weights(place)
        embeddings = self.shared(data.require("embeddings"))
        pairs = torch.tensor(data.pairs, device=self.device)
        c = torch.tensor(objectives(data, run.config, _names(run)), device=self.device)
        label = torch.tensor(data.label, device=self.device)
        loss, right = 0.0, 0.0
        for rows in torch.arange(len(data), device=self.device).split(8192):
            with self._cast():
                a, _, margin = torch.func.functional_call(
                    _Losses(self.stack.template),
                    {f"model.{k}": v for k, v in weights.items()},
                    (embeddings[pairs[rows, 0]], embeddings[pairs[rows, 1]], label[rows], c[rows]),
                )
            loss += a.item() * len(rows)
            right += ordered(margin, label[rows]).sum().item()
        return loss / len(data), right / len(data)

    def _stops(self, k: int) -> bool:
        patience = self.runs[k].patience
        return bool(self.diverged[k]) or (
            patience is not None and self.epoch - self.best[k][0] >= patience
        )

    # Adam, one block of runs a learning rate

    def _blocks(self) -> list[tuple[float, slice]]:
        rates = [self.runs[k].learning_rate for k in self.alive]
        return [
            (rate, slice(rates.index(rate), rates.index(rate) + rates.count(rate)))
            for rate in dict.fromkeys(rates)
        ]

    def _optimiser(self) -> torch.optim.Optimizer:
        parameters = self.stack.parameters
        groups = [
            {
                "params": [torch.nn.Parameter(p.detach()[block]) for p in parameters.values()],
                "lr": rate,
            }
            for rate, block in self._blocks()
        ]
        optimiser = torch.optim.Adam(groups, fused=True)
        if self.moments:
            for group, (_, block) in zip(optimiser.param_groups, self._blocks()):
                for name, p in zip(parameters, group["params"]):
                    optimiser.state[p] = {
                        "step": self.moments["step"].clone(),
                        **{
                            m: self.moments[f"{m}.{name}"][block].clone()
                            for m in ("exp_avg", "exp_avg_sq")
                        },
                    }
        return optimiser

    def _step(self, optimiser: torch.optim.Optimizer, total: Tensor) -> None:
        leaves = list(self.stack.parameters.values())
        gradients = torch.autograd.grad(total.sum(), leaves)
        for group, (_, block) in zip(optimiser.param_groups, self._blocks()):
            for p, gradient in zip(group["params"], gradients):
                p.grad = gradient[block]
        optimiser.step()

    def _remember(self, optimiser: torch.optim.Optimizer) -> None:
        """The optimiser's state, stacked like the parameters."""
        self.moments = {}
        if not self.alive:
            return
        for place, name in enumerate(self.stack.parameters):
            states = [optimiser.state[g["params"][place]] for g in optimiser.param_groups]
            for m in ("exp_avg", "exp_avg_sq"):
                self.moments[f"{m}.{name}"] = torch.cat([s[m] for s in states])
            self.moments["step"] = states[0]["step"]

    def _drop(self, optimiser: torch.optim.Optimizer, before: list[int]) -> None:
        """Leave the stack and the optimiser's state to the runs that go on."""
        self._remember(optimiser)
        rows = torch.tensor([before.index(k) for k in self.alive], device=self.device)
        self.stack.keep(rows)
        self.moments = {name: m if name == "step" else m[rows] for name, m in self.moments.items()}

    # checkpoints

    def _save(self) -> None:
        assert self.file is not None
        tensors = {
            f"best.{k}.{name}": p
            for k, model in enumerate(self.models)
            for name, p in model.state_dict().items()
        }
        if self.alive:
            tensors |= {f"now.{name}": p for name, p in self.stack.parameters.items()}
            tensors |= {f"adam.{name}": m for name, m in self.moments.items()}
        write_tensors(
            tensors,
            self.file,
            {
                "format": _FORMAT,
                "state": json.dumps(
                    {
                        "epoch": self.epoch,
                        "alive": self.alive,
                        "best": self.best,
                        "diverged": self.diverged,
                        "history": self.history,
                    }
                ),
            },
        )

    def _load(self) -> None:
        from safetensors import safe_open

        with safe_open(self.file, framework="pt", device=self.device) as file:
            state = json.loads(file.metadata()["state"])
            names = file.keys()  # the file itself is not iterable
            tensors = {k: file.get_tensor(k) for k in names}
        self.epoch, self.alive = state["epoch"], state["alive"]
        self.best = [tuple(b) for b in state["best"]]
        self.diverged, self.history = state["diverged"], state["history"]
        for k, model in enumerate(self.models):
            prefix = f"best.{k}."
            model.load_state_dict(
                {
                    name.removeprefix(prefix): t
                    for name, t in tensors.items()
                    if name.startswith(prefix)
                }
            )
        if self.alive:
            self.stack.keep(torch.tensor(self.alive, device=self.device))
            with torch.no_grad():
                for name, p in self.stack.parameters.items():
                    p.copy_(tensors[f"now.{name}"])
            self.moments = {
                name.removeprefix("adam."): t
                for name, t in tensors.items()
                if name.startswith("adam.")
            }


class _Losses(torch.nn.Module):
    """A model whose call is its losses, for ``functional_call``."""

    def __init__(self, model: RewardModel):
        super().__init__()
        self.model = model

    def forward(self, *args: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        return self.model.losses(*args)


def _initial(run: Run, device: str) -> RewardModel:
    """The model before training; PyTorch's global state is as it was."""
    with _SEEDING:
        state = torch.default_generator.get_state()  # the CPU's alone: no GPU is reseeded
        torch.default_generator.manual_seed(run.seed)
        try:
            return RewardModel(run.config, recipe=run.train.recipe, objectives=_names(run)).to(
                device
            )
        finally:
            torch.default_generator.set_state(state)


_SEEDING = threading.Lock()


def _batches(rows: Tensor, c: Tensor, config: RewardConfig, size: int) -> Any:
    """Batches of rows (R, up to ``size``) sorted by objective, and where each objective stands."""
    sorts = config.kind != "base"
    for batch in rows.split(size, dim=1):
        spans: list[tuple[int, int]] = []
        if sorts:
            of = c.gather(1, batch)
            batch = batch.gather(1, of.argsort(dim=1, stable=True))
            spans = spans_of(of[:, None], config.sizes[1])[0]
        yield batch, spans


def _table(history: list[dict[str, Any]]) -> pd.DataFrame:
    columns = (
        "epoch",
        "train_loss",
        "train_accuracy",
        "adversary_loss",
        "validation_loss",
        "validation_accuracy",
    )
    return pd.DataFrame(history, columns=columns)
