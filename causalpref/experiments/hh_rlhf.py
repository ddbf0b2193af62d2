"""HH-RLHF: what length does, what tells the prompt's type, what three reward models learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from causalpref.data import PreferenceData
from causalpref.estimands import longer_preferred, mean_interval
from causalpref.rewards import KINDS, RewardConfig, accuracy, fit
from causalpref.sampling import sample_confounded
from causalpref.sources.hh_rlhf import OBJECTIVES, first_turn

__all__ = ["accuracy_table", "length_rates", "reward_models", "type_probe"]


def length_rates(data: PreferenceData, *, seed: int = 0) -> pd.DataFrame:
    """P(the longer response is preferred) for each prompt type and objective.

    Parameters
    ----------
    data : PreferenceData
        With ``objective`` and ``prompt_type``, coded as
        :data:`causalpref.sources.hh_rlhf.OBJECTIVES`.
    seed : int
        For the bootstrap over prompts.

    Returns
    -------
    pandas.DataFrame
        ``prompts`` and ``objective`` ("helpful", "harmless"), ``rate``, ``low``, ``high``
        (95 % interval; ties in length count one half; nan in a cell with pairs of fewer than
        two prompts), ``pairs``, ``source``.

    Raises
    ------
    ValueError
        Data without objectives or prompt types.
    """
    for name in ("objective", "prompt_type"):
        if getattr(data, name) is None:
            raise ValueError(f"length rates by cell need {name}, the data have none")
    wins = longer_preferred(data)
    kind = data.prompt_type[data.pair_prompt]
    rows = []
    for c, objective in enumerate(OBJECTIVES):
        for t, prompts in enumerate(OBJECTIVES):
            cell = (data.objective == c) & (kind == t)
            prompt = data.pair_prompt[cell]
            rate, low, high = (mean_interval(wins[cell], prompt, seed=seed)
                               if len(np.unique(prompt)) > 1 else (np.nan,) * 3)
            rows.append({"prompts": prompts, "objective": objective, "rate": rate, "low": low,
                         "high": high, "pairs": int(cell.sum()), "source": data.source})
    return pd.DataFrame(rows)


def type_probe(data: PreferenceData, *, folds: int = 5, seed: int = 0) -> pd.DataFrame:
    """How well a logistic regression tells type(X) from the embedding.

    One embedding a prompt (that of its first response), standardised; cross-fitted, with
    prompts that open alike kept in one fold.

    Returns
    -------
    pandas.DataFrame
        One row: ``accuracy``, ``low``, ``high`` (95 %, bootstrap over the groups of the
        folds), ``majority`` (accuracy of naming the commoner type), ``prompts``, ``source``.

    Raises
    ------
    ValueError
        Without embeddings or prompt types.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if data.embeddings is None or data.prompt_type is None:
        raise ValueError("the probe needs embeddings and prompt_type")
    data = data.compact()
    prompts, first = np.unique(data.response_prompt, return_index=True)
    group = np.unique(first_turn(data.prompts[prompts]), return_inverse=True)[1]
    kind = data.prompt_type[prompts]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    guess = cross_val_predict(probe, data.embeddings[first], kind, groups=group,
                              cv=GroupKFold(folds))
    rate, low, high = mean_interval(guess == kind, group, seed=seed)
    majority = np.bincount(kind).max() / len(kind)
    return pd.DataFrame([{"accuracy": rate, "low": low, "high": high,
                          "majority": majority, "prompts": len(prompts),
                          "source": data.source}])


