"""Frozen text embeddings: what the reward models see of a prompt and a response.

:func:`embed` runs a transformers model once over each distinct text and keeps the
result in a cache; :func:`hashed_ngrams` needs no model at all. Labels play no
part in either.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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

__all__ = ["embed", "encode", "hashed_ngrams", "hashed_texts", "messages", "pool", "render"]

Template = Literal["plain", "last_turn", "chat"]
Pooling = Literal["mean", "last"]

_CHUNK = 2048  # texts between two writes to the cache: what a killed run loses at most


def embed(
    data: PreferenceData,
    model: str | os.PathLike[str],
    *,
    template: Template = "plain",
    **options: Any,
) -> PreferenceData:
    """The same data with ``embeddings`` from a frozen language model.

    Parameters
    ----------
    data : PreferenceData
    model : str or path
        Hub id, or folder with a model that ``save_pretrained`` wrote.
    template : {"plain", "last_turn", "chat"}
        How prompt and response become one text, see :func:`render`.
    **options
        Passed to :func:`encode`.

    Returns
    -------
    PreferenceData
        ``embeddings`` has shape (n_responses, d), d the model's hidden size.
    """
    expect_preferences(data, "embed")
    prompts = data.prompts[data.response_prompt]
    if template == "chat":
        conversations = [messages(x, y) for x, y in zip(prompts, data.responses)]
        tools = [tools_of(x, y) for x, y in zip(prompts, data.responses)]
        return data.replace(embeddings=encode(conversations, model, tools=tools, **options))
    texts = [render(x, y, template) for x, y in zip(prompts, data.responses)]
    return data.replace(embeddings=encode(texts, model, **options))


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
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
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
        Tokens kept, special ones included. A longer text loses its beginning: two
        responses to one prompt differ at the end.
    batch_size : int
        Texts a forward pass; they are sorted by length first. Neither this nor the
        tokenizer's padding side changes the result beyond rounding.
    dtype : str
        Precision of the model. The result is float32.
    device : str, optional
        Default: the GPU if there is one.
    cache : path, optional
        Folder of safetensors files. A text already there for the same model,
        revision, pooling, length and precision is read, not encoded. New ones are
        written as they come, so a killed run goes on where it was.
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
    texts = list(texts)
    if not texts:
        raise ValueError("texts is empty: there is nothing to encode")
    if batch_size < 1 or max_length < 1:
        raise ValueError(
            f"batch_size ({batch_size}) and max_length ({max_length}) must be positive"
        )
    if pooling not in ("mean", "last"):
        raise ValueError(f"pooling is {pooling!r}, expected 'mean' or 'last'")
    with models_extra():
        import torch
        from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    tokenizer.padding_side, tokenizer.truncation_side = "right", "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    chat = not isinstance(texts[0], str)
    if chat:
        if not tokenizer.chat_template:
            raise ValueError(
                f"the tokenizer of {model} has no chat template: "
                "use template='plain' or 'last_turn'"
            )
        chats: Any = zip(texts, [None] * len(texts) if tools is None else tools, strict=True)
        texts = [_chat(tokenizer, t, told, row) for row, (t, told) in enumerate(chats)]

    recipe = {
        "model": _identity(model, revision),
        "pooling": pooling,
        "max_length": max_length,
        "dtype": dtype,
        "special_tokens": not chat,
    }
    digests = [hashlib.sha256(t.encode("utf-8")).digest() for t in texts]
    store = _Cache(None if cache is None else Path(cache), recipe)
    todo = {d: t for d, t in zip(digests, texts) if d not in store.vectors}
    if todo:
        with torch.inference_mode():
            _encode_into(
                store,
                todo,
                tokenizer,
                model,
                revision,
                pooling,
                max_length,
                batch_size,
                dtype,
                device,
                add_special_tokens=not chat,
                progress=progress,
            )
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


def _encode_into(
    store: _Cache,
    todo: dict[bytes, str],
    tokenizer: Any,
    model: Any,
    revision: str | None,
    pooling: Pooling,
    max_length: int,
    batch_size: int,
    dtype: str,
    device: str | None,
    *,
    add_special_tokens: bool,
    progress: bool,
) -> None:
    import torch
    from tqdm import tqdm
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # its own bar for loading the weights
    try:
        network = AutoModel.from_pretrained(
            model, revision=revision, dtype=getattr(torch, dtype), use_safetensors=True
        )
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    places = getattr(network.config, "max_position_embeddings", None)
    if places is not None and max_length > places:
        raise ValueError(f"max_length is {max_length}, the model reads {places} tokens at most")
    network = network.to(device).eval()
    bar = tqdm(total=len(todo), unit="text", desc="embedding", disable=not progress)
    keys, texts = list(todo), list(todo.values())
    longest_first = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    for start in range(0, len(texts), _CHUNK):
        chunk = longest_first[start : start + _CHUNK]
        tokens = tokenizer(
            [texts[i] for i in chunk],
            truncation=True,
            max_length=max_length,
            add_special_tokens=add_special_tokens,
        )["input_ids"]
        order = sorted(range(len(chunk)), key=lambda j: -len(tokens[j]))
        new: dict[bytes, np.ndarray] = {}
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            padded = tokenizer.pad(
                {"input_ids": [tokens[j] or [tokenizer.pad_token_id] for j in batch]},
                return_tensors="pt",
            )
            mask = padded["attention_mask"]
            for row, j in enumerate(batch):
                if not tokens[j]:
                    mask[row] = 0
            inputs = {
                "input_ids": padded["input_ids"].to(device),
                "attention_mask": mask.to(device),
            }
            if "use_cache" in inspect.signature(network.forward).parameters:
                inputs["use_cache"] = False
            hidden = network(**inputs).last_hidden_state
            vectors = pool(hidden.float(), inputs["attention_mask"], pooling).cpu().numpy()
            for row, j in enumerate(batch):
                vector = vectors[row]
                if not np.isfinite(vector).all():
                    raise ValueError(
                        f"the model gave a value that is not finite for the text "
                        f"{texts[chunk[j]][:60]!r}; try dtype='float32'"
                    )
                new[keys[chunk[j]]] = vector
            bar.update(len(batch))
        store.add(new)
    bar.close()


def _identity(model: str | os.PathLike[str], revision: str | None) -> str:
    """What names the weights: the commit of a hub model, the hash of a local one."""
    folder = Path(model)
    if folder.is_dir():
        digest = hashlib.sha256()
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".json", ".safetensors", ".bin", ".txt", ".model", ".jinja"):
                with open(file, "rb") as stream:
                    digest.update(file.relative_to(folder).as_posix().encode())
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return f"sha256:{digest.hexdigest()}"
    from transformers.utils import cached_file

    path = Path(cached_file(model, "config.json", revision=revision))
    commit = path.parent.name if path.parent.parent.name == "snapshots" else revision or "main"
    return f"{model}@{commit}"


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
    data: PreferenceData, *, n_features: int = 1024, ngram_range: tuple[int, int] = (1, 2)
) -> PreferenceData:
    """The same data with hashed word n-grams of the responses as ``embeddings``.

    Needs no model. Each response is a vector of counts under a signed hash,
    scaled to length 1; one without a letter or digit is all zeros. The prompt plays no part.

    Parameters
    ----------
    data : PreferenceData
    n_features : int
        Width d of the embeddings.
    ngram_range : (int, int)
        Shortest and longest n-gram, in words.
    """
    expect_preferences(data, "hashed_ngrams")
    return data.replace(embeddings=hashed_texts(data.responses, n_features, ngram_range))


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
