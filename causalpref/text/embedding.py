"""Frozen text embeddings: what the reward models see of a prompt and a response.

:func:`embed` runs a transformers model once over each distinct text and keeps the
result in a cache; :func:`hashed_ngrams` needs no model at all. Labels play no
part in either. Both leave a recipe on the data, by which other texts can be embedded alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from causalpref._extras import models_extra
from causalpref.data import (
    Conversation,
    PreferenceData,
    as_messages,
    expect_preferences,
    tools_of,
    turns,
)

if TYPE_CHECKING:
    import torch

    from causalpref.sources import LoadedPreferences

__all__ = ["embed", "encode", "hashed_ngrams", "hashed_texts", "messages", "pool", "render"]

Template = Literal["plain", "last_turn", "chat"]
Pooling = Literal["mean", "last"]
Precision = Literal["float32", "bfloat16", "float16"]

_CHUNK = 2048  # texts between two writes to the cache: what a killed run loses at most
_CONTEXT = 4  # a prompt keeps 1/4 of max_length however long its responses are
_USUAL: dict[str, Any] = {
    "template": "plain",
    "revision": None,
    "pooling": "mean",
    "max_length": 256,
    "dtype": "float32",
}
_LANGUAGE_MODEL, _HASHED = "language model", "hashed n-grams"


def embed(
    data: PreferenceData | LoadedPreferences,
    model: str | os.PathLike[str] | Mapping[str, Any],
    *,
    template: Template | None = None,
    revision: str | None = None,
    pooling: Pooling | None = None,
    max_length: int | None = None,
    dtype: Precision | None = None,
    batch_size: int = 32,
    device: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> PreferenceData:
    """The same data with ``embeddings`` from a frozen language model.

    Parameters
    ----------
    data : PreferenceData, or what :func:`causalpref.load_preferences` gives
    model : str, path or mapping
        Hub id, or folder with a model that ``save_pretrained`` wrote. Or a recipe: the ``recipe``
        of other data or of a reward model, which these data are then embedded alike.
    template : {"plain", "last_turn", "chat"}, optional
        How prompt and response become one text, see :func:`render`. Default: ``"plain"``.
    revision : str, optional
        Branch, tag or commit of a hub model.
    pooling : {"mean", "last"}, optional
        See :func:`pool`. Default: ``"mean"``.
    max_length : int, optional
        Tokens that the model reads of prompt and response together, special ones included.
        Default: 256. What is left out of longer texts is said in the notes.
    dtype : {"float32", "bfloat16", "float16"}, optional
        Precision of the model. Default: ``"float32"``. The result is always float32.
    batch_size, device, cache, progress
        See :func:`encode`. None of them changes the result beyond rounding.

    Returns
    -------
    PreferenceData
        ``embeddings`` has shape (n_responses, d), d the model's hidden size. ``recipe`` says how
        they were made: ``model``, ``revision`` and ``identity`` (the commit of a hub model, a hash
        of a folder), ``template``, ``pooling``, ``max_length``, ``dtype`` and ``truncation``; and
        under ``truncated`` how many of the ``responses`` lost all of their prompt
        (``whole_prompt``), its beginning (``part_of_prompt``) or their own end
        (``part_of_response``).

    Raises
    ------
    TypeError
        Anything but preference data.
    ValueError
        What :func:`encode` raises; an unknown template; a recipe that is not known, that comes
        with settings beside it, or whose model has changed since.
    FileNotFoundError
        A recipe whose model folder is not there.

    Warns
    -----
    UserWarning
        When texts were too long; says how many lost what.

    Notes
    -----
    All responses to one prompt keep the same part of it, so that two responses never differ by
    what the model saw of their prompt. When the longest of them does not fit behind the whole
    prompt, the prompt loses its beginning, but keeps at least a quarter of the room (or is kept
    whole, if it is shorter than that). A response that still does not fit loses its end.
    The tokens with which the model opens and closes each text stay.
    """
    data = _pairs_of(data, "embed")
    given = {
        "template": template,
        "revision": revision,
        "pooling": pooling,
        "max_length": max_length,
        "dtype": dtype,
    }
    stated = {name: value for name, value in given.items() if value is not None}
    how: dict[str, Any]
    if not isinstance(model, Mapping):
        how = _USUAL | stated | {"model": os.fspath(model)}
    elif stated:
        raise ValueError(
            f"{next(iter(stated))} is given beside a recipe, which has its own: leave it out"
        )
    elif model.get("kind") == _HASHED:
        shortest, longest = model["ngram_range"]
        return hashed_ngrams(data, n_features=model["n_features"], ngram_range=(shortest, longest))
    else:
        how = dict(model)
        _check_recipe(how)
    if how["template"] not in get_args(Template):
        raise ValueError(
            f"template is {how['template']!r}, expected one of {list(get_args(Template))}"
        )
    encoder = _Encoder(
        how["model"],
        _commit(how) or how["revision"],
        how["pooling"],
        how["max_length"],
        how["dtype"],
        batch_size,
        device,
        cache,
        progress,
    )
    if encoder.identity != how.get("identity", encoder.identity):
        raise ValueError(
            f"the language model {how['model']} is not the one of the recipe: its identity is "
            f"{encoder.identity}, the recipe has {how['identity']}. Restore the model that it was, "
            "or embed and fit again with this one"
        )
    tokens, truncated = _shared_context(encoder, data, how["template"])
    vectors = encoder.vectors(tokens)
    _warn(truncated, encoder.max_length)
    recipe = {"kind": _LANGUAGE_MODEL, "model": how["model"], "revision": how["revision"]}
    recipe |= {"identity": encoder.identity, "template": how["template"]}
    recipe |= {name: how[name] for name in ("pooling", "max_length", "dtype")}
    recipe |= {"truncation": _POLICY, "truncated": truncated}
    return data.replace(embeddings=vectors, recipe=recipe)


def _check_recipe(recipe: Mapping[str, Any]) -> None:
    """Refuse a recipe that cannot be followed here."""
    known = {"kind": _LANGUAGE_MODEL, "truncation": _POLICY}
    for name, value in known.items():
        if recipe.get(name) != value:
            raise ValueError(
                f"the recipe has the {name} {recipe.get(name)!r}, expected {value!r}: another "
                "version of causalpref wrote it"
            )
    if recipe["identity"].startswith("sha256:") and not Path(recipe["model"]).is_dir():
        raise FileNotFoundError(
            f"{recipe['model']}, the folder of the recipe's language model, is not there: say "
            "where it is now, score(..., encoder=FOLDER) or embed(data, recipe | {'model': FOLDER})"
        )


def _commit(recipe: Mapping[str, Any]) -> str | None:
    """The commit of a recipe's hub model, so that the branch may have moved on."""
    name, mark, commit = recipe.get("identity", "").rpartition("@")
    return commit if mark and name == recipe["model"] else None


