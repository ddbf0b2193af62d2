"""The command ``causalpref``."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    import causalpref

    parser = argparse.ArgumentParser(
        prog="causalpref", description="Reward modelling from preferences as causal inference.")
    parser.add_argument("--version", action="version", version=f"causalpref {causalpref.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a case study and write its tables")
    studies = run.add_subparsers(dest="study", required=True, metavar="STUDY")

    hh = studies.add_parser(
        "hh-rlhf", help="who asked? length, prompt type and three reward models on HH-RLHF",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    hh.add_argument("--source", default=os.environ.get("CAUSALPREF_DATA") or "offline",
                    metavar="WHERE", help="'offline' (simulated), 'hub', or a file or folder of the "
                    "real data; the environment variable CAUSALPREF_DATA sets the default")
    hh.add_argument("--model", metavar="MODEL",
                    help="hub id or folder of a frozen language model, or 'hashed' for hashed "
                         "n-grams; required with real data")
    hh.add_argument("--model-name", metavar="NAME", help="name of MODEL in the provenance")
    hh.add_argument("--template", default="last_turn", choices=("plain", "last_turn", "chat"),
                    help="how prompt and response become one text")
    hh.add_argument("--cache", default=".cache/embeddings", metavar="DIR",
                    help="where embeddings are kept")
    hh.add_argument("--rho", dest="rhos", type=float, nargs="+", metavar="RHO",
                    default=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0], help="P(type(X) = C) in training")
    hh.add_argument("--seeds", type=int, default=5, help="number of seeds")
    hh.add_argument("--train", type=int, default=1200, help="training pairs")
    hh.add_argument("--validation", type=int, default=200, help="validation pairs")
    hh.add_argument("--epochs", type=int, default=10, help="passes over the training pairs")
    hh.add_argument("--out", default="results/first_look", metavar="DIR", help="where tables go")
    hh.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 2 something is wrong)."""
    args = _parser().parse_args(argv)
    try:
        return _run_hh_rlhf(args)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"causalpref: {error}", file=sys.stderr)
        return 2


def _run_hh_rlhf(args: argparse.Namespace) -> int:
    from causalpref.embedding import embed, hashed_ngrams
    from causalpref.experiments import (accuracy_table, length_rates, record, reward_models,
                                        type_probe)
    from causalpref.rewards import summarise
    from causalpref.sources import load_hh_rlhf
    from causalpref.sources.hh_rlhf import relabelling

    data = load_hh_rlhf(args.source)
    if args.model == "hashed":
        data, model = hashed_ngrams(data), "hashed word 1-2-grams of the response, 1,024 columns"
    elif args.model:
        data = embed(data, args.model, template=args.template, cache=args.cache,
                     progress=not args.quiet)
        model = args.model_name or args.model
        model = f"{model}, mean-pooled, template {args.template}, last 256 tokens"
    elif data.embeddings is None:
        raise ValueError("--model is required with real data: a hub id or folder, or 'hashed'")
    else:
        model = "embeddings of the simulated stand-in"

    runs = reward_models(data, rhos=args.rhos, seeds=range(args.seeds), n_train=args.train,
                         n_validation=args.validation, epochs=args.epochs,
                         progress=not args.quiet)
    scores = summarise(runs, ["rho", "model", "split"])
    scores["source"] = data.source
    tables = {"length": length_rates(data), "type_probe": type_probe(data), "accuracy": scores,
              "runs": runs}
    if not data.simulated:
        tables["relabelling"] = relabelling(args.source)
    folder = record(
        tables, args.out, command=_command(args), data=_hashes(args.source),
        source=data.source, simulated=data.simulated, model=model,
        model_sha256=_hashes(Path(args.model or "") / "model.safetensors") or None)
    print(f"{data}\n\nTest accuracy, % (mean ± standard error over {args.seeds} seeds)\n"
          f"{accuracy_table(scores).to_string()}")
    print(f"\nwritten: {', '.join(f'{name}.csv' for name in tables)}, provenance.json in {folder}")
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command that does this again, with local paths named by what they hold."""
    source = args.source if args.source in ("offline", "hub") else "DATA"
    model = "MODEL" if args.model and Path(args.model).exists() else args.model
    words = ["causalpref run hh-rlhf --source", source]
    if model:
        words += ["--model", model, "--template", args.template]
    words += ["--rho", *(f"{rho:g}" for rho in args.rhos), "--seeds", str(args.seeds), "--train",
              str(args.train), "--validation", str(args.validation), "--epochs", str(args.epochs)]
    return " ".join(words)


def _hashes(source: str | Path) -> dict[str, str]:
    """sha256 of a file, or of the data files of a folder, by name."""
    path = Path(source)
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path] if path.is_file() else []
    found = {}
    for file in files:
        with open(file, "rb") as stream:
            found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


if __name__ == "__main__":
    sys.exit(main())
