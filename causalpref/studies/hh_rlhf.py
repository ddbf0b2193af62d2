"""HH-RLHF: what length does, what tells the prompt's type, what three reward models learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from causalpref import rewards
from causalpref.data import PreferenceData
from causalpref.estimators import longer_preferred
from causalpref.rewards import KINDS, Kind, RewardConfig, Run
from causalpref.sampling import sample_confounded
from causalpref.sources.hh_rlhf import OBJECTIVES
from causalpref.statistics import Estimate, cluster_bootstrap, cluster_mean
from causalpref.studies._seeds import integer_seed
from causalpref.studies._summary import summarise
from causalpref.text.conversations import first_turn

__all__ = [
    "PAPER_SIZES",
    "PAPER_TABLE_2",
    "PAPER_TABLE_3",
    "RHOS",
    "Confounded",
    "Draw",
    "accuracy_table",
    "all_draws",
    "beside_the_paper",
    "compare_models",
    "content_blind",
    "draw_confounded",
    "length_rates",
    "reward_models",
    "runs_of",
    "score_fits",
    "sizes_for",
    "type_probe",
]

RHOS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""P(type(X) = C) in training, as in the paper."""

PAPER_SIZES = {"pairs": 82_518, "train": 30_000, "validation": 6_000}
"""Of the relabelled HH-RLHF, of each training and each validation set (appendix E.1)."""


def _paper(table: int, cells: str) -> pd.DataFrame:
    """A table of appendix E.2, in [0, 1]; rows rho, columns split and model, "mean se"."""
    rows = []
    for rho, line in zip(RHOS, cells.strip().splitlines()):
        values = iter(line.split())
        for split in ("inconsistent", "consistent"):
            for model in KINDS:
                mean, se = next(values).split("±")
                rows.append((rho, model, split, float(mean) / 100, float(se) / 100))
    return (
        pd.DataFrame(rows, columns=["rho", "model", "split", "mean", "se"])
        .assign(seeds=5, source=f"the paper, table {table}")
        .dropna(subset=["mean"])
        .reset_index(drop=True)
    )


PAPER_TABLE_2 = _paper(
    2,
    """
60.0±0.2 62.9±0.2 63.7±0.2  60.9±0.1 66.0±0.1 66.3±0.1
59.6±0.1 62.4±0.1 63.0±0.1  61.3±0.1 67.0±0.1 67.3±0.1
58.4±0.1 60.6±0.1 62.3±0.1  62.5±0.2 67.2±0.1 67.6±0.1
56.7±0.1 58.6±0.1 61.3±0.1  63.7±0.2 67.6±0.2 67.9±0.2
55.9±0.1 56.3±0.1 58.9±0.1  64.2±0.2 67.9±0.2 68.4±0.2
54.9±0.1 53.8±0.1 53.5±0.1  64.1±0.2 67.9±0.2 68.4±0.2
""",
)
"""Test accuracies that Kobalczyk & van der Schaar (2025) print, with their standard errors."""

PAPER_TABLE_3 = _paper(
    3,
    """
73.5±0.2 72.2±0.2 72.2±0.2  74.1±0.2 74.8±0.2 74.2±0.2
71.3±0.2 73.0±0.2 73.0±0.2  73.1±0.1 75.8±0.1 75.8±0.1
73.9±0.2 70.0±0.2 68.0±0.2  78.0±0.1 74.9±0.1 72.7±0.1
69.4±0.3 68.0±0.3 69.9±0.3  75.1±0.1 75.3±0.1 74.7±0.1
73.7±0.4 64.5±0.4 67.2±0.4  80.1±0.1 75.0±0.1 74.6±0.1
nan±nan  nan±nan  nan±nan   79.6±0.1 74.1±0.1 72.4±0.1
""",
)
"""Training accuracies at the best step, as they print them; there is no inconsistent pair at 1."""