def render(prompt: str, response: str, template: Template = "plain") -> str:
    """One text from a prompt and a response.

    ``"plain"`` keeps all of the prompt, and marks the response as the assistant's where the
    prompt has turns: a ``Human: / Assistant:`` transcript, or a
    :class:`~causalpref.data.Conversation` of more than one user message; ``"last_turn"`` keeps
    of these the last human turn only. (``"chat"`` needs a tokenizer's template and is applied by
    :func:`embed`.)
    """
    if template not in ("plain", "last_turn"):
        raise ValueError(f"template is {template!r}, expected 'plain' or 'last_turn' here")
    human = [words for name, words in turns(prompt) if name == "Human"]
    kept = isinstance(prompt, Conversation)
    marked = len(prompt.messages) > 1 if kept else bool(human)
    prompt, response = prompt.strip(), response.strip()
    if template == "last_turn":
        return (human[-1] if human else prompt) + "\n" + response
    if marked:
        prompt = prompt if kept else prompt.removesuffix("Assistant:").rstrip()
        return prompt + "\n\nAssistant: " + response
    return prompt + "\n" + response


def messages(prompt: str, response: str) -> list[dict[str, Any]]:
    """Prompt and response as chat messages, those of the response last.

    A :class:`~causalpref.data.Conversation` gives its own messages, with their roles and tool
    calls. The roles of a plain transcript alternate, as chat templates ask: text before the first
    marker opens the first user turn, adjacent turns of one speaker become one, and a last
    assistant turn of the prompt is the beginning of a plain response. A plain prompt without
    markers is one user turn, a plain response one assistant turn.
    """
    chat, said = as_messages(prompt, "user"), as_messages(response, "assistant")
    if not isinstance(prompt, Conversation):
        chat = [{**m, "content": m["content"].strip()} for m in chat if m["content"].strip()]
    if not isinstance(response, Conversation):
        said[0]["content"] = response.strip()
        if not isinstance(prompt, Conversation) and chat and chat[-1]["role"] == "assistant":
            said[0]["content"] = f"{chat.pop()['content']}\n\n{said[0]['content']}"
    return chat + said


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector a text from the last layer, whichever side is padded.

    Parameters
    ----------
    hidden : tensor, shape (batch, tokens, d)
    mask : tensor of {0, 1}, shape (batch, tokens)
        1 for a real token.
    pooling : {"mean", "last"}
        Mean over the real tokens, or the last real token.

    Returns
    -------
    tensor, shape (batch, d)
        Zeros for a text without tokens.
    """
    with models_extra():
        import torch

    if pooling == "mean":
        kept = torch.where(mask.bool().unsqueeze(-1), hidden, 0)
        return kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    if pooling == "last":
        place = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        last = (mask * place).argmax(1)
        vectors = hidden[torch.arange(len(hidden), device=hidden.device), last]
        return torch.where(mask.bool().any(1, keepdim=True), vectors, 0)
    raise ValueError(f"pooling is {pooling!r}, expected 'mean' or 'last'")


def encode(
    texts: Sequence[str] | Sequence[list[dict[str, Any]]],
    model: str | os.PathLike[str],
    *,
    revision: str | None = None,
    pooling: Pooling = "mean",
    max_length: int = 256,
    batch_size: int = 32,
    dtype: Precision = "float32",
    device: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = False,
    tools: Sequence[list[Any] | None] | None = None,
) -> np.ndarray:
    """Encode texts with a frozen transformers model, each distinct text once.

    Parameters
    ----------
    texts : sequence of str, or of chat messages (list of {"role", "content"})
        Chat messages go through the tokenizer's own chat template.
    model, revision : str
        Hub id and revision, or a local folder. No remote code is run.
    pooling : {"mean", "last"}
        See :func:`pool`.
    max_length : int
        Tokens kept, special ones included. A longer text loses its beginning; :func:`embed`,
        which knows what is prompt and what is response, chooses better.
    batch_size : int
        Texts a forward pass; they are sorted by length first. Neither this nor the
        tokenizer's padding side changes the result beyond rounding.
    dtype : str
        Precision of the model. The result is float32.
    device : str, optional
        Default: the GPU if there is one.
    cache : path, optional
        Folder of safetensors files. Tokens already there for the same model, pooling and
        precision are read, not encoded. New ones are written as they come, so a killed run
        goes on where it was.
    progress : bool
        Show a bar with the time left.
    tools : sequence, optional
        For each conversation the tools that the chat template is told of, or None.

    Returns
    -------
    array of float32, shape (n_texts, d)

    Raises
    ------
    TypeError
        One string in place of a list.
    ValueError
        No texts, a tokenizer without a chat template or one that refuses a text, a
        ``max_length`` beyond the model's, or a cache file that is damaged.
    OSError
        A model that cannot be found, or one without safetensors weights.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string: pass a list of texts")
    plain: list[Any] = list(texts)
    if not plain:
        raise ValueError("texts is empty: there is nothing to encode")
    encoder = _Encoder(
        model, revision, pooling, max_length, dtype, batch_size, device, cache, progress
    )
    chat = not isinstance(plain[0], str)
    if chat:
        chats = zip(plain, [None] * len(plain) if tools is None else tools, strict=True)
        plain = [encoder.chat(said, told, row) for row, (said, told) in enumerate(chats)]
    opening, closing = encoder.frame(chat)
    room = encoder.room(chat)
    return encoder.vectors(
        [
            np.concatenate([opening, body[max(0, len(body) - room) :], closing])
            for body in encoder.bodies(plain)
        ]
    )


