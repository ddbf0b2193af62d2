"""Fitting a reward model to preferences, and keeping its weights."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from causalpref.data import PreferenceData
from causalpref.rewards.models import RewardConfig, RewardModel

__all__ = ["Fit", "fit", "load_model", "save_model"]

_FORMAT = "causalpref.RewardModel/1"


@dataclass(frozen=True)
class Fit:
    """A fitted reward model and how it got there.

    Parameters
    ----------
    model : RewardModel
        With the weights of ``best_epoch``.
    history : pandas.DataFrame
        One row an epoch: ``epoch`` (1, 2, ...), ``train_loss`` (Bradley-Terry, nats a pair),
        ``train_accuracy``, ``adversary_loss`` (nats a pair, two responses; missing
        without an adversary), ``validation_loss``, ``validation_accuracy``. Training
        columns are means over the epoch's own batches, taken before each step.
    best_epoch : int
        The epoch of the highest validation accuracy, the earliest of equals.
    seed : int
    """

    model: RewardModel
    history: pd.DataFrame
    best_epoch: int
    seed: int


def fit(config: RewardConfig, train: PreferenceData, validation: PreferenceData, *, seed: int,
        epochs: int = 10, learning_rate: float = 1e-4, batch_size: int = 64,
        device: str | None = None) -> Fit:
    """Train with Adam and keep the weights of the best validation accuracy (appendix E.1).

    The whole validation set is scored after every epoch. Only embeddings, pairs,
    labels and objectives are read: type(X) cannot enter.

    Parameters
    ----------
    config : RewardConfig
    train, validation : PreferenceData
        With ``embeddings`` of width ``config.d``, and ``objective`` when
        ``config.n_objectives`` is above 1.
    seed : int
        Decides initial weights and order of the batches. Same seed, data and
        machine give the same weights to the bit.
    epochs, batch_size : int
        The paper states 10 epochs and no batch size.
    learning_rate : float
    device : str, optional
        Default: the GPU if there is one.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        Missing or ill-sized embeddings, an objective out of range, sides that share a
        prompt, or a loss that is no longer finite.
    """
    if epochs < 1 or batch_size < 1 or learning_rate <= 0:
        raise ValueError(f"epochs ({epochs}), batch_size ({batch_size}) and learning_rate "
                         f"({learning_rate}) must be positive")
    shared = np.intersect1d(train.prompts[np.unique(train.pair_prompt)],
                            validation.prompts[np.unique(validation.pair_prompt)])
    if len(shared):
        raise ValueError(f"train and validation share {len(shared)} prompts, {shared[0][:60]!r} "
                         "among them: split by prompt")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    a = _Tensors(train, config, device)
    b = _Tensors(validation, config, device)

    state = torch.default_generator.get_state()  # the CPU's alone: no GPU is reseeded
    torch.default_generator.manual_seed(seed)
    try:
        model = RewardModel(config).to(device)
    finally:
        torch.default_generator.set_state(state)
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)

    rows, best, best_epoch = [], None, 0
    for epoch in range(1, epochs + 1):
        model.train()
        sums = np.zeros(3)
        for batch in torch.randperm(len(train), generator=order).split(batch_size):
            e, e_prime, label, c = a.batch(batch.to(device))
            loss, adversary, margin = model.losses(e, e_prime, label, c)
            total = loss if adversary is None else loss + adversary
            _check_finite(total, epoch)
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            optimiser.step()
            extra = float("nan") if adversary is None else adversary.item()
            sums += len(batch) * np.array([loss.item(), extra, ordered(margin, label).mean().item()])
        model.eval()
        with torch.inference_mode():
            loss, _, margin = model.losses(*b.batch(slice(None)))
        _check_finite(loss, epoch)
        sums /= len(train)
        rows.append({"epoch": epoch, "train_loss": sums[0], "train_accuracy": sums[2],
                     "adversary_loss": sums[1], "validation_loss": loss.item(),
                     "validation_accuracy": ordered(margin, b.label).mean().item()})
        if best is None or rows[-1]["validation_accuracy"] > best:
            best, best_epoch = rows[-1]["validation_accuracy"], epoch
            kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
    model.load_state_dict(kept)
    return Fit(model=model, history=pd.DataFrame(rows), best_epoch=best_epoch, seed=seed)


def _check_finite(loss: Tensor, epoch: int) -> None:
    if not torch.isfinite(loss):
        raise ValueError(f"the loss is {loss.item()} in epoch {epoch}: "
                         "lower the learning rate, or look at the embeddings' scale")


def ordered(margin: Tensor, label: Tensor) -> Tensor:
    """1 for a pair ordered as labelled, 0 for one that is not, 0.5 for an exact tie."""
    return torch.where(margin == 0, 0.5, ((margin > 0) == label.bool()).double())


class _Tensors:
    """Pairs as tensors on the device: the embedding matrix once, the rest as indices."""

    def __init__(self, data: PreferenceData, config: RewardConfig, device: str):
        if data.embeddings is None:
            raise ValueError("the data have no embeddings: make them with causalpref.embedding")
        if data.embeddings.shape[1] != config.d:
            raise ValueError(f"the embeddings are {data.embeddings.shape[1]} wide, "
                             f"config.d is {config.d}")
        objective = data.objective
        if objective is None:
            if config.n_objectives > 1:
                raise ValueError(f"the data have no objective, config.n_objectives is "
                                 f"{config.n_objectives}")
            objective = np.zeros(len(data), dtype=np.int64)
        bad = np.flatnonzero((objective < 0) | (objective >= config.n_objectives))
        if len(bad):
            raise ValueError(f"objective[{bad[0]}] = {objective[bad[0]]}, expected 0 to "
                             f"{config.n_objectives - 1}")
        # Only the rows in use travel. torch.tensor copies: from_numpy would share, and warn
        # of, read-only memory.
        used, pairs = np.unique(data.pairs, return_inverse=True)
        rows = data.embeddings if len(used) == len(data.embeddings) else data.embeddings[used]
        self.embeddings = torch.tensor(rows, device=device)
        self.pairs = torch.tensor(pairs.reshape(-1, 2), device=device)
        self.label = torch.tensor(data.label, device=device)
        self.objective = torch.tensor(objective, device=device)

    def batch(self, rows: Tensor | slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first, second = self.pairs[rows].T
        return (self.embeddings[first], self.embeddings[second], self.label[rows],
                self.objective[rows])


def save_model(model: RewardModel, path: str | os.PathLike[str]) -> Path:
    """Write weights as safetensors, the configuration in the file's header."""
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, temporary,
              metadata={"format": _FORMAT, "config": json.dumps(dataclasses.asdict(model.config))})
    os.replace(temporary, path)
    return path


def load_model(path: str | os.PathLike[str], *, device: str = "cpu") -> RewardModel:
    """Read a file of :func:`save_model`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        A file that :func:`save_model` did not write.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt", device=device) as file:
            metadata = file.metadata() or {}
            weights = {k: file.get_tensor(k) for k in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from None
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{path} has format {metadata.get('format')!r}, expected {_FORMAT!r}")
    model = RewardModel(RewardConfig(**json.loads(metadata["config"]))).to(device)
    model.load_state_dict(weights)
    return model.eval()
