"""Audits of HH-RLHF as tables that can be kept, and what checks do that are made together.

``python -m causalpref.studies.audits hh-rlhf DATA --model MODEL`` writes verdicts and
numbers, no word of the data. The file is read in two ways: with the labels that GPT-3.5 gave
under an objective dealt to it, and as first released, with the labels that people gave, each
kind of prompt under its own objective.

``python -m causalpref.studies.audits power`` writes the power of every check over strengths
and sample sizes, and how often sound data meet an alarm when all checks are made.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from causalpref.assumptions import check_all
from causalpref.auditing import audit
from causalpref.data import PreferenceData
from causalpref.estimators import longer_preferred
from causalpref.simulation import Embedding, Latent, Simulator, linear_reward
from causalpref.sources import load_preferences
from causalpref.sources.hh_rlhf import OBJECTIVES, _files
from causalpref.statistics import (
    auc,
    folds,
    holm,
    permutation_p_value,
    ridge_scores,
    wilson_interval,
)
from causalpref.studies.checks import SCENARIOS, power_curve
from causalpref.studies.recorded import record
from causalpref.text.conversations import first_turn

__all__ = [
    "VIEWS",
    "audit_tables",
    "blind_rules",
    "order_told",
    "place_rates",
    "power_curves",
    "record_audits",
    "sound_alarms",
]

VIEWS: dict[str, dict[str, str]] = {
    "relabelled": {},
    "first release": {"label": "original_label", "objective": "data_subset"},
}
"""Columns to read in place of those of the same name, for each way to read the file."""

HASHED = "hashed n-grams"


def audit_tables(
    source: str | os.PathLike[str],
    view: str,
    *,
    model: str | None = None,
    model_name: str = "",
    template: str = "last_turn",
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """One audit as tables.

    Parameters
    ----------
    source : path
        A file of the relabelled HH-RLHF data.
    view : str
        A key of :data:`VIEWS`. In the first release the order shown was not recorded.
    model : str, optional
        Hub id or folder of a frozen language model. Default: hashed n-grams.
    model_name : str
        Name of the model in the tables.
    template : {"plain", "last_turn", "chat"}
        See :func:`causalpref.text.embedding.embed`.
    seed : int

    Returns
    -------
    dict of str to pandas.DataFrame
        ``summary``, one row a check (:meth:`Audit.to_frame`); ``evidence``, one row a finding;
        ``baselines``; ``cost``: ``seconds``, of which ``embedding``, and ``peak_mb``, the most
        memory that this process ever held. All with ``view`` and ``features``. Examples, which
        are texts, are left out.
    """
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}, expected one of {list(VIEWS)}")
    spent = [0.0]

    def embedded(data: PreferenceData) -> PreferenceData:
        from causalpref.text.embedding import embed

        start = time.perf_counter()
        data = embed(data, model or "", template=template)
        spent[0] = time.perf_counter() - start
        return data

    start = time.perf_counter()
    found = audit(
        load_preferences(source, columns=VIEWS[view]),
        seed=seed,
        order_known=view == "relabelled",
        features=embedded if model else "hashed",
    )
    seconds = time.perf_counter() - start
    evidence = [r.evidence.assign(assumption=r.assumption) for r in found.reports]
    tables = {
        "summary": found.to_frame().drop(columns="source"),
        "evidence": pd.concat(evidence, ignore_index=True),
        "baselines": found.baselines,
        "cost": pd.DataFrame(
            [
                {
                    "pairs": found.counts["pairs"],
                    "seconds": seconds,
                    "embedding": spent[0],
                    "peak_mb": _peak_mb(),
                }
            ]
        ),
    }
    about = {"view": view, "features": (model_name or str(model)) if model else HASHED}
    for name, frame in tables.items():
        numbers = frame.columns.intersection(["value", "low", "high", "p_value"])
        frame = frame.astype(dict.fromkeys(numbers, float))
        for i, (key, value) in enumerate(about.items()):
            frame.insert(i, key, value)
        tables[name] = frame.assign(source=found.source)
    return tables


def place_rates(source: str | os.PathLike[str]) -> pd.DataFrame:
    """How often the label is the first response, by who labelled, prompts and objective.

    Returns
    -------
    pandas.DataFrame
        ``labels`` ("GPT-3.5" or "people"), ``objective`` that GPT-3.5 was given, ``prompts``
        ("helpful", "harmless" or "all"), ``people`` ("first", "second": which response a person
        preferred, or "either"), ``first`` (share), ``low``, ``high`` (95 %, Wilson), ``p_value``
        (exact binomial test of one half), ``pairs``, ``source``.
    """
    new, old = _both(source)
    kind = new.prompt_type[new.pair_prompt]
    rows = []
    for c, objective in enumerate(OBJECTIVES):
        for prompts, t in (*zip(OBJECTIVES, (0, 1)), ("all", None)):
            cell = (new.objective == c) & (kind == t if t is not None else True)
            for labels, data, person in (
                ("people", old, None),
                ("GPT-3.5", new, None),
                ("GPT-3.5", new, 1),
                ("GPT-3.5", new, 0),
            ):
                here = cell & (old.label == person if person is not None else True)
                ones, n = int(data.label[here].sum()), int(here.sum())
                low, high = wilson_interval(ones / n, n)
                rows.append(
                    {
                        "labels": labels,
                        "objective": objective,
                        "prompts": prompts,
                        "people": {1: "first", 0: "second", None: "either"}[person],
                        "first": ones / n,
                        "low": low,
                        "high": high,
                        "p_value": float(stats.binomtest(ones, n).pvalue),
                        "pairs": n,
                        "source": new.source,
                    }
                )
    return pd.DataFrame(rows)


def blind_rules(source: str | os.PathLike[str]) -> pd.DataFrame:
    """Accuracy on the new labels of rules that read nothing, and of what a person preferred.

    Returns
    -------
    pandas.DataFrame
        ``rule``, ``pairs`` ("consistent": type and objective agree, "inconsistent", "all"),
        ``accuracy``, ``low``, ``high`` (95 %, Wilson), ``n``, ``source``. Lengths are in
        characters, as in :func:`causalpref.estimators.longer_preferred`; ties are a coin toss.
    """
    new, old = _both(source)
    longer, harmless = longer_preferred(new), new.objective == 1
    first = new.label.astype(float)
    rules = {
        "the longer one": longer,
        "the first one": first,
        "helpful: the longer one; harmless: the shorter one": np.where(
            harmless, 1 - longer, longer
        ),
        "helpful: the longer one; harmless: the first one": np.where(harmless, first, longer),
        "what a person preferred": (new.label == old.label).astype(float),
    }
    consistent = new.prompt_type[new.pair_prompt] == new.objective
    rows = []
    for rule, hit in rules.items():
        for pairs, here in (
            ("consistent", consistent),
            ("inconsistent", ~consistent),
            ("all", np.full(len(new), True)),
        ):
            low, high = wilson_interval(hit[here].mean(), int(here.sum()))
            rows.append(
                {
                    "rule": rule,
                    "pairs": pairs,
                    "accuracy": hit[here].mean(),
                    "low": low,
                    "high": high,
                    "n": int(here.sum()),
                    "source": new.source,
                }
            )
    return pd.DataFrame(rows)


def order_told(
    data: PreferenceData, *, coins: int = 199, seed: int = 0
) -> tuple[float, float, float, float]:
    """Can the texts tell which response stands first? AUC, what coins give, and a p-value.

    Each pair enters as the difference of its two embeddings, turned round by a coin; a
    cross-fitted ridge score guesses which were turned. If a coin dealt the order, these turns are
    exchangeable with turns dealt afresh, which gives the law of the AUC. Prompts that open
    with the same human turn share a fold.

    Parameters
    ----------
    data : PreferenceData
        With embeddings.
    coins : int
        Turns dealt afresh; the smallest p-value is 1 / (coins + 1).
    seed : int

    Returns
    -------
    auc, low, high, p : float
        AUC; the range of 95 % of the AUCs of fresh turns; one-sided p-value.

    Raises
    ------
    ValueError
        Data without embeddings.
    """
    if data.embeddings is None:
        raise ValueError("the data have no embeddings to tell the order from")
    rng = np.random.default_rng(seed)
    first, second = data.pairs.T
    d = data.embeddings[first].astype(float) - data.embeddings[second]
    turned = rng.random((len(d), 1 + coins)) < 0.5
    d = d * np.where(turned[:, :1], -1, 1)
    sd = d.std(axis=0)
    d = (d[:, sd > 1e-9] - d[:, sd > 1e-9].mean(axis=0)) / sd[sd > 1e-9]
    opening = pd.factorize(first_turn(data.prompts))[0][data.pair_prompt]
    areas = auc(ridge_scores(d, turned.astype(float), folds(opening, 5, seed=rng)), turned)
    low, high = np.quantile(areas[1:], [0.025, 0.975])
    p = permutation_p_value(areas[0], areas[1:])
    return float(areas[0]), float(low), float(high), p


def record_audits(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    model: str | None = None,
    model_name: str = "",
    template: str = "last_turn",
    seed: int = 0,
    machine: str = "",
) -> Path:
    """Every view of a file, audited with n-grams and with a language model, and kept.

    Each audit runs in a process of its own, so that its time and memory are its own.

    Parameters
    ----------
    source : path
        One file.
    folder : path
        Where the tables and ``provenance.json`` go.
    model, model_name, template, seed
        As for :func:`audit_tables`; without a model n-grams only.
    machine : str
        What it ran on, for the provenance.
    """
    parts: list[Mapping[str, pd.DataFrame]] = []
    told = []
    spawn = multiprocessing.get_context("spawn")
    for how in (None, model)[: 1 if model is None else 2]:
        for view in VIEWS:
            options = {"model": how, "model_name": model_name, "template": template, "seed": seed}
            with spawn.Pool(1) as pool:
                parts.append(pool.apply(audit_tables, (os.fspath(source), view), options))
            cost = parts[-1]["cost"].iloc[0]
            print(
                f"{cost.view}, {cost.features}: {cost.seconds:.1f} s, {cost.peak_mb:,.0f} MB",
                file=sys.stderr,
                flush=True,
            )
        with spawn.Pool(1) as pool:
            told.append(
                pool.apply(_order_row, (os.fspath(source), how, model_name, template, seed))
            )
    tables = {name: pd.concat([p[name] for p in parts], ignore_index=True) for name in parts[0]}
    # the baselines read no text with a model
    tables["baselines"] = tables["baselines"].drop(columns="features").drop_duplicates()
    tables |= {
        "position": place_rates(source),
        "rules": blind_rules(source),
        "order": pd.DataFrame(told),
    }
    with open(source, "rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    words = ["python -m causalpref.studies.audits hh-rlhf DATA"]
    if model is not None:
        words += [f"--model MODEL --model-name {model_name or model} --template {template}"]
    return record(
        tables,
        folder,
        command=" ".join([*words, f"--seed {seed}"]),
        machine=machine,
        data={Path(source).name: sha256},
        source=tables["position"].source[0],
        simulated=False,
        labels="relabelled: GPT-3.5, told which objective to use; first release: people",
    )


def _order_row(
    source: str, model: str | None, model_name: str, template: str, seed: int
) -> dict[str, Any]:
    from causalpref.text.embedding import embed, hashed_ngrams

    data = load_preferences(source).data
    data = embed(data, model, template=template) if model else hashed_ngrams(data, n_features=256)
    area, low, high, p = order_told(data, seed=seed)
    return {
        "features": (model_name or model) if model else HASHED,
        "auc": area,
        "coin_low": low,
        "coin_high": high,
        "p_value": p,
        "pairs": len(data),
        "source": data.source,
    }


def _both(source: str | os.PathLike[str]) -> tuple[PreferenceData, PreferenceData]:
    """The file with the new labels and with those that people gave, row for row."""
    new = load_preferences(source).data
    old = load_preferences(source, columns=VIEWS["first release"]).data
    return new, old


def _peak_mb() -> float:
    """The most memory that this process has held, in MB; nan where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