@dataclass(frozen=True)
class _Encoder:
    """A frozen language model, and how texts go through it; see :func:`encode`."""

    model: str | os.PathLike[str]
    revision: str | None
    pooling: Pooling
    max_length: int
    dtype: Precision
    batch_size: int
    device: str | None
    cache: str | os.PathLike[str] | None
    progress: bool

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.max_length < 1:
            raise ValueError(
                f"batch_size ({self.batch_size}) and max_length ({self.max_length}) "
                "must be positive"
            )
        for name, known in (("pooling", Pooling), ("dtype", Precision)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of {list(get_args(known))}"
                )

    @cached_property
    def tokenizer(self) -> Any:
        with models_extra():
            import torch  # noqa: F401
            from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.model, revision=self.revision)
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def identity(self) -> str:
        return _identity(self.model, self.revision)

    def chat(self, conversation: list[dict[str, Any]], tools: list[Any] | None, row: int) -> str:
        """Messages as one text, by the tokenizer's own template."""
        if not self.tokenizer.chat_template:
            raise ValueError(
                f"the tokenizer of {self.model} has no chat template: "
                "use template='plain' or 'last_turn'"
            )
        return _chat(self.tokenizer, conversation, tools, row)

    def frame(self, chat: bool) -> tuple[np.ndarray, np.ndarray]:
        """Tokens that open and that close each text; a chat template writes its own."""
        inner = self._ids(["a"])[0].tolist()
        whole = inner if chat else list(self.tokenizer("a")["input_ids"])
        for start in range(len(whole) - len(inner) + 1):
            end = start + len(inner)
            if whole[start:end] == inner:
                return np.array(whole[:start], np.int32), np.array(whole[end:], np.int32)
        raise ValueError(f"the tokenizer of {self.model} changes a text that it adds tokens to")

    def room(self, chat: bool) -> int:
        """Tokens that a text may have between those that open and close it."""
        own = sum(map(len, self.frame(chat)))
        if own >= self.max_length:
            raise ValueError(
                f"max_length is {self.max_length}, expected more than {own}: that many tokens "
                "the model adds to each text"
            )
        return self.max_length - own

    def bodies(self, texts: Sequence[str]) -> list[np.ndarray]:
        """All tokens of each text, without those that open and close it."""
        distinct = list(dict.fromkeys(texts))
        found: dict[str, np.ndarray] = {}
        for start in range(0, len(distinct), _CHUNK):
            part = distinct[start : start + _CHUNK]
            found.update(zip(part, self._ids(part)))
        return [found[text] for text in texts]

    def _ids(self, texts: list[str]) -> list[np.ndarray]:
        ids = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [np.array(i, dtype=np.int32) for i in ids]

    def vectors(self, tokens: Sequence[np.ndarray]) -> np.ndarray:
        """One vector for each sequence of tokens, each distinct one encoded once ever."""
        recipe = {
            "model": self.identity,
            "pooling": self.pooling,
            "dtype": self.dtype,
            "keys": "tokens",
        }
        digests = [hashlib.sha256(t.astype("<i4").tobytes()).digest() for t in tokens]
        store = _Cache(None if self.cache is None else Path(self.cache), recipe)
        todo = {d: t for d, t in zip(digests, tokens) if d not in store.vectors}
        if todo:
            import torch

            with torch.inference_mode():
                _encode_into(store, todo, self)
        return np.stack([store.vectors[d] for d in digests])


