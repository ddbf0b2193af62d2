"""The command ``causalpref``."""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

__all__ = ["main"]


_AUDIT_HELP = """\
Check a preference data set against the assumptions of causal inference.

DATA is a file (.jsonl, .json, .csv, .tsv, each plain or .gz, or .parquet), a folder that
`datasets` or causalpref saved, a folder of data files, or a hub id owner/name. The layout is
guessed from the columns: prompt/chosen/rejected as text or messages, HH-RLHF, UltraFeedback,
PKU-SafeRLHF, Chatbot Arena, AlpacaFarm, HelpSteer, or prompt/response_a/response_b/label.
Without latents in the data the surface of the texts stands in (length, formatting, refusals,
questions)."""

_AUDIT_END = """\
exit status:
  0  nothing is violated (something may be strained, or could not be tested)
  1  an assumption is violated
  2  an error, told in one line on stderr
  130  stopped with Ctrl-C

examples:
  causalpref audit preferences.jsonl.gz --report audit.html
  causalpref audit judged.csv --prompt question --response-a left --response-b right \\
      --label left_won --annotator worker --skip-bad --json audit.json"""

_COLUMNS = (
    "prompt",
    "chosen",
    "rejected",
    "response_a",
    "response_b",
    "label",
    "objective",
    "annotator",
    "prompt_type",
)


def _parser() -> argparse.ArgumentParser:
    import causalpref

    parser = argparse.ArgumentParser(
        prog="causalpref", description="Reward modelling from preferences as causal inference."
    )
    parser.add_argument(
        "--version", action="version", version=f"causalpref {causalpref.__version__}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_audit(commands)
    run = commands.add_parser("run", help="run a case study and write its tables")
    studies = run.add_subparsers(dest="study", required=True, metavar="STUDY")
    _add_hh_rlhf(studies)
    _add_ultrafeedback(studies)
    _add_hanna(studies)
    _add_checks(studies)
    return parser


def _add_audit(commands: Any) -> None:
    audit = commands.add_parser(
        "audit",
        help="check a preference data set of your own",
        description=_AUDIT_HELP,
        epilog=_AUDIT_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.set_defaults(handler=_audit)
    audit.add_argument("data", metavar="DATA", help="file, folder or hub id")
    read = audit.add_argument_group("how DATA is read")
    read.add_argument(
        "--layout",
        default="auto",
        metavar="NAME",
        help="one of the layouts of causalpref.sources.files (default: guessed)",
    )
    for name in _COLUMNS:
        read.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"column_{name}",
            metavar="COL",
            help=f"the column that holds {_ROLES[name]}",
        )
    read.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=COL",
        help="any other column of a layout, by the layout's NAME; an empty COL "
        "leaves it out. May be repeated",
    )
    read.add_argument(
        "--latents",
        type=_words,
        default=(),
        metavar="A,B",
        help="latents of the responses: A stands for the columns A_a and A_b "
        "(A_1 and A_2, A_chosen and A_rejected, ...)",
    )
    read.add_argument(
        "--prompt-latents",
        type=_words,
        default=(),
        metavar="A,B",
        help="latents of the prompt: columns that hold numbers",
    )
    read.add_argument("--split", help="of a hub data set or a saved folder")
    read.add_argument("--config", help="of a hub data set")
    read.add_argument("--revision", help="of a hub data set")
    read.add_argument("--limit", type=_positive, metavar="N", help="read the first N rows only")
    read.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave rows out that cannot be used, and count them; otherwise the "
        "first one is an error",
    )
    read.add_argument(
        "--order-unknown",
        action="store_true",
        help="the order in DATA is not the one that was shown: place is not tested",
    )
    how = audit.add_argument_group("how it is looked at")
    how.add_argument(
        "--model",
        metavar="MODEL",
        help="hub id or folder of a frozen language model for the texts, or 'hashed' "
        "for hashed n-grams (default: embeddings in DATA, else hashed)",
    )
    how.add_argument(
        "--template",
        default="plain",
        choices=("plain", "last_turn", "chat"),
        help="how prompt and response become one text for MODEL (default: plain)",
    )
    how.add_argument(
        "--most-pairs",
        type=_positive,
        default=20_000,
        metavar="N",
        help="pairs that checks of texts draw at most (default: 20000)",
    )
    how.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    out = audit.add_argument_group("what comes out")
    out.add_argument("--report", metavar="FILE.html", help="write the report as one HTML page")
    out.add_argument(
        "--json",
        metavar="FILE",
        help="write the report for machines; '-' is stdout, in place of the summary",
    )
    out.add_argument("--quiet", action="store_true", help="print no summary and no progress")