def length_rates(data: PreferenceData, *, seed: int | np.random.Generator = 0) -> pd.DataFrame:
    """P(the longer response is preferred) for each prompt type and objective.

    Parameters
    ----------
    data : PreferenceData
        With ``objective`` and ``prompt_type``, coded as
        :data:`causalpref.sources.hh_rlhf.OBJECTIVES`.
    seed : int or numpy.random.Generator
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
    given, prompt_type = data.require("objective", "prompt_type")
    wins = longer_preferred(data)
    kind = prompt_type[data.pair_prompt]
    rows = []
    for c, objective in enumerate(OBJECTIVES):
        for t, prompts in enumerate(OBJECTIVES):
            cell = (given == c) & (kind == t)
            prompt = data.pair_prompt[cell]
            rate = (
                cluster_bootstrap(wins[cell], prompt, seed=seed)
                if len(np.unique(prompt)) > 1
                else Estimate(np.nan, np.nan, np.nan)
            )
            rows.append(
                {
                    "prompts": prompts,
                    "objective": objective,
                    **rate.cells("rate"),
                    "pairs": int(cell.sum()),
                }
            )
    return pd.DataFrame(rows).assign(source=data.source)


def type_probe(
    data: PreferenceData, *, n_folds: int = 5, seed: int | np.random.Generator = 0
) -> pd.DataFrame:
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

    data = data.compact()
    embeddings, prompt_type = data.require("embeddings", "prompt_type")
    prompts, first = np.unique(data.response_prompt, return_index=True)
    # numbered by their texts: folds and bootstrap of the recorded probe depend on the order
    group = np.unique(first_turn(data.prompts[prompts]), return_inverse=True)[1]
    kind = prompt_type[prompts]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    guess = cross_val_predict(probe, embeddings[first], kind, groups=group, cv=GroupKFold(n_folds))
    rate = cluster_bootstrap(np.asarray(guess == kind), group, seed=seed)
    majority = np.bincount(kind).max() / len(kind)
    return pd.DataFrame(
        [
            {
                **rate.cells("accuracy"),
                "majority": majority,
                "prompts": len(prompts),
                "source": data.source,
            }
        ]
    )


def sizes_for(n_pairs: int) -> tuple[int, int]:
    """Training and validation pairs: the paper's, scaled down with the data when they are fewer."""
    share = min(1.0, n_pairs / PAPER_SIZES["pairs"])
    return int(share * PAPER_SIZES["train"]), int(share * PAPER_SIZES["validation"])


@dataclass(frozen=True)
class Draw:
    """Training, validation and test pairs at one rho; no prompt and no opening on two sides.

    Parameters
    ----------
    train, validation : PreferenceData
        With P(type(X) = C) = rho. They keep their types, for scoring; what goes to a model is
        :attr:`blind`.
    test : PreferenceData
        All other pairs.
    """

    train: PreferenceData
    validation: PreferenceData
    test: PreferenceData

    @property
    def blind(self) -> tuple[PreferenceData, PreferenceData]:
        """Training and validation pairs without type(X), which no one would know (section 4)."""
        return self.train.replace(prompt_type=None), self.validation.replace(prompt_type=None)


def draw_confounded(
    data: PreferenceData,
    rho: float,
    *,
    n_train: int,
    n_validation: int,
    n_test: int | None = None,
    seed: int | np.random.Generator = 0,
) -> Draw:
    """Draw the pairs of one experiment as appendix E.1 does: the rest is for testing.

    Parameters
    ----------
    data : PreferenceData
        With objectives and prompt types. Prompts that are :meth:`~PreferenceData.inseparable`
        stay on one side.
    rho : float
    n_train, n_validation : int
    n_test : int, optional
        Most test pairs, drawn at random. Default: all that are left.
    seed : int or numpy.random.Generator

    Returns
    -------
    Draw

    Raises
    ------
    ValueError
        Too few pairs for this rho (see :func:`causalpref.sampling.sample_confounded`), or
        ``n_test`` below 1.
    """
    if n_test is not None and n_test < 1:
        raise ValueError(f"n_test is {n_test}, expected at least 1, or None for all that are left")
    rng = np.random.default_rng((integer_seed(seed), round(1000 * rho)))
    train = sample_confounded(data, rho, n_train, seed=rng)
    unit = data.inseparable()
    rest = _without(data, train, unit)
    validation = sample_confounded(rest, rho, n_validation, seed=rng)
    test = _without(rest, validation, unit)
    if n_test is not None and n_test < len(test):
        test = test.select(rng.permutation(len(test))[:n_test])
    return Draw(train, validation, test)