def _chat(
    tokenizer: Any, conversation: list[dict[str, Any]], tools: list[Any] | None, row: int
) -> str:
    conversation = [_callable(message) for message in conversation]
    try:
        return tokenizer.apply_chat_template(
            conversation, tokenize=False, **({"tools": tools} if tools else {})
        )
    except Exception as error:  # whatever the template's own code raises
        raise ValueError(
            f"the chat template refuses text {row}, with roles "
            f"{[turn['role'] for turn in conversation]}: {error}"
        ) from None


def _callable(message: dict[str, Any]) -> dict[str, Any]:
    """The message with the arguments of its tool calls as objects: templates write the JSON."""
    calls = []
    for call in message.get("tool_calls") or ():
        with contextlib.suppress(AttributeError, LookupError, TypeError, ValueError):
            inner = call.get("function", call)
            if isinstance(given := json.loads(inner["arguments"]), dict):
                inner = {**inner, "arguments": given}
                call = {**call, "function": inner} if "function" in call else inner
        calls.append(call)
    return {**message, "tool_calls": calls} if calls else message


# -- what is kept of texts that are too long -----------------------------------

_POLICY = "responses to a prompt keep the same end of it"
_STANDINS = "\ue000", "\ue001"  # two responses that differ from the first character on


def _shared_context(
    encoder: _Encoder, data: PreferenceData, template: Template
) -> tuple[list[np.ndarray], dict[str, int]]:
    """The tokens of each response with its prompt, and how many responses lost what."""
    chat = template == "chat"

    def text(prompt: str, response: str, row: int) -> str:
        if template == "chat":
            tools = tools_of(prompt, data.responses[row])
            return encoder.chat(messages(prompt, response), tools, row)
        return render(prompt, response, template)

    prompts: list[str] = data.prompts[data.response_prompt].tolist()
    texts = [text(x, y, row) for row, (x, y) in enumerate(zip(prompts, data.responses))]
    bodies, room = encoder.bodies(texts), encoder.room(chat)
    counts = {
        "responses": len(texts),
        "whole_prompt": 0,
        "part_of_prompt": 0,
        "part_of_response": 0,
    }
    long = np.fromiter((len(body) > room for body in bodies), bool, len(bodies))
    order = np.argsort(data.response_prompt, kind="stable")
    ends_of = np.searchsorted(data.response_prompt[order], np.arange(len(data.prompts) + 1))
    for prompt in np.unique(data.response_prompt[long]):
        rows = order[ends_of[prompt] : ends_of[prompt + 1]]
        ends = [text(prompts[rows[0]], r, int(rows[0])) for r in _STANDINS]
        letters = [np.array(list(end)) for end in ends]
        n_after = _alike([each[::-1] for each in letters])
        before, after = ends[0][: _alike(letters)], ends[0][len(ends[0]) - n_after :]
        context, closing = encoder.bodies([before, after])
        here = [bodies[row] for row in rows]
        n_context = _alike([context, *here])
        kept = min(n_context, max(room + n_context - max(map(len, here)), room // _CONTEXT))
        first = encoder.tokenizer.bos_token_id
        opening = here[0][: int(chat and 0 < kept < n_context and here[0][0] == first)]
        context = here[0][n_context - kept + len(opening) : n_context]
        limit = room - kept
        for row, body in zip(rows, here):
            answer = body[n_context:]
            counts["whole_prompt"] += kept == 0 < n_context
            counts["part_of_prompt"] += 0 < kept < n_context
            if len(answer) > limit:
                counts["part_of_response"] += 1
                end = closing if chat and 0 < len(closing) < limit else answer[:0]
                if not np.array_equal(answer[len(answer) - len(end) :], end):
                    end = answer[:0]
                answer = np.concatenate([answer[: limit - len(end)], end])
            bodies[row] = np.concatenate([opening, context, answer])
    opening, closing = encoder.frame(chat)
    return [np.concatenate([opening, body, closing]) for body in bodies], counts


def _alike(sequences: Sequence[np.ndarray]) -> int:
    """Length of the beginning that all share."""
    shortest = min(map(len, sequences))
    differ = np.zeros(shortest, dtype=bool)
    for other in sequences[1:]:
        differ |= sequences[0][:shortest] != other[:shortest]
    return int(differ.argmax()) if differ.any() else shortest


def _warn(truncated: Mapping[str, int], max_length: int) -> None:
    n = truncated["responses"]
    lost = {
        "whole_prompt": "lost their whole prompt",
        "part_of_prompt": "lost the beginning of their prompt",
        "part_of_response": "lost their own end",
    }
    said = [
        f"{'under 1%' if k < 0.005 * n else f'{k / n:.0%}'} {words}"
        for name, words in lost.items()
        if (k := truncated[name])
    ]
    if said:
        said[0] = said[0].replace("% ", f"% of {n:,} responses ", 1)
        warnings.warn(
            f"{', '.join(said)} (max_length {max_length}). All responses to one prompt keep the "
            "same part of it. Raise max_length if the model reads more tokens",
            stacklevel=_outside(),
        )


def _outside() -> int:
    """Where a warning of the function that asks points to: the first line that is not ours."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("causalpref."):
        frame, level = frame.f_back, level + 1
    return max(level, 1)


# -- the forward pass and the cache ---------------------------------------------


def _encode_into(store: _Cache, todo: dict[bytes, np.ndarray], encoder: _Encoder) -> None:
    import torch
    from tqdm import tqdm
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    tokenizer, max_length = encoder.tokenizer, encoder.max_length
    device = encoder.device or ("cuda" if torch.cuda.is_available() else "cpu")
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # its own bar for loading the weights
    try:
        network = AutoModel.from_pretrained(
            encoder.model,
            revision=encoder.revision,
            dtype=getattr(torch, encoder.dtype),
            use_safetensors=True,
        )
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    places = getattr(network.config, "max_position_embeddings", None)
    if places is not None and max_length > places:
        raise ValueError(f"max_length is {max_length}, the model reads {places} tokens at most")
    network = network.to(device).eval()
    bar = tqdm(total=len(todo), unit="text", desc="embedding", disable=not encoder.progress)
    longest_first = sorted(todo, key=lambda key: -len(todo[key]))
    for start in range(0, len(longest_first), _CHUNK):
        chunk = longest_first[start : start + _CHUNK]
        new: dict[bytes, np.ndarray] = {}
        for first in range(0, len(chunk), encoder.batch_size):
            keys = chunk[first : first + encoder.batch_size]
            padded = tokenizer.pad(
                {"input_ids": [todo[k].tolist() or [tokenizer.pad_token_id] for k in keys]},
                return_tensors="pt",
            )
            mask = padded["attention_mask"]
            for row, key in enumerate(keys):
                if not len(todo[key]):
                    mask[row] = 0
            inputs = {
                "input_ids": padded["input_ids"].to(device),
                "attention_mask": mask.to(device),
            }
            if "use_cache" in inspect.signature(network.forward).parameters:
                inputs["use_cache"] = False
            hidden = network(**inputs).last_hidden_state
            pooled = pool(hidden.float(), inputs["attention_mask"], encoder.pooling)
            for key, vector in zip(keys, pooled.cpu().numpy()):
                if not np.isfinite(vector).all():
                    raise ValueError(
                        f"the model gave a value that is not finite for the text "
                        f"{tokenizer.decode(todo[key])[:60]!r}; try dtype='float32'"
                    )
                new[key] = vector
            bar.update(len(keys))
        store.add(new)
    bar.close()


def _identity(model: str | os.PathLike[str], revision: str | None) -> str:
    """What names the weights: the commit of a hub model, the hash of a local one."""
    folder = Path(model)
    if folder.is_dir():
        digest = hashlib.sha256()
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja"):
                state = file.stat()
                digest.update(file.relative_to(folder).as_posix().encode())
                digest.update(_digest(file, state.st_mtime_ns, state.st_size, state.st_ino))
        return f"sha256:{digest.hexdigest()}"
    with models_extra():
        from transformers.utils.hub import cached_file

    path = Path(cached_file(model, "config.json", revision=revision))
    commit = path.parent.name if path.parent.parent.name == "snapshots" else revision or "main"
    return f"{model}@{commit}"


@lru_cache(maxsize=256)
def _digest(file: Path, *state: int) -> bytes:
    """Hash of a file, read again only when it has changed: weights are many gigabytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


class _Cache:
    """Embeddings by hash of their text, in one folder a recipe; in memory without a folder."""

    def __init__(self, folder: Path | None, recipe: dict[str, Any]):
        self.vectors: dict[bytes, np.ndarray] = {}
        self.folder = None
        if folder is None:
            return
        text = json.dumps(recipe, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "recipe.json").write_text(text + "\n", encoding="utf-8")
        from safetensors.numpy import load_file

        for file in sorted(self.folder.glob("*.safetensors")):
            try:
                shard = load_file(file)
                keys, vectors = shard["keys"], shard["embeddings"]
            except Exception as error:
                raise ValueError(
                    f"cache file {file} is damaged ({error}): delete it, "
                    "its texts will be encoded again"
                ) from None
            self.vectors.update(zip((k.tobytes() for k in keys), vectors))

    def add(self, new: dict[bytes, np.ndarray]) -> None:
        self.vectors.update(new)
        if self.folder is None:
            return
        from safetensors.numpy import save_file

        keys = np.stack([np.frombuffer(k, dtype=np.uint8) for k in new])
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:16]
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.folder)
        os.close(handle)
        try:
            save_file({"keys": keys, "embeddings": np.stack(list(new.values()))}, temporary)
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.folder / f"{name}.safetensors")
        finally:
            Path(temporary).unlink(missing_ok=True)


