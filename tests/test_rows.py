"""Opening files: what bytes are, which characters, which kind of text, and damage."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causalpref.sources._rows import Bad, open_rows

ROWS = [{"prompt": f"p{i}", "chosen": f"é, “{i}”", "rejected": "b;\nc"} for i in range(5)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.fixture
def opened(tmp_path):
    """The table of a file that holds these bytes or this text."""

    def opened(name, content, **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return open_rows(path, **options)

    return opened


def good(table):
    return [row for _, row in table.rows(None) if not isinstance(row, Bad)]


def bad(table):
    """Place and reason of each bad row."""
    return [f"{where}: {row}" for where, row in table.rows(None) if isinstance(row, Bad)]


def table_text(rows, delimiter=","):
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


# -- what a file is ----------------------------------------------------------------

PRETTY = "\n".join(json.dumps(row, indent=2) for row in ROWS)
FRAME = pd.DataFrame(ROWS)
WRITTEN = {
    "lines": LINES,
    "blank lines between": LINES.replace("\n", "\n\n \n"),
    "array": json.dumps(ROWS),
    "array, indented": json.dumps(ROWS, indent=4),
    "objects over several lines": PRETTY,
    "objects with commas": LINES.replace("}\n", "},\n"),
    "under data": json.dumps({"version": 1, "data": ROWS, "n": 5}, indent=1),
    "under a key of no name": json.dumps({"of this study": ROWS}),
    "under one of two": json.dumps({"annotators": [{"id": 1}], "rows": ROWS}),
    "viewer": json.dumps(
        {"features": [], "rows": [{"row_idx": i, "row": r} for i, r in enumerate(ROWS)]}
    ),
    "columns": json.dumps(FRAME.to_dict("list")),
    "pandas columns": FRAME.to_json(),
    "pandas index": FRAME.to_json(orient="index"),
    "index by name": FRAME.set_axis([f"study-{i}" for i in range(5)]).to_json(orient="index"),
    "split": FRAME.to_json(orient="split"),
    "table": FRAME.to_json(orient="table", index=False),
}


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv", "x.txt", "x"])
@pytest.mark.parametrize("written", WRITTEN)
def test_json_is_known_by_what_it_holds(opened, written, name):
    assert good(opened(name, WRITTEN[written])) == ROWS


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "x.psv", "x.tab", "x.jsonl"])
def test_the_delimiter_is_the_one_that_cuts_rows_alike(opened, name, delimiter):
    table = opened(name, table_text(ROWS, delimiter))
    assert good(table) == ROWS and table.columns == list(ROWS[0]) and not table.typed


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_encodings(opened, kind, encoding):
    text = {
        "csv": table_text(ROWS),
        "jsonl": "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in ROWS),
        "json": json.dumps(ROWS, ensure_ascii=False, indent=1),
    }[kind]
    table = opened(f"x.{kind}", text.encode(encoding))
    assert good(table) == ROWS and not bad(table)
    guessed = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
    assert [guessed[encoding] in n for n in table.notes] == [True] * (encoding in guessed)


def test_few_bytes_that_are_not_utf8_are_bad_rows_of_a_utf8_file(opened):
    text = "".join(f"{letter},a,b\n" for letter in "éüñ漢字")
    raw = b"prompt,chosen,rejected\n" + text.encode() + b"\xff,a,b\n"
    table = opened("x.csv", raw)
    assert [row["prompt"] for row in good(table)] == [*"éüñ漢字", "\udcff"] and not table.notes
    for encoding in ("gbk", "cp1251", "shift-jis", "koi8-r"):
        words = {"gbk": "提示好的回答", "shift-jis": "カタカナ漢字"}.get(encoding, "Привет мир")
        table = opened("x.csv", ("prompt,chosen,rejected\n" + f"{words},a,b\n").encode(encoding))
        assert "neither UTF-8 nor Windows-1252" in table.notes[0], encoding
        assert any("\udc80" <= c <= "\udcff" for c in good(table)[0]["prompt"]), encoding
    half = "prompt,chosen,rejected\n" + "a\ud800,b,c\n"
    assert good(opened("x.csv", half.encode("utf-16", "surrogatepass")))[0]["prompt"] == "a\ud800"
    cut = ("prompt,chosen,rejected\n" + "a,b,c\n").encode("utf-16")[:-1]
    assert len(list(opened("x.csv", cut).rows(None))) == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_whatever_the_name(opened, pack):
    for name in ("x.jsonl", "x.json.gz", "x.jsonl.bz2", "x.csv.xz"):
        assert good(opened(name, pack(LINES.encode()))) == ROWS
    assert good(opened("plain.jsonl.gz", LINES)) == ROWS


def test_parquet_by_its_first_bytes(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.json")
    assert good(open_rows(tmp_path / "x.json")) == ROWS
    (tmp_path / "x.parquet").write_text(LINES)
    assert good(open_rows(tmp_path / "x.parquet")) == ROWS
    binary = pa.array([b"p", b"\xff"], pa.binary())
    pq.write_table(
        pa.table({"prompt": pa.Array.from_buffers(pa.string(), 2, binary.buffers())}),
        tmp_path / "x.parquet",
    )
    table = open_rows(tmp_path / "x.parquet")
    assert good(table) == [{"prompt": "p"}]
    assert bad(table)[0].startswith("x.parquet, row 2: holds bytes that are not UTF-8")
    twice = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["prompt", "prompt"])
    pq.write_table(twice, tmp_path / "x.parquet")
    with pytest.raises(ValueError, match="x.parquet has a column 'prompt' more than once"):
        open_rows(tmp_path / "x.parquet")


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (POINTER, "Git LFS pointer, not the data: run `git lfs pull` in its repository"),
        (gzip.compress(POINTER.encode(), mtime=0), "Git LFS pointer"),
        ("\n <!DOCTYPE html>\n<html>", r"a web page \(HTML\)"),
        ("<?xml version='1.0'?><Error/>", "XML"),
        (b"PK\x03\x04" + b"." * 30 + b"[Content_Types].xml", "an Excel workbook: save it as CSV"),
        (b"PK\x03\x04" + b"." * 30 + b"train.jsonl", "an archive: unpack it"),
        (gzip.compress(b"\0" * 257 + b"ustar  ", mtime=0), "an archive: unpack it"),
        (b"\x80\x04\x95\0", "a Python pickle, which can run code"),
        (b"\x28\xb5\x2f\xfd\0", "Zstandard: run `zstd -d`"),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "compressed twice"),
    ],
)
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv.gz", "x.parquet", "x"])
def test_what_is_no_data_is_refused_in_a_sentence(opened, tmp_path, name, content, says):
    if not (name == "x.parquet" and content[:2] == b"\x1f\x8b"):
        with pytest.raises(ValueError, match=rf"^{name} is .*{says}"):
            opened(name, content)


def test_pointers_in_folders_are_named(tmp_path):
    (tmp_path / "train.jsonl").write_text(LINES)
    (tmp_path / "test.jsonl").write_text(POINTER)
    with pytest.raises(ValueError, match="^test.jsonl is a Git LFS pointer"):
        open_rows(tmp_path)
    (tmp_path / "test.jsonl").unlink()
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "data-00000-of-00001.arrow").write_text(POINTER)
    with pytest.raises(ValueError, match="data-00000-of-00001.arrow is a Git LFS pointer"):
        open_rows(tmp_path)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.tsv", "x.parquet", "x.jsonl.gz"])
def test_empty_files(opened, name):
    for raw in (b"", b"\n \n", gzip.compress(b"\n \n")):
        if name != "x.parquet" or not raw:
            with pytest.raises(ValueError, match=f"{name} is empty"):
                opened(name, raw)


def test_text_of_no_kind(opened):
    for text in ("hello", "Once, there was a man.\nHe lived, alone, in a wood.\n"):
        with pytest.raises(ValueError, match="no kind of file known here"):
            opened("x.txt", text)


# -- one object ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {"chosen": [{"role": "user", "content": "x"}], "rejected": [{"role": "user"}]},
        {"conversations": [{"from": "human", "value": "x"}], "chosen": {"value": "a"}},
        {"instruction": "x", "completions": [{"response": "a"}, {"response": "b"}]},
        {"prompt": "p", "responses": ["a", "b"], "scores": [1, 2]},
        {"chosen": {"text": "a", "score": 1}, "rejected": {"text": "b", "score": 0}},
    ],
)
def test_an_object_that_is_one_row(opened, row):
    assert good(opened("x.json", json.dumps(row, indent=1))) == [row]


def test_an_object_around_several_lists(opened):
    splits = json.dumps({"train": ROWS[:2], "test": ROWS[2:]})
    assert good(opened("x.json", splits, split="test")) == ROWS[2:]
    with pytest.raises(ValueError, match=r"x.json has the splits \['train', 'test'\]: pick one"):
        opened("x.json", splits)
    with pytest.raises(ValueError, match=r"x.json has no split 'dev', only"):
        opened("x.json", splits, split="dev")
    with pytest.raises(ValueError, match="several lists of objects, under 'left', 'right'"):
        opened("x.json", json.dumps({"left": ROWS, "right": ROWS}))
    with pytest.raises(ValueError, match=r"unequal length \('prompt' 5, 'chosen' 4\)"):
        opened("x.json", json.dumps({"prompt": ["p"] * 5, "chosen": ["a"] * 4}))
    with pytest.raises(ValueError, match="x.json is one file: split='train' goes with"):
        opened("x.json", LINES, split="train")
    table = opened("x.json", json.dumps({"v": 1, "rows": ROWS, "z": [2]}))
    assert table.notes == ["x.json: the rows are those under 'rows'; not read: 'v', 'z'"]


def test_lists_of_answers_and_cells_that_the_viewer_cut_off(opened):
    pair = [{"answer": "a", "score": 1}, {"answer": "b", "score": -1}]
    for text in (2 * (json.dumps(pair) + "\n"), json.dumps([pair, pair])):
        assert good(opened("x.jsonl", text)) == [{"answers": pair}] * 2
    cut = {"row_idx": 0, "row": ROWS[0], "truncated_cells": ["chosen"]}
    assert bad(opened("x.json", json.dumps({"rows": [cut]}))) == [
        "x.json, line 1: has cells that the dataset viewer cut off: take the file itself"
    ]


# -- damage ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_those_of_an_editor(opened, end):
    lines = [json.dumps(ROWS[0]), "", '{"a": "b\u2028c\x85"}', "{", '{"a": NaN, "b": 1, "b": 2}']
    table = opened("x.jsonl", end.join(lines))
    assert [where.number for where, _ in table.rows(None)] == [1, 3, 4, 5]
    assert len(bad(table)) == 1 and good(table)[2]["b"] == 2
    cells = ["prompt,chosen,rejected", f'p,"a{end}{end}b",c', "", 'q,"say ""x""",d', "too,few"]
    table = opened("x.csv", end.join([*cells, f'r,"e{end}",']))
    assert [where.number for where, _ in table.rows(None)] == [2, 6, 7, 8]
    assert bad(table) == ["x.csv, line 7: 2 cells, the header has 3"]
    assert good(table)[0]["chosen"] == f"a{end}{end}b" and good(table)[1]["chosen"] == 'say "x"'