# -- checks made together --------------------------------------------------------


def power_curves(
    *,
    datasets: int = 200,
    sizes: Sequence[float] = (0.5, 1, 2),
    steps: Sequence[float] = (0, 0.25, 0.5, 0.75, 1),
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Alarms of every check by strength of the violation and number of prompts.

    Parameters
    ----------
    datasets : int
        Simulated data sets for each number.
    sizes : sequence of float
        Numbers of prompts, in multiples of the scenario's.
    steps : sequence of float
        Strengths, in multiples of the one that the check's docstring states.
    seed : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        As :func:`causalpref.studies.checks.power_curve`, with ``assumption``, ``looks_at``,
        ``dial``, ``step`` and ``low``, ``high`` (95 %, Wilson) of ``alarms``.
    """
    from tqdm import tqdm

    parts = []
    for name, s in tqdm(SCENARIOS.items(), disable=not progress, unit="check"):
        for size in sizes:
            part = power_curve(
                name,
                [step * s.stated for step in steps],
                datasets=datasets,
                n=round(size * s.n),
                seed=seed,
            )
            ends = np.array([wilson_interval(a, datasets) for a in part.alarms])
            parts.append(
                part.assign(
                    assumption=s.assumption,
                    looks_at=s.looks_at,
                    dial=s.dial,
                    step=list(steps),
                    low=ends[:, 0],
                    high=ends[:, 1],
                )
            )
    return pd.concat(parts, ignore_index=True)


def sound_alarms(
    *, datasets: int = 200, n: int = 800, alpha: float = 0.05, seed: int = 0, progress: bool = False
) -> pd.DataFrame:
    """How often all six checks, made on sound data, raise an alarm: each, and any of them.

    The data have two latents that suffice, two objectives that differ in what they reward and
    were dealt to prompts by a coin, an order dealt by a coin, and embeddings that carry nothing
    but the latents.

    Parameters
    ----------
    datasets : int
    n : int
        Prompts, one pair each.
    alpha : float
        Level of Holm's method over the p-values of a data set's six reports. A report without one
        (its check goes by a threshold) counts as 1.
    seed : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        ``check`` (an assumption, ``"any of the six"`` or ``"any p-value, after Holm"``),
        ``alarms``, ``low``, ``high`` (95 %, Wilson), ``datasets``, ``n``, ``source``.
    """
    from tqdm import trange

    sound = Simulator(
        linear_reward([[1.0, 0.2], [-0.3, 1.0]]),
        prompt_latents=(Latent("topic"),),
        contexts=(0.5, 0.5),
        rho=0.5,
        embedding=Embedding(d=32, noise=0.5),
        name="simulated",
    )
    seeds = np.random.SeedSequence(seed).spawn(datasets)
    alarms: dict[str, list[bool]] = {}
    for i in trange(datasets, disable=not progress, unit="data set"):
        reports = check_all(sound.sample(n, seed=np.random.default_rng(seeds[i])))
        p = np.array([1.0 if r.p_value is None else r.p_value for r in reports])
        for report in reports:
            alarms.setdefault(report.assumption, []).append(report.verdict.alarm)
        alarms.setdefault("any of the six", []).append(any(r.verdict.alarm for r in reports))
        alarms.setdefault("any p-value, after Holm", []).append(bool((holm(p) <= alpha).any()))
    rows = []
    for check, raised in alarms.items():
        low, high = wilson_interval(float(np.mean(raised)), datasets)
        rows.append(
            {
                "check": check,
                "alarms": float(np.mean(raised)),
                "low": low,
                "high": high,
                "datasets": datasets,
                "n": n,
                "source": sound.name,
            }
        )
    return pd.DataFrame(rows)


# -- command ---------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m causalpref.studies.audits``."""
    parser = argparse.ArgumentParser(
        prog="python -m causalpref.studies.audits", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    hh = what.add_parser(
        "hh-rlhf", help="audit the relabelled HH-RLHF data, both ways to read them"
    )
    hh.add_argument(
        "data", metavar="DATA", help="file, folder with test.jsonl.gz, or 'hub': the test split"
    )
    hh.add_argument(
        "--model",
        metavar="MODEL",
        help="hub id or folder of a frozen language model, besides n-grams",
    )
    hh.add_argument("--model-name", default="", metavar="NAME", help="name of MODEL in the tables")
    hh.add_argument(
        "--template",
        default="last_turn",
        choices=("plain", "last_turn", "chat"),
        help="how prompt and response become one text (default: last_turn)",
    )
    hh.add_argument(
        "--machine",
        default=f"{os.cpu_count()} CPU cores",
        help="what it runs on, in words (default: the number of cores)",
    )
    power = what.add_parser("power", help="power of every check, and alarms on sound data")
    power.add_argument(
        "--datasets",
        type=int,
        default=200,
        help="simulated data sets for each number (default: 200)",
    )
    for command, folder in ((hh, "results/audit_hh_rlhf"), (power, "results/checks_power")):
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--out", default=folder, metavar="DIR", help="where the tables go")
    args = parser.parse_args(argv)
    if args.what == "hh-rlhf":
        folder = record_audits(
            _test_file(args.data),
            args.out,
            model=args.model,
            model_name=args.model_name,
            template=args.template,
            seed=args.seed,
            machine=args.machine,
        )
    else:
        options = {"datasets": args.datasets, "seed": args.seed, "progress": True}
        folder = record(
            {"power": power_curves(**options), "sound": sound_alarms(**options)},
            args.out,
            command="python -m causalpref.studies.audits power "
            f"--datasets {args.datasets} --seed {args.seed}",
            source="simulated",
            simulated=True,
        )
    print(f"written: {', '.join(sorted(f.name for f in folder.iterdir()))} in {folder}")
    return 0


def _test_file(source: str) -> Path:
    """The test split where :func:`causalpref.sources.load_hh_rlhf` finds it."""
    single = Path(source).is_file()
    return _files(source, ("test",), None if single else "test")[0][0]


if __name__ == "__main__":
    sys.exit(main())