def all_draws(
    data: PreferenceData, rhos: Sequence[float], n_seeds: int, **sizes: int
) -> dict[tuple[float, int], Draw]:
    """:func:`draw_confounded` with these sizes, for every rho and seed 0, 1, ..."""
    return {
        (rho, seed): draw_confounded(data, rho, seed=seed, **sizes)
        for rho in rhos
        for seed in range(n_seeds)
    }


def runs_of(
    draws: Mapping[tuple[float, int], Draw], configs: Mapping[str, RewardConfig], **tags: Any
) -> list[Run]:
    """Every model, by its name, on every draw."""
    runs = []
    for (rho, seed), draw in draws.items():
        sides = draw.blind
        for model, config in configs.items():
            runs.append(Run(config, *sides, seed=seed, tags={"rho": rho, "model": model, **tags}))
    return runs


def _without(data: PreferenceData, taken: PreferenceData, unit: np.ndarray) -> PreferenceData:
    """The pairs whose prompts can be parted from those taken; both have the same prompts."""
    return data.select(~np.isin(unit[data.pair_prompt], unit[taken.pair_prompt]))


@dataclass(frozen=True)
class Confounded:
    """Results of :func:`reward_models`.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a run and split: ``rho``, ``model``, ``seed``, ``split`` ("consistent",
        "inconsistent": type(X) = C or not), ``accuracy`` (test), ``train_accuracy`` (of the kept
        weights, on the training pairs), ``best_epoch``, ``validation`` (the accuracy that chose
        it), ``pairs`` (tested), ``n_train``, ``source``.
    comparisons : pandas.DataFrame
        Of :func:`compare_models`.
    curves : pandas.DataFrame
        Training curves, one row a run and epoch (:func:`causalpref.rewards.curves`).
    fits : list of Fit
    draws : mapping of (rho, seed) to Draw
        The pairs they were fitted to and tested on.
    """

    runs: pd.DataFrame
    comparisons: pd.DataFrame
    curves: pd.DataFrame
    fits: list[rewards.Fit]
    draws: Mapping[tuple[float, int], Draw]

    def table(self, value: str = "accuracy") -> pd.DataFrame:
        """Mean over seeds: ``rho``, ``model``, ``split``, ``mean``, ``se``, ``seeds``, ``source``.

        ``"accuracy"`` gives table 2, ``"train_accuracy"`` table 3.
        """
        table = summarise(self.runs.dropna(subset=[value]), ["rho", "model", "split"], value)
        return table.assign(source=self.runs["source"].iloc[0])


def reward_models(
    data: PreferenceData,
    *,
    rhos: Sequence[float] = RHOS,
    n_seeds: int = 5,
    kinds: Sequence[Kind] = KINDS,
    n_train: int | None = None,
    n_validation: int | None = None,
    hidden: int = 512,
    progress: bool = False,
    **training: Any,
) -> Confounded:
    """The three reward models under confounding of strength rho (tables 2 and 3, figure 6).

    For each seed and rho pairs are drawn for training and validation, the rest is for testing
    (:func:`draw_confounded`); every model of that seed and rho sees the same pairs, and all runs
    are trained together. The standard error over seeds covers draw and training.

    Parameters
    ----------
    data : PreferenceData
        With embeddings, objectives and prompt types.
    rhos, kinds : sequence
    n_seeds : int
        Seeds 0, 1, ... of draw and training.
    n_train, n_validation : int, optional
        Pairs drawn at each rho. Default: :func:`sizes_for` the data.
    hidden : int
        Width of the hidden layers.
    progress : bool
        Show bars with the time left.
    **training
        For :func:`causalpref.rewards.fit_runs`: ``epochs``, ``batch_size``, ``device``,
        ``checkpoint``, ``precision``, ``together``.

    Returns
    -------
    Confounded

    Raises
    ------
    ValueError
        Data without embeddings, or too few pairs for a rho.
    """
    data.require("embeddings", "objective", "prompt_type")
    for name, values in (("rhos", rhos), ("kinds", kinds)):
        if len(values) == 0:
            raise ValueError(f"{name} is empty: there is nothing to run")
    n_train, n_validation = (
        given or usual for given, usual in zip((n_train, n_validation), sizes_for(len(data)))
    )
    draws = all_draws(data, rhos, n_seeds, n_train=n_train, n_validation=n_validation)
    runs = runs_of(draws, {kind: RewardConfig(kind, hidden=hidden) for kind in kinds})
    fits = rewards.fit_runs(runs, progress=progress, **training)
    return score_fits(fits, draws, progress=progress)