WHOLE = json.dumps(ROWS, indent=2)  # each row is five lines, the first on line 2


@pytest.mark.parametrize(
    ("text", "kept", "says"),
    [
        (WHOLE.replace('"p2"', "p2"), [0, 1, 3, 4], "line 13: not JSON (Expecting value)"),
        (WHOLE[: WHOLE.index('"p3"') + 2], [0, 1, 2], "line 17: the array is cut off at line 18"),
        (WHOLE[:-2], [0, 1, 2, 3, 4], "line 26: the array is cut off"),
        (WHOLE + "\n\nx", [0, 1, 2, 3, 4], "line 29: not JSON (something follows the array)"),
        (WHOLE.replace('"p2"', '"p2'), [0, 1, 3, 4], "line 13: not JSON (Invalid control"),
        (WHOLE.replace("},\n", "}\n"), [0, 1, 2, 3, 4], None),
        ('{"v": 1, "data": ' + WHOLE[:-2], [0, 1, 2, 3, 4], "line 26: the array is cut off"),
        ('{"data": ' + WHOLE + ', "z": 1', [0, 1, 2, 3, 4], "line 27: not JSON (expected }"),
        (PRETTY.replace('"p2"', "p2"), [0, 1, 3, 4], "line 12: not JSON (Expecting value)"),
        (PRETTY[:-1], [0, 1, 2, 3], "line 21: the file is cut off"),
        (LINES.replace('"p2"', "p2"), [0, 1, 3, 4], "line 3: not JSON"),
        (LINES[:-5], [0, 1, 2, 3], "line 5: not JSON"),
        ("x" + LINES, [1, 2, 3, 4], "line 1: not JSON"),
        ("[" * 100_000, [], "line 1: not JSON"),
        ('{"a":' * 100_000, [], "line 1: "),
        ("[\n", [], "the array is cut off"),
        ('{"a": [1, 2], "b": [3, 4,]}', [], "line 1: not JSON"),
        ('{"a": {"0": 1, "1": 2}, "b": {"0": 1, "1": 2},}', [], "line 1: not JSON"),
        ("[" + "9" * 5000 + "]", [], "line 1: not JSON"),
    ],
)
def test_damage_to_json_is_a_bad_row_where_it_is(opened, text, kept, says):
    table = opened("x.json", text)
    assert good(table) == [ROWS[i] for i in kept]
    assert len(bad(table)) == (says is not None) and (says or "") in "".join(bad(table))


