"""``source="hub"`` end to end, against a stand-in for the Hub on 127.0.0.1.

The environment decides which Hub the libraries ask, and they read it when they are imported,
so the code runs in a process of its own, where every other address goes through a proxy that
refuses and remembers.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from causalpref import PreferenceData
from causalpref.simulation import hh_rlhf_twin_rows, ultrafeedback_twin_rows
from causalpref.sources import load_hh_rlhf, load_ultrafeedback
from causalpref.text.embedding import encode

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["one", "two words", "three more words", "two words"]


class StandIn(http.server.ThreadingHTTPServer):
    """Folders as repositories of the Hub, at one commit: as much of its interface as is asked.

    ``asked`` holds the method and path of each request.
    """

    def __init__(self, repositories: dict[str, Path]):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repositories = repositories
        self.asked: list[tuple[str, str]] = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


_API = re.compile(
    r"/api/(?:models/)?(?P<repo>(?:datasets/)?[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(?:/(?P<path>.+))?)?"
)
_FILE = re.compile(r"/(?P<repo>(?:datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def log_message(self, *args):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.asked.append((self.command, path if url.path == self.path else self.path))
        found = _API.fullmatch(path) or _FILE.fullmatch(path)
        folder = self.server.repositories.get(found["repo"]) if found else None
        if folder is None:
            self._missing("RepoNotFound")
        elif found["revision"] not in (None, "main", COMMIT):
            self._missing("RevisionNotFound")
        elif found.re is _FILE:
            self._file(folder / found["path"])
        else:
            self._api(folder, found, urllib.parse.parse_qs(sent))

    do_HEAD = do_POST = do_CONNECT = do_GET

    def _file(self, file: Path):
        if not file.is_file():
            self._missing("EntryNotFound")
            return
        raw, status, extra = file.read_bytes(), 200, {}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(part[1]), min(int(part[2] or len(raw)), len(raw) - 1)
            status, extra = 206, {"Content-Range": f"bytes {first}-{last}/{len(raw)}"}
            raw = raw[first : last + 1]
        self._send(
            status,
            raw,
            {"ETag": f'"{_oid(file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", **extra},
        )

    def _api(self, folder: Path, found: re.Match, sent: dict[str, list[str]]):
        files = [
            {
                "type": "file",
                "path": f.relative_to(folder).as_posix(),
                "oid": _oid(f),
                "size": f.stat().st_size,
            }
            for f in sorted(folder.rglob("*"))
            if f.is_file()
        ]
        if found["what"] == "tree":
            inside = [f for f in files if f["path"].startswith(found["path"] or "")]
            if not inside:
                self._missing("EntryNotFound")
                return
            answer = inside
        elif found["what"] == "paths-info":
            answer = [f for f in files if f["path"] in sent.get("paths", ())]
        else:
            name = found["repo"].removeprefix("datasets/")
            answer = {
                "_id": "0",
                "id": name,
                "modelId": name,
                "sha": COMMIT,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "lastModified": "2024-01-01T00:00:00.000Z",
                "siblings": [{"rfilename": f["path"]} for f in files],
            }
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str):
        self._send(
            404,
            json.dumps({"error": code}).encode(),
            {"X-Error-Code": code, "X-Repo-Commit": COMMIT, "Content-Type": "application/json"},
        )

    def _send(self, status: int, body: bytes, headers: dict[str, str]):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


def save_tiny_model(folder: Path) -> None:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "<unk>", *sorted({w for t in TEXTS for w in t.split()})]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    transformers.BertModel(
        transformers.BertConfig(
            vocab_size=len(words),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            pad_token_id=0,
        )
    ).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)


def write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


SCRIPT = """
import sys
import numpy as np
from causalpref.text.embedding import encode
from causalpref.sources import hh_rlhf, load_hh_rlhf, load_ultrafeedback