_ROLES = {
    "prompt": "the prompt",
    "chosen": "the preferred response",
    "rejected": "the other response",
    "response_a": "the first response",
    "response_b": "the second response",
    "label": "the label",
    "objective": "the objective under which the label was given",
    "annotator": "who gave the label",
    "prompt_type": "the type of the prompt",
}


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _add_hh_rlhf(studies: Any) -> None:
    hh = studies.add_parser(
        "hh-rlhf",
        help="who asked? length, prompt type and three reward models on HH-RLHF",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    hh.set_defaults(handler=_run_hh_rlhf)
    hh.add_argument(
        "--source",
        default=os.environ.get("CAUSALPREF_DATA") or "offline",
        metavar="WHERE",
        help="'offline' (simulated), 'hub', or a file or folder of the "
        "real data; the environment variable CAUSALPREF_DATA sets the default",
    )
    hh.add_argument(
        "--model",
        metavar="MODEL",
        help="hub id or folder of a frozen language model, or 'hashed' for hashed "
        "n-grams; required with real data",
    )
    hh.add_argument("--model-name", metavar="NAME", help="name of MODEL in the provenance")
    hh.add_argument(
        "--template",
        default="last_turn",
        choices=("plain", "last_turn", "chat"),
        help="how prompt and response become one text",
    )
    hh.add_argument(
        "--cache", default=".cache/embeddings", metavar="DIR", help="where embeddings are kept"
    )
    hh.add_argument("--pairs", type=_positive, default=82_518, help="pairs of the simulated data")
    hh.add_argument(
        "--rho",
        dest="rhos",
        type=float,
        nargs="+",
        metavar="RHO",
        default=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        help="P(type(X) = C) in training",
    )
    hh.add_argument("--seeds", type=_positive, default=5, help="number of seeds")
    hh.add_argument(
        "--train",
        type=_positive,
        metavar="N",
        help="training pairs; default: 30,000, or as large a share of fewer data",
    )
    hh.add_argument(
        "--validation",
        type=_positive,
        metavar="N",
        help="validation pairs; default: 6,000, scaled likewise",
    )
    hh.add_argument("--epochs", type=_positive, default=10, help="passes over the training pairs")
    hh.add_argument("--batch-size", type=_positive, default=64, metavar="N", help="pairs a step")
    hh.add_argument(
        "--hidden", type=_positive, default=512, metavar="N", help="width of hidden layers"
    )
    hh.add_argument(
        "--beyond",
        action="store_true",
        help="also what the paper does not have: "
        "lambda, overlap weights, type given, number of pairs",
    )
    hh.add_argument(
        "--beyond-train",
        type=_positive,
        default=10_000,
        metavar="N",
        help="training pairs of these, at most",
    )
    hh.add_argument("--beyond-seeds", type=_positive, default=3, metavar="N", help="seeds of these")
    hh.add_argument("--device", metavar="DEVICE", help="default: the GPU if there is one")
    hh.add_argument(
        "--precision", default="float32", choices=("float32", "bfloat16"), help="of matrix products"
    )
    hh.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="where the state of the training is kept "
        "until the tables are written; the same command goes on from it "
        "(default: OUT/checkpoint)",
    )
    hh.add_argument(
        "--out", default="results/hh_rlhf", metavar="DIR", help="where tables and figure go"
    )
    hh.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_ultrafeedback(studies: Any) -> None:
    uf = studies.add_parser(
        "ultrafeedback",
        help="latent positivity: accuracy when two latents are correlated in training (table 1)",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    uf.set_defaults(handler=_run_ultrafeedback)
    uf.add_argument(
        "--source",
        default=os.environ.get("CAUSALPREF_DATA") or "offline",
        metavar="WHERE",
        help="'offline' (simulated), 'hub', or a file or folder of the "
        "real data; the environment variable CAUSALPREF_DATA sets the default",
    )
    uf.add_argument(
        "--prompts",
        type=_positive,
        default=64_000,
        help="prompts of the simulated data; with real data, rows read at most",
    )
    uf.add_argument(
        "--model",
        metavar="MODEL",
        help="hub id or folder of a frozen language model; required with real data",
    )
    uf.add_argument("--model-name", metavar="NAME", help="name of MODEL in the provenance")
    uf.add_argument(
        "--template",
        default="plain",
        choices=("plain", "last_turn", "chat"),
        help="how prompt and response become one text",
    )
    uf.add_argument(
        "--cache", default=".cache/embeddings", metavar="DIR", help="where embeddings are kept"
    )
    uf.add_argument(
        "--rho",
        dest="rhos",
        type=float,
        nargs="+",
        metavar="RHO",
        default=[0.0, 0.3, 0.6, 0.9],
        help="correlation of differences in training",
    )
    uf.add_argument("--alpha", type=float, default=0.25, help="labels by alpha z1 + (1 - alpha) z2")
    uf.add_argument("--seeds", type=_positive, default=3, help="number of seeds")
    uf.add_argument("--train", type=_positive, default=15_000, help="training pairs")
    uf.add_argument("--validation", type=_positive, default=2_000, help="validation pairs")
    uf.add_argument("--test", type=_positive, default=15_000, help="test pairs of each kind")
    uf.add_argument(
        "--tilt",
        default="normal",
        choices=("normal", "difference", "product"),
        help="how pairs are weighted to reach rho",
    )
    uf.add_argument("--epochs", type=_positive, default=10, help="passes over the training pairs")
    uf.add_argument(
        "--out", default="results/ultrafeedback", metavar="DIR", help="where tables and figure go"
    )
    uf.add_argument("--quiet", action="store_true", help="no progress bars")


def _add_hanna(studies: Any) -> None:
    hanna = studies.add_parser(
        "hanna",
        help="the same question on stories rated by people, for every pair of aspects",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    hanna.set_defaults(handler=_run_hanna)
    hanna.add_argument(
        "--source",
        default="hub",
        metavar="WHERE",
        help="'hub' (the file's address) or a local file or folder",
    )
    hanna.add_argument("--splits", type=_positive, default=20, help="random splits of the prompts")
    hanna.add_argument("--out", default="results/hanna", metavar="DIR", help="where tables go")


def _add_checks(studies: Any) -> None:
    checks = studies.add_parser(
        "checks",
        help="false alarms and power of the checks, on simulated data",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    checks.set_defaults(handler=_run_checks)
    checks.add_argument(
        "--datasets", type=_positive, default=500, help="simulated data sets for each number"
    )
    checks.add_argument("--seed", type=int, default=0, help="of the data sets")
    checks.add_argument(
        "--out", default="results/checks", metavar="DIR", help="where the table goes"
    )
    checks.add_argument("--quiet", action="store_true", help="no progress bar")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0 done, 1 an audit found a violation, 2 something is wrong, 130 stopped with Ctrl-C.
    """
    args = _parser().parse_args(argv)
    try:
        return args.handler(args)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(_shown(f"causalpref: {error}", sys.stderr), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("causalpref: stopped", file=sys.stderr)
        return 130


def _shown(text: str, stream: TextIO) -> str:
    """The text with what the stream's encoding lacks replaced."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


# -- audit -------------------------------------------------------------------


def _audit(args: argparse.Namespace) -> int:
    outputs = [Path(name) for name in (args.report, args.json) if name and name != "-"]
    _check_writable(outputs, args.data)
    columns = {
        name: getattr(args, f"column_{name}")
        for name in _COLUMNS
        if getattr(args, f"column_{name}") is not None
    }
    for word in args.column:
        name, equals, column = word.partition("=")
        if not equals or not name:
            raise ValueError(f"--column is {word!r}, expected NAME=COL")
        columns[name] = column or None

    from causalpref.auditing import audit, staged
    from causalpref.sources import load_preferences

    with staged("reading the data", not args.quiet):
        loaded = load_preferences(
            args.data,
            layout=args.layout,
            columns=columns,
            response_latents=args.latents,
            prompt_latents=args.prompt_latents,
            skip_bad=args.skip_bad,
            limit=args.limit,
            split=args.split,
            config=args.config,
            revision=args.revision,
            seed=args.seed,
        )
    notes = (
        [f"Columns by option: {', '.join(f'{k} = {v}' for k, v in columns.items())}."]
        if columns
        else []
    )
    if args.limit:
        notes.append(f"The first {args.limit:,} rows only (--limit).")
    features: Any = args.model or "auto"
    if args.model and args.model != "hashed":
        from causalpref.text.embedding import embed

        features = functools.partial(
            embed, model=args.model, template=args.template, progress=not args.quiet
        )
        notes.append(f"Texts were embedded by {args.model}, template {args.template}.")
    found = audit(
        loaded,
        order_known=False if args.order_unknown else None,
        features=features,
        most_pairs=args.most_pairs,
        seed=args.seed,
        notes=notes,
        progress=not args.quiet,
    )
    with staged("writing", not args.quiet and bool(outputs)):
        if args.report:
            _replace(Path(args.report), found.to_html())
        if args.json and args.json != "-":
            _replace(Path(args.json), found.to_json() + "\n")
    if args.json == "-":
        print(found.to_json())
    elif not args.quiet:
        print(_shown(str(found), sys.stdout))
        if args.report:
            print(_shown(f"report: {args.report}", sys.stdout))
    return int(found.violated)


def _check_writable(outputs: Sequence[Path], data: str) -> None:
    """Find out before the work whether the files can be written.

    Raises
    ------
    ValueError
        An output that is a folder, the data, or named twice.
    OSError
        A folder that does not exist or may not be written to.
    """
    for i, path in enumerate(outputs):
        if path.is_dir():
            raise ValueError(f"{path} is a folder: give the name of a file")
        if path.exists() and Path(data).exists() and path.samefile(data):
            raise ValueError(f"{path} is the data: it would be replaced by the report")
        if path.resolve() in (p.resolve() for p in outputs[:i]):
            raise ValueError(f"--report and --json are both {path}")
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
                pass
        except OSError as error:
            raise OSError(f"cannot write {path}: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as stream:
            stream.write(text.encode("utf-8", "replace"))
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# -- case studies --------------------------------------------------------------


def _run_hh_rlhf(args: argparse.Namespace) -> int:
    from causalpref import figures
    from causalpref.rewards.training import forget
    from causalpref.sources import load_hh_rlhf
    from causalpref.sources.hh_rlhf import relabelling
    from causalpref.studies import (
        accuracy_table,
        content_blind,
        length_rates,
        record,
        reward_models,
        type_probe,
    )
    from causalpref.studies import remedies as beyond
    from causalpref.text.embedding import embed, hashed_ngrams

    real = args.source != "offline"
    data = load_hh_rlhf(args.source, n_pairs=None if real else args.pairs)
    if args.model == "hashed":
        data, model = hashed_ngrams(data), "hashed word 1-2-grams of the response, 1,024 columns"
    elif args.model:
        data = embed(
            data, args.model, template=args.template, cache=args.cache, progress=not args.quiet
        )
        model = args.model_name or args.model
        model = f"{model}, mean-pooled, template {args.template}, last 256 tokens"
    elif data.embeddings is None:
        raise ValueError("--model is required with real data: a hub id or folder, or 'hashed'")
    else:
        model = f"embeddings of the simulated twin, {data.embeddings.shape[1]} numbers"

    checkpoint = Path(args.checkpoint or Path(args.out) / "checkpoint")
    training = {
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "device": args.device,
        "precision": args.precision,
        "hidden": args.hidden,
        "progress": not args.quiet,
    }
    found = reward_models(
        data,
        rhos=args.rhos,
        seeds=range(args.seeds),
        n_train=args.train,
        n_validation=args.validation,
        checkpoint=checkpoint / "tables",
        **training,
    )
    tables = {
        "table2": found.table(),
        "table3": found.table("train_accuracy"),
        "runs": found.runs,
        "comparisons": found.comparisons,
        "curves": found.curves,
        "probes": beyond.probes(found.fits, found.draws),
        "length": length_rates(data),
        "type_probe": type_probe(data),
        "content_blind": content_blind(data),
    }
    if real:
        tables["relabelling"] = relabelling(args.source)
    if args.beyond:
        n = min(args.beyond_train, int(found.runs["n_train"].max()))
        some = {"seeds": range(args.beyond_seeds), **training}
        small = {"n_train": n, "n_validation": n // 5, **some}
        high = [rho for rho in args.rhos if rho >= 0.7] or args.rhos
        told = beyond.remedies(data, rhos=high, checkpoint=checkpoint / "remedies", **small)
        tables["remedies"], tables["remedies_comparisons"] = told.runs, told.comparisons
        tables["lambda"], tables["lambda_probes"] = beyond.lambda_sweep(
            data,
            rhos=sorted({high[0], high[len(high) // 2], high[-1]}),
            checkpoint=checkpoint / "lambda",
            **small,
        )
        tables["sizes"] = beyond.by_size(
            data,
            sizes=[n // 27, n // 9, n // 3, n],
            rhos=[r for r in args.rhos if r < 1][::-4],
            checkpoint=checkpoint / "sizes",
            **some,
        )
    folder = record(
        tables,
        args.out,
        command=_command(args),
        data=_hashes(args.source),
        source=data.source,
        simulated=data.simulated,
        model=model,
        model_sha256=_hashes(Path(args.model or "") / "model.safetensors") or None,
    )
    inline = importlib.util.find_spec("vl_convert") is not None  # else it asks a CDN when opened
    figures.accuracy_by_rho(tables["table2"]).save(folder / "figure6.html", inline=inline)
    for study in ("tables", "remedies", "lambda", "sizes"):
        forget(checkpoint / study)
    if checkpoint.is_dir() and not any(checkpoint.iterdir()):
        checkpoint.rmdir()
    print(
        f"{data}\n\nTest accuracy, % (mean ± standard error over {args.seeds} seeds), "
        f"{found.runs['n_train'].max():,} training pairs\n"
        f"{accuracy_table(tables['table2']).to_string()}"
    )
    print(
        f"\nwritten: {', '.join(f'{name}.csv' for name in tables)}, figure6.html, "
        f"provenance.json in {folder}"
    )
    return 0


def _run_ultrafeedback(args: argparse.Namespace) -> int:
    from causalpref import figures
    from causalpref.rewards import summarise
    from causalpref.sources import load_ultrafeedback
    from causalpref.studies import record
    from causalpref.studies.ultrafeedback import correlated_latents, table_1
    from causalpref.text.embedding import embed

    if args.source == "offline":
        data = load_ultrafeedback("offline", n_prompts=args.prompts)
        model = "embeddings of the simulated twin"
    else:
        if not args.model:
            raise ValueError("--model is required with real data: a hub id or folder")
        data = embed(
            load_ultrafeedback(args.source, limit=args.prompts),
            args.model,
            template=args.template,
            cache=args.cache,
            progress=not args.quiet,
        )
        model = f"{args.model_name or args.model}, mean-pooled, template {args.template}"
    runs = correlated_latents(
        data,
        rhos=args.rhos,
        seeds=range(args.seeds),
        alpha=args.alpha,
        n_train=args.train,
        n_validation=args.validation,
        n_test=args.test,
        tilt=args.tilt,
        epochs=args.epochs,
        progress=not args.quiet,
    )
    scores = summarise(runs, ["rho", "split"])
    scores["source"] = data.source
    source = args.source if args.source in ("offline", "hub") else "DATA"
    words = (
        f"causalpref run ultrafeedback --source {source} --prompts {args.prompts} --rho "
        f"{' '.join(f'{r:g}' for r in args.rhos)} --alpha {args.alpha:g} --seeds {args.seeds} "
        f"--train {args.train} --validation {args.validation} --test {args.test} --tilt "
        f"{args.tilt} --epochs {args.epochs}"
    )
    folder = record(
        {"table1": scores, "runs": runs},
        args.out,
        command=words,
        data=_hashes(args.source),
        source=data.source,
        simulated=data.simulated,
        model=model,
    )
    inline = importlib.util.find_spec("vl_convert") is not None  # else it asks a CDN when opened
    figures.accuracy_by_correlation(scores).save(folder / "table1.html", inline=inline)
    print(
        f"{data}\n\nTest accuracy, % (mean ± standard error over {args.seeds} seeds)\n"
        f"{table_1(scores).to_string()}"
    )
    print(f"\nwritten: table1.csv, runs.csv, table1.html, provenance.json in {folder}")
    return 0


def _run_hanna(args: argparse.Namespace) -> int:
    from causalpref.rewards import summarise
    from causalpref.sources import load_hanna
    from causalpref.sources.hanna import ASPECTS
    from causalpref.studies import record
    from causalpref.studies.ultrafeedback import aspect_pairs

    data = load_hanna(args.source, aspects=ASPECTS, weights=None)
    runs = aspect_pairs(data, ASPECTS, splits=args.splits)
    scores = summarise(runs, ["z1", "z2", "rho", "split"])
    scores["source"] = data.source
    source = "hub" if args.source == "hub" else "DATA"
    folder = record(
        {"aspects": scores.drop(columns="source"), "runs": runs.drop(columns="source")},
        args.out,
        source=data.source,
        simulated=False,
        data=_hashes(args.source),
        command=f"causalpref run hanna --source {source} --splits {args.splits}",
    )
    wide = scores.pivot(index=["z1", "z2"], columns=["split", "rho"], values="mean")
    print(
        f"{data}\n\nTest accuracy, % (mean over {args.splits} splits)\n"
        f"{(100 * wide).round(1).to_string()}\n\nwritten: aspects.csv, runs.csv, "
        f"provenance.json in {folder}"
    )
    return 0


def _run_checks(args: argparse.Namespace) -> int:
    from causalpref.studies import record
    from causalpref.studies.checks import size_and_power

    table = size_and_power(datasets=args.datasets, seed=args.seed, progress=not args.quiet)
    folder = record(
        {"checks": table},
        args.out,
        source="simulated",
        simulated=True,
        command=f"causalpref run checks --datasets {args.datasets} --seed {args.seed}",
    )
    shown = table[["scenario", "n", "false_alarms", "dial", "stated", "power"]]
    print(
        f"Shares of {args.datasets} simulated data sets with an alarm\n"
        f"{shown.to_string(index=False)}\n\nwritten: checks.csv, provenance.json in {folder}"
    )
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command that does this study again, with local paths named by what they hold."""
    source = args.source if args.source in ("offline", "hub") else "DATA"
    model = "MODEL" if args.model and Path(args.model).exists() else args.model
    words = ["causalpref run hh-rlhf --source", source]
    if source == "offline":
        words += ["--pairs", str(args.pairs)]
    if model:
        words += ["--model", model, "--template", args.template]
    words += ["--rho", *(f"{rho:g}" for rho in args.rhos), "--seeds", str(args.seeds)]
    for name in ("train", "validation"):
        if getattr(args, name):
            words += [f"--{name}", str(getattr(args, name))]
    words += [
        "--epochs",
        str(args.epochs),
        "--batch-size",
        str(args.batch_size),
        "--hidden",
        str(args.hidden),
        "--precision",
        args.precision,
    ]
    if args.beyond:
        words += [
            "--beyond",
            "--beyond-train",
            str(args.beyond_train),
            "--beyond-seeds",
            str(args.beyond_seeds),
        ]
    return " ".join(words)


def _hashes(source: str | Path) -> dict[str, str]:
    """sha256 of a file, or of the data files of a folder, by name."""
    path = Path(source)
    kinds = ("*.jsonl*", "*.parquet", "*.csv")
    files = (
        sorted(f for kind in kinds for f in path.glob(kind))
        if path.is_dir()
        else [path]
        if path.is_file()
        else []
    )
    found = {}
    for file in files:
        with open(file, "rb") as stream:
            found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


if __name__ == "__main__":
    sys.exit(main())