def test_an_array_longer_than_a_block(opened):
    rows = [{"prompt": str(i), "text": "\\\"é\n" * random.Random(i).randrange(40_000)}
            for i in range(60)]  # fmt: skip
    for text in (json.dumps(rows), json.dumps({"a": 1, "data": rows}, indent=1)):
        assert good(opened("x.json", text)) == rows
    number = len(json.dumps(rows[:40], indent=1).splitlines()) + 1
    text = json.dumps(rows, indent=1).replace('"40"', "oops")
    assert bad(opened("x.json", text))[0].startswith(f"x.json, line {number}: not JSON")
    assert good(opened("x.json", text)) == rows[:40] + rows[41:]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compression_keeps_what_comes_before(opened, pack):
    rng = random.Random(0)
    rows = [{"prompt": f"p {rng.random()}", "chosen": "a", "rejected": "b"} for _ in range(60_000)]
    texts = {
        "x.jsonl": "".join(json.dumps(r) + "\n" for r in rows),
        "x.json": json.dumps(rows),
        "x.csv": table_text(rows),
    }
    for name, text in texts.items():
        whole = pack(text.encode())
        table = opened(name, whole[: len(whole) * 2 // 3])
        kept = good(table)
        assert 0 < len(kept) < len(rows) and kept == rows[: len(kept)]
        (where, last) = list(table.rows(None))[-1]
        assert isinstance(last, Bad) and last.rest and "damaged" in str(last)
        assert len(bad(table)) == 1
        with pytest.raises(ValueError, match=rf"^{name}: damaged"):
            opened(name, whole[:20])


def test_quotes_that_are_not_closed(opened):
    head = "prompt,chosen,rejected\n"
    table = opened("x.csv", head + 'p,a,b\nq,"never,d\nx,y,z\n"u","v","w"\n')
    assert [row["prompt"] for row in good(table)] == ["p", "x", "u"]
    assert bad(table) == ["x.csv, line 3: not CSV (a quote is opened here and not closed)"]
    many = head + 'p,"a,b\n' * 3000
    assert len(bad(opened("x.csv", many))) == 3000
    assert good(opened("x.csv", head + "p,a\0,b\n")) == [
        {"prompt": "p", "chosen": "a\0", "rejected": "b"}
    ]


def test_headers(opened):
    assert not good(opened("x.csv", "prompt,chosen,rejected\n"))
    with pytest.raises(ValueError, match="x.csv: the header has 'prompt' more than once"):
        opened("x.csv", "prompt,chosen,prompt\na,b,c\n")
    with pytest.raises(ValueError, match="x.csv: the header is not CSV"):
        opened("x.csv", 'prompt,"cho"sen,rejected\na,b,c\n')
    table = opened("x.csv", "prompt,chosen,,\na,b,c,d\n")
    assert table.columns == ["prompt", "chosen", "column 3", "column 4"]