out, web, commit, *texts = sys.argv[1:]
load_ultrafeedback("hub").save(out + "/ultrafeedback")
load_ultrafeedback("hub", revision=commit, limit=30, seed=1).save(out + "/limited")
hh_rlhf._HUB = web + "/raw/hh/resolve/main/{split}.jsonl"  # of GitHub's
load_hh_rlhf("hub").save(out + "/hh_rlhf")
np.save(out + "/encoded.npy", encode(texts, "tiny/bert", cache=out + "/cache"))
try:
    load_ultrafeedback("hub", revision="elsewhere")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Where it wrote, what it printed, and what it asked of the Hub, the web and the proxy."""
    root = tmp_path_factory.mktemp("hub")
    served = {"datasets/openbmb/UltraFeedback": root / "uf", "tiny/bert": root / "bert"}
    rows = ultrafeedback_twin_rows(120, d=0)[0]
    write(root / "uf" / "evol_instruct.jsonl", rows[:50])
    write(root / "uf" / "false_qa.jsonl", rows[50:])
    (root / "uf" / "README.md").write_text("---\nlicense: mit\n---\n# A stand-in\n")
    hh = hh_rlhf_twin_rows(40)
    write(root / "hh" / "train.jsonl", hh[:30])
    write(root / "hh" / "test.jsonl", hh[30:])
    save_tiny_model(root / "bert")

    with StandIn(served) as hub, StandIn({"raw/hh": root / "hh"}) as web, StandIn({}) as proxy:
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.upper().startswith(("HF_", "HUGGING", "TRANSFORMERS_"))
            and not k.upper().endswith("_PROXY")
            and k != "CAUSALPREF_DATA"
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(root), web.endpoint, COMMIT, *TEXTS],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=300,
            env={
                **clean,
                "HF_ENDPOINT": hub.endpoint,
                "HF_HOME": str(root / "home"),
                "HF_HUB_DISABLE_XET": "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_UPDATE_DOWNLOAD_COUNTS": "0",
                **{
                    name: proxy.endpoint
                    for both in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
                    for name in (both, both.lower())
                },
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        yield root, done, hub.asked, web.asked, proxy.asked


def test_ultrafeedback_from_the_hub_equals_the_local_files(run):
    root, done, asked, *_ = run
    local = load_ultrafeedback(root / "uf")
    assert len(local.prompts) > 100
    assert PreferenceData.load(root / "ultrafeedback") == local
    limited = PreferenceData.load(root / "limited")
    assert limited == load_ultrafeedback(root / "uf", limit=30, seed=1)
    files = [
        path
        for method, path in asked
        if method == "GET" and path.endswith(".jsonl") and "UltraFeedback" in path
    ]
    assert len(files) == len(set(files)) == 2, "each file is fetched once"
    assert "elsewhere" in done.stdout, "a revision that does not exist is named"


def test_hh_rlhf_from_its_web_address_equals_the_local_files(run):
    root, _, _, asked, _ = run
    assert PreferenceData.load(root / "hh_rlhf") == load_hh_rlhf(root / "hh")
    assert {path.rsplit("/")[-1] for _, path in asked} == {"train.jsonl", "test.jsonl"}


def test_model_from_the_hub_equals_the_local_folder(run):
    root, _, asked, *_ = run
    np.testing.assert_allclose(
        np.load(root / "encoded.npy"), encode(TEXTS, root / "bert"), atol=1e-6
    )
    assert any(path.endswith("/model.safetensors") for method, path in asked if method == "GET")


def test_cache_of_a_hub_model_names_its_commit(run):
    recipe = json.loads(next((run[0] / "cache").rglob("recipe.json")).read_text())
    assert recipe["model"] == f"tiny/bert@{COMMIT}", "other weights would be another model"


def test_nothing_else_was_asked_for(run):
    *_, asked, web, proxy = run
    known = re.compile(r"((/api)?/datasets/openbmb/UltraFeedback|(/api/models)?/tiny/bert)(/.*)?")
    assert [path for _, path in asked if not known.fullmatch(path)] == []
    assert len(web) > 0
    # `datasets` asks its viewer, by a name made from the endpoint's, which is nobody here
    assert [path for _, path in proxy if "://datasets-server.127.0.0.1:" not in path] == []