def score_fits(
    fits: Sequence[rewards.Fit],
    draws: Mapping[tuple[float, int], Draw],
    *,
    wider: Mapping[tuple[float, int], Draw] | None = None,
    progress: bool = False,
) -> Confounded:
    """Accuracies of fitted models and their paired comparisons.

    Parameters
    ----------
    fits : sequence of Fit
        With the tags ``rho`` and ``model``; more tags become columns.
    draws : mapping of (rho, seed) to Draw
        The pairs they were fitted to.
    wider : mapping of (rho, seed) to Draw, optional
        The same pairs with other embeddings, for models of their width.
    """
    from tqdm import tqdm

    rows, right = [], []
    for fitted in tqdm(fits, desc="scoring", unit="model", disable=not progress):
        draw = draws[fitted.tags["rho"], fitted.seed]
        width = draw.train.require("embeddings").shape[1]
        if wider is not None and fitted.model.config.d != width:
            draw = wider[fitted.tags["rho"], fitted.seed]
        on = {
            side: (fitted.correct(pairs), pairs.consistent)
            for side, pairs in (("test", draw.test), ("train", draw.train))
        }
        for split, same in (("consistent", True), ("inconsistent", False)):
            means = {
                side: hit[consistent == same].mean() if (consistent == same).any() else np.nan
                for side, (hit, consistent) in on.items()
            }
            rows.append(
                {
                    **fitted.tags,
                    "seed": fitted.seed,
                    "split": split,
                    "accuracy": means["test"],
                    "train_accuracy": means["train"],
                    "best_epoch": fitted.best_epoch,
                    "validation": fitted.history.validation_accuracy.max(),
                    "pairs": int((draw.test.consistent == same).sum()),
                    "n_train": len(draw.train),
                    "source": draw.train.source,
                }
            )
        right.append(
            pd.DataFrame(
                {
                    "rho": fitted.tags["rho"],
                    "model": fitted.tags["model"],
                    "seed": fitted.seed,
                    "opening": draw.test.pair_group,
                    "pair": _pair_ids(draw.test),
                    "consistent": draw.test.consistent,
                    "right": on["test"][0],
                }
            )
        )
    return Confounded(
        runs=pd.DataFrame(rows),
        comparisons=compare_models(right),
        curves=rewards.curves(fits),
        fits=list(fits),
        draws=draws,
    )


def _pair_ids(data: PreferenceData) -> np.ndarray:
    """A number for each pair and objective that is the same in every selection of the data."""
    return (data.pairs[:, 0] * len(data.responses) + data.pairs[:, 1]) * 64 + data.objective