def reward_models(data: PreferenceData, *, rhos: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
                  seeds: Sequence[int] = (0, 1, 2, 3, 4), kinds: Sequence[str] = KINDS,
                  n_train: int = 1200, n_validation: int = 200, test_share: float = 0.2,
                  epochs: int = 10, batch_size: int = 64, device: str | None = None,
                  progress: bool = False) -> pd.DataFrame:
    """Accuracy of the three reward models under confounding of strength rho (figure 6).

    Each seed splits the prompts into training, validation and test sides (conversations
    that open alike stay together), draws training and validation pairs at each rho, and
    tests every model on all pairs of the test side, which is the same for every rho
    and model. So the standard error over seeds covers split, draw and training.

    Parameters
    ----------
    data : PreferenceData
        With embeddings, objectives and prompt types.
    rhos, seeds, kinds : sequence
    n_train, n_validation : int
        Pairs drawn at each rho.
    test_share : float
        Share of the prompts kept for testing. The rest is divided between training and
        validation by the pairs drawn, n + 4 sqrt(n) each, since counts by cell vary
        with the split.
    epochs, batch_size, device
        See :func:`causalpref.rewards.fit`.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    pandas.DataFrame
        One row a run and side: ``rho``, ``model``, ``seed``, ``split`` ("consistent" or
        "inconsistent", type(X) = C or not), ``accuracy``, ``best_epoch``, ``validation`` (the
        accuracy that chose it), ``pairs`` (tested), ``n_train``, ``source``.

    Raises
    ------
    ValueError
        Data without embeddings, or too few pairs for a rho.
    """
    from tqdm import tqdm

    if data.embeddings is None:
        raise ValueError("the data have no embeddings: make them with causalpref.embedding")
    for name, values in (("rhos", rhos), ("seeds", seeds), ("kinds", kinds)):
        if len(values) == 0:
            raise ValueError(f"{name} is empty: there is nothing to run")
    opening = first_turn(data.prompts)
    room = np.array([n_train, n_validation]) + 4 * np.sqrt([n_train, n_validation])
    share = (1 - test_share) * room / room.sum()
    rows = []
    bar = tqdm(total=len(seeds) * len(rhos) * len(kinds), unit="run", desc="reward models",
               disable=not progress)
    for seed in seeds:
        side = data.split(seed=seed, groups=opening, train=share[0],
                          validation=share[1], test=test_share)
        n_consistent = int(side["test"].consistent.sum())
        pairs = {"consistent": n_consistent, "inconsistent": len(side["test"]) - n_consistent}
        for rho in rhos:
            train = sample_confounded(side["train"], rho, n_train, seed=seed)
            validation = sample_confounded(side["validation"], rho, n_validation, seed=seed)
            for kind in kinds:
                config = RewardConfig(kind=kind, d=data.embeddings.shape[1])
                fitted = fit(config, train, validation, seed=seed, epochs=epochs,
                             batch_size=batch_size, device=device)
                result = accuracy(fitted.model, side["test"])
                for split, n in pairs.items():
                    rows.append({"rho": rho, "model": kind, "seed": seed, "split": split,
                                 "accuracy": result[split], "best_epoch": fitted.best_epoch,
                                 "validation": fitted.history.validation_accuracy.max(),
                                 "pairs": n, "n_train": n_train, "source": data.source})
                bar.update()
    bar.close()
    return pd.DataFrame(rows)


def accuracy_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracies for reading, as the paper's table 2 sets them: percent, ± one standard error.

    Parameters
    ----------
    scores : pandas.DataFrame
        Of :func:`causalpref.rewards.summarise` by ``rho``, ``model`` and ``split``.

    Returns
    -------
    pandas.DataFrame
        Strings; rows ρ, columns ``split`` (inconsistent first) and ``model``.
    """
    text = [f"{m:.1f}" + (f" ± {s:.1f}" if s == s else "")
            for m, s in zip(100 * scores["mean"], 100 * scores["se"])]
    wide = scores.assign(text=text).pivot(index="rho", columns=["split", "model"], values="text")
    models = [k for k in KINDS if k in set(scores["model"])]
    columns = pd.MultiIndex.from_product([["inconsistent", "consistent"], models],
                                         names=["test pairs", "model"])
    wide.index = wide.index.map("{:g}".format).rename("ρ")
    return wide.reindex(columns=columns)
