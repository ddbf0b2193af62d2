"""The studies of the book, one configuration each; ``causalpref run NAME`` carries one out."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from causalpref.sampling import Tilt
from causalpref.studies._recorded import hashes
from causalpref.studies._summary import summarise
from causalpref.studies.study import Results, Study, option

if TYPE_CHECKING:
    import pandas as pd

    from causalpref.data import PreferenceData

__all__ = [
    "HANNA",
    "HHRLHF",
    "STUDIES",
    "AuditHHRLHF",
    "Checks",
    "Choices",
    "Power",
    "UltraFeedback",
]

Template = Literal["plain", "last_turn", "chat"]


@dataclass(frozen=True, kw_only=True)
class _Embedded(Study):
    """A study of texts: the twin with its own embeddings, or real data and a model."""

    source: str = option(
        "offline",
        "'offline' (simulated), 'hub', or a file or folder of the real data; the environment "
        "variable CAUSALPREF_DATA sets the default",
        environment="CAUSALPREF_DATA",
        metavar="WHERE",
        placeholder="DATA",
    )
    model: str | None = option(
        None,
        "hub id or folder of a frozen language model, or 'hashed' for hashed n-grams; required "
        "with real data",
        metavar="MODEL",
        placeholder="MODEL",
    )
    model_name: str | None = option(None, "name of MODEL in the provenance", metavar="NAME")
    template: Template = option("plain", "how prompt and response become one text")
    cache: str = option(".cache/embeddings", "where embeddings are kept", metavar="DIR", setup=True)
    device: str | None = option(
        None, "default: the GPU if there is one", metavar="DEVICE", setup=True
    )

    def embedded(self, data: PreferenceData, progress: bool) -> tuple[PreferenceData, str]:
        """The data with embeddings, and what these are in words."""
        if self.model == "hashed":
            from causalpref.text.embedding import hashed_ngrams

            return hashed_ngrams(data), "hashed word 1-2-grams of the response, 1,024 columns"
        if self.model:
            from causalpref.text.embedding import embed

            data = embed(
                data, self.model, template=self.template, cache=self.cache, progress=progress
            )
            name = self.model_name or self.model
            return data, f"{name}, mean-pooled, template {self.template}, at most 256 tokens"
        if data.embeddings is None:
            raise ValueError("--model is required with real data: a hub id or folder, or 'hashed'")
        return data, f"embeddings of the simulated twin, {data.embeddings.shape[1]} numbers"

    def facts(self, data: PreferenceData, model: str) -> dict[str, object]:
        """What the provenance says of data and model."""
        return {
            "data": hashes(self.source),
            "source": data.source,
            "simulated": data.simulated,
            "model": model,
            "model_sha256": hashes(Path(self.model or "") / "model.safetensors") or None,
        }


@dataclass(frozen=True, kw_only=True)
class HHRLHF(_Embedded):
    """Length, prompt type and three reward models on HH-RLHF (tables 2 and 3, figure 6)."""

    name = "hh-rlhf"
    about = "who asked? length, prompt type and three reward models on HH-RLHF"

    template: Template = option("last_turn", "how prompt and response become one text")
    n_pairs: int = option(82_518, "pairs of the simulated data")
    rhos: tuple[float, ...] = option(
        (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), "P(type(X) = C) in training", metavar="RHO"
    )
    n_seeds: int = option(5, "number of seeds")
    n_train: int | None = option(
        None, "training pairs; default: 30,000, or as large a share of fewer data"
    )
    n_validation: int | None = option(None, "validation pairs; default: 6,000, scaled likewise")
    epochs: int = option(10, "passes over the training pairs")
    batch_size: int = option(64, "pairs a step")
    hidden: int = option(512, "width of hidden layers")
    precision: Literal["float32", "bfloat16"] = option("float32", "of matrix products")
    beyond: bool = option(
        False,
        "also what the paper does not have: lambda, overlap weights, type given, number of pairs",
    )
    n_beyond_train: int = option(10_000, "training pairs of these, at most")
    n_beyond_seeds: int = option(3, "seeds of these")
    checkpoint: str | None = option(
        None,
        "where the state of the training is kept until the tables are written; the same command "
        "goes on from it (default: OUT/checkpoint)",
        metavar="DIR",
        setup=True,
    )

    def run(self, *, progress: bool = False) -> Results:
        """Tables 2 and 3 with their runs, comparisons and curves; probes; length; the type."""
        from causalpref.sources import load_hh_rlhf
        from causalpref.sources.hh_rlhf import relabelling
        from causalpref.studies import hh_rlhf as study
        from causalpref.studies import remedies

        real = self.source != "offline"
        data = load_hh_rlhf(self.source, n_pairs=None if real else self.n_pairs)
        data, model = self.embedded(data, progress)
        training = {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
            "hidden": self.hidden,
            "progress": progress,
        }
        found = study.reward_models(
            data,
            rhos=self.rhos,
            n_seeds=self.n_seeds,
            n_train=self.n_train,
            n_validation=self.n_validation,
            checkpoint=self._kept("tables"),
            **training,
        )
        tables = {
            "table2": found.table(),
            "table3": found.table("train_accuracy"),
            "runs": found.runs,
            "comparisons": found.comparisons,
            "curves": found.curves,
            "probes": remedies.probes(found.fits, found.draws),
            "length": study.length_rates(data),
            "type_probe": study.type_probe(data),
            "content_blind": study.content_blind(data),
        }
        n_train = int(found.runs["n_train"].max())
        if real:
            tables["relabelling"] = relabelling(self.source)
        if self.beyond:
            tables |= self._beyond(data, min(self.n_beyond_train, n_train), training)
        text = (
            f"{data}\n\nTest accuracy, % (mean ± standard error over {self.n_seeds} seeds), "
            f"{n_train:,} training pairs\n{study.accuracy_table(tables['table2']).to_string()}"
        )
        return Results(tables, self.facts(data, model), text)

    def _beyond(
        self, data: PreferenceData, n_train: int, training: dict[str, object]
    ) -> dict[str, pd.DataFrame]:
        from causalpref.studies import remedies

        some = {"n_seeds": self.n_beyond_seeds, **training}
        small = {"n_train": n_train, "n_validation": n_train // 5, **some}
        high = [rho for rho in self.rhos if rho >= 0.7] or self.rhos
        told = remedies.compare_remedies(
            data, rhos=high, checkpoint=self._kept("remedies"), **small
        )
        swept = remedies.lambda_sweep(
            data,
            rhos=sorted({high[0], high[len(high) // 2], high[-1]}),
            checkpoint=self._kept("lambda"),
            **small,
        )
        sizes = remedies.by_size(
            data,
            sizes=[n_train // 27, n_train // 9, n_train // 3, n_train],
            rhos=[r for r in self.rhos if r < 1][::-4],
            checkpoint=self._kept("sizes"),
            **some,
        )
        return {
            "remedies": told.runs,
            "remedies_comparisons": told.comparisons,
            "lambda": swept.runs,
            "lambda_probes": swept.probes,
            "sizes": sizes,
        }

    def _kept(self, part: str) -> Path | None:
        return Path(self.checkpoint) / part if self.checkpoint else None

    def at(self, folder: Path) -> HHRLHF:
        return dataclasses.replace(self, checkpoint=self.checkpoint or str(folder / "checkpoint"))

    def clear(self) -> None:
        from causalpref.rewards import forget

        if self.checkpoint:
            for part in ("tables", "remedies", "lambda", "sizes"):
                forget(Path(self.checkpoint) / part)
            if Path(self.checkpoint).is_dir() and not any(Path(self.checkpoint).iterdir()):
                Path(self.checkpoint).rmdir()


@dataclass(frozen=True, kw_only=True)
class UltraFeedback(_Embedded):
    """Accuracy when two latents are correlated in training (table 1)."""

    name = "ultrafeedback"
    about = "latent positivity: accuracy when two latents are correlated in training (table 1)"

    n_prompts: int = option(
        64_000, "prompts of the simulated data; with real data, rows read at most"
    )
    rhos: tuple[float, ...] = option(
        (0.0, 0.3, 0.6, 0.9), "correlation of differences in training", metavar="RHO"
    )
    alpha: float = option(0.25, "labels by alpha z1 + (1 - alpha) z2", metavar="ALPHA")
    n_seeds: int = option(3, "number of seeds")
    n_train: int = option(15_000, "training pairs")
    n_validation: int = option(2_000, "validation pairs")
    n_test: int = option(15_000, "test pairs of each kind")
    tilt: Tilt = option("normal", "how pairs are weighted to reach rho")
    epochs: int = option(10, "passes over the training pairs")
    batch_size: int = option(64, "pairs a step")

    def load(self, progress: bool) -> tuple[PreferenceData, str]:
        """The data with embeddings, and what these are in words."""
        from causalpref.sources import load_ultrafeedback

        data = (
            load_ultrafeedback(self.source, n_prompts=self.n_prompts)
            if self.source == "offline"
            else load_ultrafeedback(self.source, limit=self.n_prompts)
        )
        return self.embedded(data, progress)

    def runs(self, data: PreferenceData, progress: bool) -> pd.DataFrame:
        """One row a run and test (:func:`~causalpref.studies.ultrafeedback.correlated_latents`)."""
        from causalpref.studies.ultrafeedback import correlated_latents

        return correlated_latents(
            data,
            rhos=self.rhos,
            n_seeds=self.n_seeds,
            alpha=self.alpha,
            n_train=self.n_train,
            n_validation=self.n_validation,
            n_test=self.n_test,
            tilt=self.tilt,
            epochs=self.epochs,
            batch_size=self.batch_size,
            device=self.device,
            progress=progress,
        )

    def run(self, *, progress: bool = False) -> Results:
        """Table 1, and its runs."""
        from causalpref.studies.ultrafeedback import table_1

        data, model = self.load(progress)
        runs = self.runs(data, progress)
        scores = summarise(runs, ["rho", "split"]).assign(source=data.source)
        text = (
            f"{data}\n\nTest accuracy, % (mean ± standard error over {self.n_seeds} seeds)\n"
            f"{table_1(scores).to_string()}"
        )
        return Results({"table1": scores, "runs": runs}, self.facts(data, model), text)


@dataclass(frozen=True, kw_only=True)
class Choices(UltraFeedback):
    """What choices that the paper leaves open do to table 1, each by itself."""

    name = "ultrafeedback-choices"
    about = "what choices that the paper leaves open do to table 1"

    n_prompts: int = option(
        20_000, "prompts of the simulated data; with real data, rows read at most"
    )
    rhos: tuple[float, ...] = option(
        (0.0, 0.9), "correlation of differences in training", metavar="RHO"
    )
    n_seeds: int = option(2, "number of seeds")
    n_train: int = option(4_000, "training pairs")
    n_validation: int = option(1_000, "validation pairs")
    n_test: int = option(4_000, "test pairs of each kind")

    def run(self, *, progress: bool = False) -> Results:
        """Accuracies by choice, and their runs."""
        import pandas as pd

        from causalpref.studies.ultrafeedback import without_ties

        data, model = self.load(progress)
        choices = {
            "as chosen": (self, data),
            "batch of 512": (dataclasses.replace(self, batch_size=512), data),
            "tilt by difference": (dataclasses.replace(self, tilt="difference"), data),
            "tilt by product": (dataclasses.replace(self, tilt="product"), data),
            "ties left out": (self, without_ties(data, alpha=self.alpha)),
            "batch of 32": (dataclasses.replace(self, batch_size=32), data),
        }
        runs = pd.concat(
            [s.runs(d, progress).assign(choice=name) for name, (s, d) in choices.items()],
            ignore_index=True,
        )
        scores = summarise(runs, ["choice", "rho", "split"])
        wide = (100 * scores.set_index(["choice", "split", "rho"])["mean"]).unstack(
            ["split", "rho"]
        )
        return Results(
            {"choices": scores, "runs": runs.drop(columns="source")},
            self.facts(data, model),
            f"{data}\n\nTest accuracy, %\n{wide.round(1).to_string()}",
        )


@dataclass(frozen=True, kw_only=True)
class HANNA(Study):
    """The question of table 1 on stories rated by people, for every ordered pair of aspects."""

    name = "hanna"
    about = "the same question on stories rated by people, for every pair of aspects"

    source: str = option(
        "hub",
        "'hub' (the file's address) or a local file or folder",
        metavar="WHERE",
        placeholder="DATA",
    )
    n_splits: int = option(20, "random splits of the prompts")

    def run(self, *, progress: bool = False) -> Results:
        """Accuracies by pair of aspects, and their runs."""
        from causalpref.sources import load_hanna
        from causalpref.sources.hanna import ASPECTS
        from causalpref.studies.ultrafeedback import aspect_pairs

        data = load_hanna(self.source, aspects=ASPECTS, weights=None)
        runs = aspect_pairs(data, n_splits=self.n_splits)
        scores = summarise(runs, ["z1", "z2", "rho", "split"])
        wide = scores.pivot(index=["z1", "z2"], columns=["split", "rho"], values="mean")
        return Results(
            {"aspects": scores, "runs": runs.drop(columns="source")},
            {"data": hashes(self.source), "source": data.source, "simulated": False},
            f"{data}\n\nTest accuracy, % (mean over {self.n_splits} splits)\n"
            f"{(100 * wide).round(1).to_string()}",
        )


@dataclass(frozen=True, kw_only=True)
class _Simulated(Study):
    """A study of simulated data sets."""

    n_datasets: int = option(500, "simulated data sets for each number")
    seed: int = option(0, "random seed", least=0)

    def shown(self, tables: dict[str, pd.DataFrame], title: str, main: pd.DataFrame) -> Results:
        """Tables, with the main one to read."""
        text = f"Shares of {self.n_datasets} {title}\n{main.to_string(index=False)}"
        return Results(tables, {"source": "simulated", "simulated": True}, text)


@dataclass(frozen=True, kw_only=True)
class Checks(_Simulated):
    """False alarms and power of every check at its stated strength."""

    name = "checks"
    about = "false alarms and power of the checks, on simulated data"

    def run(self, *, progress: bool = False) -> Results:
        """False alarms and power by scenario."""
        from causalpref.studies.checks import size_and_power

        table = size_and_power(n_datasets=self.n_datasets, seed=self.seed, progress=progress)
        shown = table[["scenario", "n", "false_alarms", "dial", "stated", "power"]]
        return self.shown({"checks": table}, "simulated data sets with an alarm", shown)


@dataclass(frozen=True, kw_only=True)
class Power(_Simulated):
    """Power of every check by strength and number of prompts, and alarms on sound data."""

    name = "power"
    about = "power curves of the checks, and how often sound data raise an alarm"

    n_datasets: int = option(200, "simulated data sets for each number")

    def run(self, *, progress: bool = False) -> Results:
        """Alarms by scenario, strength and size; alarms of all six checks on sound data."""
        from causalpref.studies.checks import power_curves, sound_alarms

        sizes = {"n_datasets": self.n_datasets, "seed": self.seed, "progress": progress}
        sound = sound_alarms(**sizes)
        tables = {"power": power_curves(**sizes), "sound": sound}
        main = sound[["check", "alarms", "low", "high"]]
        return self.shown(tables, "sound data sets with an alarm", main)


@dataclass(frozen=True, kw_only=True)
class AuditHHRLHF(Study):
    """Both ways to read the relabelled HH-RLHF data, audited with n-grams and with a model."""

    name = "audit-hh-rlhf"
    about = "audit the relabelled HH-RLHF data, both ways to read them"

    source: str = option(
        "hub", "'hub', or a file or folder with test.jsonl.gz", metavar="WHERE", placeholder="DATA"
    )
    model: str | None = option(
        None,
        "hub id or folder of a frozen language model, besides n-grams",
        metavar="MODEL",
        placeholder="MODEL",
    )
    model_name: str | None = option(None, "name of MODEL in the tables", metavar="NAME")
    template: Template = option("last_turn", "how prompt and response become one text")
    seed: int = option(0, "random seed", least=0)
    machine: str | None = option(
        None,
        "what it runs on, in words; without it the number of cores",
        metavar="WORDS",
        setup=True,
    )

    def run(self, *, progress: bool = False) -> Results:
        """Verdicts and numbers of the audits, position, rules, order, time and memory."""
        from causalpref.sources.hh_rlhf import split_file
        from causalpref.studies.audits import audit_all

        file = split_file(self.source, "test")
        tables = audit_all(
            file,
            model=self.model,
            model_name=self.model_name or "",
            template=self.template,
            seed=self.seed,
            progress=progress,
        )
        facts = {
            "machine": self.machine or f"{os.cpu_count()} CPU cores",
            "data": hashes(file),
            "source": tables["position"]["source"].iloc[0],
            "simulated": False,
            "labels": "relabelled: GPT-3.5, told which objective to use; first release: people",
        }
        verdicts = tables["summary"].pivot(
            index="assumption", columns=["features", "view"], values="verdict"
        )
        return Results(tables, facts, verdicts.to_string())


STUDIES: dict[str, type[Study]] = {
    study.name: study
    for study in (HHRLHF, UltraFeedback, Choices, HANNA, Checks, Power, AuditHHRLHF)
}
"""Every study by its name on the command line."""