def compare_models(right: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Two models on the same test pairs, for every two of them.

    Parameters
    ----------
    right : sequence of pandas.DataFrame
        One a run: ``rho``, ``model``, ``seed``, and for each test pair ``opening``, ``pair``,
        ``consistent``, ``right`` (1, 0, or 0.5 for a tie).

    Returns
    -------
    pandas.DataFrame
        ``rho``, ``split``, ``model``, ``other``; ``difference`` of the accuracies, mean over
        test pairs, each pair's being its mean over the seeds that tested it (where all seeds
        test the same pairs, the difference of the tables' means), with ``low``, ``high``, its
        95 % interval for these fitted models (normal, standard error clustered by opening);
        ``se``, standard error over the seeds' paired differences; ``only_model``,
        ``only_other``: pairs that one alone orders as labelled, each pair counted under the
        first seed that tested it; ``mcnemar``: the exact two-sided p-value of these two counts.
    """
    rows = []
    cells: dict[float, dict[int, dict[str, pd.DataFrame]]] = {}
    for run in right:
        first = run.iloc[0]
        cells.setdefault(first["rho"], {}).setdefault(first["seed"], {})[first["model"]] = run
    for rho, by_seed in cells.items():
        models = list(next(iter(by_seed.values())))
        for (model, other), same in (
            (pair, same) for pair in combinations(models, 2) for same in (False, True)
        ):
            parts = []
            for number, runs in by_seed.items():
                a, b = runs[model], runs[other]
                keep = (a["consistent"] == same).to_numpy()
                parts.append(
                    pd.DataFrame(
                        {
                            "seed": number,
                            "pair": a["pair"][keep],
                            "opening": a["opening"][keep],
                            "gap": a["right"][keep] - b["right"][keep],
                        }
                    )
                )
            both = pd.concat(parts, ignore_index=True)
            if both.empty:
                continue
            by = both.groupby("seed")["gap"].mean()
            each = both.groupby("pair").agg(gap=("gap", "mean"), opening=("opening", "first"))
            gap = cluster_mean(
                each["gap"].to_numpy(), pd.factorize(each["opening"])[0], small_sample=False
            )
            once = both.drop_duplicates("pair")["gap"]
            wins, losses = int((once > 0).sum()), int((once < 0).sum())
            rows.append(
                {
                    "rho": rho,
                    "split": "consistent" if same else "inconsistent",
                    "model": model,
                    "other": other,
                    "difference": gap.value,
                    "se": by.sem(),
                    "low": gap.low,
                    "high": gap.high,
                    "only_model": wins,
                    "only_other": losses,
                    "mcnemar": binomtest(wins, wins + losses).pvalue if wins + losses else 1.0,
                }
            )
    return pd.DataFrame(rows)


def content_blind(data: PreferenceData) -> pd.DataFrame:
    """Rules that read no word, on all pairs: what a reward model has to beat.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``split``, ``accuracy`` with ``low``, ``high`` (95 %, bootstrap over openings;
        ties count one half), ``pairs``, ``source``. The rules are in the table; a reward model
        cannot know the place that the second one uses.
    """
    longer = longer_preferred(data)
    helpful = data.require("objective") == OBJECTIVES.index("helpful")
    rules = {
        "the longer": longer,
        "helpful: the longer, harmless: the shorter": np.where(helpful, longer, 1 - longer),
        "helpful: the longer, harmless: the first": np.where(helpful, longer, data.label),
    }
    opening = pd.factorize(data.pair_group)[0]
    rows = []
    for rule, hit in rules.items():
        for split, same in (("consistent", True), ("inconsistent", False)):
            keep = data.consistent == same
            rate = cluster_bootstrap(hit[keep], opening[keep], seed=0)
            rows.append(
                {"rule": rule, "split": split, **rate.cells("accuracy"), "pairs": int(keep.sum())}
            )
    return pd.DataFrame(rows).assign(source=data.source)


def beside_the_paper(scores: pd.DataFrame, paper: pd.DataFrame = PAPER_TABLE_2) -> pd.DataFrame:
    """Accuracies cell by cell: ``mean``, ``paper`` and ``difference`` in [0, 1].

    Parameters
    ----------
    scores : pandas.DataFrame
        With ``rho``, ``model``, ``split`` and ``mean``, as :meth:`Confounded.table` gives them.
    paper : pandas.DataFrame
        :data:`PAPER_TABLE_2` or :data:`PAPER_TABLE_3`.
    """
    key = ["rho", "model", "split"]
    both = scores.merge(
        paper[[*key, "mean", "se"]].rename(columns={"mean": "paper", "se": "paper_se"}), on=key
    )
    return both.assign(difference=both["mean"] - both["paper"])


def accuracy_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracies for reading, as the paper's table 2 sets them: percent, ± one standard error.

    Parameters
    ----------
    scores : pandas.DataFrame
        Of :func:`causalpref.studies.summarise` by ``rho``, ``model`` and ``split``.

    Returns
    -------
    pandas.DataFrame
        Strings; rows ρ, columns ``split`` (inconsistent first) and ``model``.
    """
    text = [
        f"{m:.1f}" + (f" ± {s:.1f}" if s == s else "")
        for m, s in zip(100 * scores["mean"], 100 * scores["se"])
    ]
    wide = scores.assign(text=text).pivot(index="rho", columns=["split", "model"], values="text")
    models = [k for k in KINDS if k in set(scores["model"])]
    columns = pd.MultiIndex.from_product(
        [["inconsistent", "consistent"], models], names=["test pairs", "model"]
    )
    wide.index = wide.index.map("{:g}".format).rename("ρ")
    return wide.reindex(columns=columns)