def hashed_ngrams(
    data: PreferenceData | LoadedPreferences,
    *,
    n_features: int = 1024,
    ngram_range: tuple[int, int] = (1, 2),
) -> PreferenceData:
    """The same data with hashed word n-grams of the responses as ``embeddings``.

    Needs no model. Each response is a vector of counts under a signed hash,
    scaled to length 1; one without a letter or digit is all zeros. The prompt plays no part.

    Parameters
    ----------
    data : PreferenceData, or what :func:`causalpref.load_preferences` gives
    n_features : int
        Width d of the embeddings.
    ngram_range : (int, int)
        Shortest and longest n-gram, in words.

    Returns
    -------
    PreferenceData
        ``embeddings`` has shape (n_responses, n_features); ``recipe`` says how they were made.
    """
    data = _pairs_of(data, "hashed_ngrams")
    return data.replace(
        embeddings=hashed_texts(data.responses, n_features, ngram_range),
        recipe={"kind": _HASHED, "n_features": n_features, "ngram_range": list(ngram_range)},
    )


def _pairs_of(data: Any, taker: str) -> PreferenceData:
    inner = getattr(data, "data", None)
    if isinstance(inner, PreferenceData):  # what load_preferences gives
        return inner
    expect_preferences(data, taker)
    return data


def hashed_texts(
    texts: Sequence[str] | np.ndarray, n_features: int, ngram_range: tuple[int, int] = (1, 2)
) -> np.ndarray:
    """Hashed word n-grams of any texts, shape (n, n_features), float32; see :func:`hashed_ngrams`.

    Parameters
    ----------
    texts : sequence of str, shape (n,)
    n_features : int
    ngram_range : (int, int)
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = HashingVectorizer(
        n_features=n_features,
        ngram_range=ngram_range,
        dtype=np.float32,
        token_pattern=r"(?u)\b\w+\b",
    )
    hashed: Any = counts.transform(texts)
    return hashed.toarray()
