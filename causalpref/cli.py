"""The command ``causalpref``."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from causalpref._files import check_writable, replace_text
from causalpref.studies.study import whole_number

if TYPE_CHECKING:
    from causalpref.sources import LoadedPreferences

__all__ = ["main", "parser"]


_AUDIT_HELP = """\
Check a preference data set: what was read, what its texts and labels give away, and which
assumptions of causal inference it breaks.

DATA is a file (.jsonl, .json, .csv, .tsv, each plain or .gz, or .parquet), a folder that
`datasets` or causalpref saved, a folder of data files, or a hub id owner/name. The layout is
guessed from the columns: a chosen and a rejected answer as text or messages, two answers with
a label, ranked or rated answers, and the formats of well-known data sets (a wrong --layout
lists all). Rows that cannot be read are left out, counted and named, and the audit goes on.
Where the data hold no latents, the audit uses surface features of the texts instead (length,
formatting, refusals, questions)."""

_AUDIT_END = """\
exit status:
  0  no assumption is violated (something may be strained, or could not be tested)
  1  an assumption is violated
  2  an error: the message is on stderr
  3  more than 5% of the rows of DATA or OTHER could not be read, or a file ends in damage;
     this comes before 1, because the verdicts then rest on a part of the data
  130  stopped with Ctrl-C

examples:
  causalpref audit preferences.jsonl.gz --report audit.html
  causalpref audit train.jsonl --against test.jsonl --strict
  causalpref audit judged.csv --prompt question --response-a left --response-b right \\
      --label choice --label-values L=first,R=second,even=tie --annotator worker"""

_MOST_LOST = 0.05

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


def parser(*, studies: bool = True) -> argparse.ArgumentParser:
    """The options of every command.

    Parameters
    ----------
    studies : bool
        Those of the studies too, which take longer to load than an audit's help.
    """
    import causalpref

    whole = argparse.ArgumentParser(
        prog="causalpref", description="Reward modelling from preferences as causal inference."
    )
    whole.add_argument(
        "--version", action="version", version=f"causalpref {causalpref.__version__}"
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_audit(commands)
    run = commands.add_parser("run", help="run a study of the book and record its tables")
    if not studies:
        return whole
    from causalpref.studies.configurations import STUDIES

    names = run.add_subparsers(dest="study", required=True, metavar="STUDY")
    for name, study in STUDIES.items():
        options = names.add_parser(
            name, help=study.about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        study.add_options(options)
        options.add_argument(
            "--out",
            default=f"results/{name.replace('-', '_')}",
            metavar="DIR",
            help="where tables and chart go",
        )
        options.add_argument("--quiet", action="store_true", help="no progress bars")
        options.set_defaults(handler=_run)
    return whole


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
        help="name of the layout (default: guessed; a wrong name lists them all)",
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
    read.add_argument("--split", help="split of a hub data set or a saved folder")
    read.add_argument("--config", help="configuration of a hub data set")
    read.add_argument("--revision", help="revision of a hub data set")
    read.add_argument(
        "--limit", type=whole_number(), metavar="N", help="read the first N rows only"
    )
    read.add_argument(
        "--label-values",
        type=_meanings,
        action="extend",
        default=[],
        metavar="VALUE=WHO,...",
        help="what the values of the label mean, WHO being first, second or tie: "
        "0=first,1=second,2=tie. May be repeated",
    )
    read.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first row that cannot be read (default: leave such rows out, "
        "count and name them)",
    )
    read.add_argument(
        "--order-unknown",
        action="store_true",
        help="the order in DATA is not the order shown: do not test for position bias",
    )
    how = audit.add_argument_group("how DATA is checked")
    how.add_argument(
        "--against",
        metavar="OTHER",
        help="a second data set, for example the test data: report the prompts that both have. "
        "It is read with the same options; a layout that is not given is guessed for each",
    )
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
        type=whole_number(),
        default=20_000,
        metavar="N",
        help="maximum number of pairs for the checks that read texts (default: 20000)",
    )
    how.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    out = audit.add_argument_group("output")
    out.add_argument("--report", metavar="FILE.html", help="write the report as one HTML page")
    out.add_argument(
        "--json",
        metavar="FILE",
        help="write the report as JSON; '-' prints it instead of the summary",
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


def _meanings(text: str) -> list[tuple[str, str]]:
    """``0=first,1=second`` as pairs of value and meaning."""
    found = []
    for word in _words(text):
        value, equals, meaning = word.rpartition("=")
        if not equals or meaning.strip() not in ("first", "second", "tie"):
            raise argparse.ArgumentTypeError(
                f"{word!r} is not VALUE=WHO with WHO first, second or tie: "
                "for example 0=first,1=second,2=tie"
            )
        found.append((value.strip(), meaning.strip()))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0 done, 1 an audit found a violation, 2 something is wrong, 3 an audit lost more than 5% of the
    rows, 130 stopped with Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else argv
    args = parser(studies="run" in words).parse_args(words)
    try:
        return args.handler(args)
    except (ValueError, TypeError, OSError, ImportError) as error:
        said = " ".join(f"causalpref: {error}".split())
        print(_shown(said, sys.stderr), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("causalpref: stopped", file=sys.stderr)
        return 130


def _shown(text: str, stream: TextIO) -> str:
    """The text with what the stream's encoding lacks replaced."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def _audit(args: argparse.Namespace) -> int:
    outputs = [Path(name) for name in (args.report, args.json) if name and name != "-"]
    for name in (args.data, args.against):
        if name:
            check_writable(outputs, data=name)
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

    def read(name: str) -> LoadedPreferences:
        with staged(f"reading {name}", not args.quiet):
            loaded = load_preferences(
                name,
                layout=args.layout,
                columns=columns,
                response_latents=args.latents,
                prompt_latents=args.prompt_latents,
                label_values=dict(args.label_values) or None,
                strict=args.strict,
                limit=args.limit,
                split=args.split,
                config=args.config,
                revision=args.revision,
                seed=args.seed,
            )
        if args.order_unknown:
            return dataclasses.replace(loaded, data=loaded.data.replace(order_known=False))
        return loaded

    loaded = read(args.data)
    against = read(args.against) if args.against else None
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
        against=against,
        features=features,
        most_pairs=args.most_pairs,
        seed=args.seed,
        notes=notes,
        progress=not args.quiet,
    )
    with staged("writing", not args.quiet and bool(outputs)):
        if args.report:
            replace_text(Path(args.report), found.to_html())
        if args.json and args.json != "-":
            replace_text(Path(args.json), found.to_json() + "\n")
    if args.json == "-":
        print(found.to_json())
    elif not args.quiet:
        print(_shown(str(found), sys.stdout))
        if args.report:
            print(_shown(f"report: {args.report}", sys.stdout))
    return 3 if found.lost_share > _MOST_LOST or found.cut else int(found.violated)


def _run(args: argparse.Namespace) -> int:
    from causalpref.figures import save_chart
    from causalpref.studies.configurations import STUDIES
    from causalpref.studies.study import carry_out

    study = STUDIES[args.study].from_options(args)
    folder = Path(args.out)
    results = carry_out(study, folder, progress=not args.quiet)
    charts = save_chart(study.name, results.tables, folder)
    written = [*(f"{name}.csv" for name in results.tables), *charts, "provenance.json"]
    print(f"{results.text}\n\nwritten: {', '.join(written)} in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
