"""Hugging Face checkpoint folders: complete under their final name, or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.hub import cached_file

from .errors import EngineError
from .lora import merged_weights
from .ranks import ALONE, Ranks
from .save_model import save_model
from .state_files import sync, write_errors
from .strategies import Held

SHARD_SIZE = "2GB"
"""The library's writer holds the interpreter lock for a whole shard."""

COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
    "generation_config.json",
)
"""What a checkpoint may have beside config and weights."""


def export_model(
    model: PreTrainedModel,
    held: Mapping[str, Held],
    path: Path,
    dtype: torch.dtype,
    source: str,
    revision: str | None,
    ranks: Ranks = ALONE,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """A Hugging Face checkpoint folder of the model in this type of weights, under its final name when complete. All
    ranks call it together, and the first one writes.

    Weights have the names that released checkpoints use; tokenizer, chat template, preprocessor and generation config
    are copies of the files of `source`, the folder or hub id that was loaded. Tied weights are written once, and an
    adapter is merged into what it adapts.
    """
    weights = {}
    for name, whole in merged_weights(model, held):
        if ranks.rank == 0:
            weights[name] = whole.to("cpu", dtype)
    with ranks.together(tick):
        if ranks.rank == 0:
            _write_folder(model, weights, path, dtype, source, revision)


def _write_folder(
    model: PreTrainedModel,
    weights: dict[str, Tensor],
    path: Path,
    dtype: torch.dtype,
    source: str,
    revision: str | None,
) -> None:
    with folder_in_place(path) as partial:
        save_model(model, partial, state_dict=weights, max_shard_size=SHARD_SIZE)
        _name_type(partial / "config.json", str(dtype).removeprefix("torch."))
        for name in COMPANIONS:
            file = companion_file(source, name, revision)
            if file is not None:
                shutil.copyfile(file, partial / name)


def companion_file(path_or_id: str, name: str, revision: str | None) -> Path | None:
    """A file of a folder or hub repository; None where that has no such file. Raises OSError for what is neither."""
    found = cached_file(
        path_or_id,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def held_weights(model: nn.Module) -> dict[str, Held]:
    """Of a model that is not in training, which every rank has whole."""
    return {name: Held.here(weight) for name, weight in model.named_parameters()}


@contextmanager
def folder_in_place(path: Path) -> Iterator[Path]:
    """A folder to fill, beside `path`, which takes that name when the block ends well and vanishes when it does not."""
    if path.exists():
        raise EngineError("bad_argument", f"{path} exists already; export to a new name, or remove it first.")
    if not path.parent.is_dir():
        raise EngineError("bad_argument", f"{path.parent} is not a folder; make it before exporting into it.")
    partial = path.with_name(path.name + ".partial")
    with write_errors(path), ExitStack() as cleanup:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        cleanup.callback(shutil.rmtree, partial, ignore_errors=True)
        yield partial
        # The writer of safetensors makes files that only their owner may read; the folder's mode tells the umask.
        mode = partial.stat().st_mode & 0o666
        for file in partial.rglob("*"):
            if file.is_file():
                file.chmod(mode)
            sync(file)
        sync(partial)
        os.rename(partial, path)
        sync(path.parent)


def _name_type(path: Path, name: str) -> None:
    """config.json names the type of the weights in the file, not of those in memory, in every part that names one."""

    def renamed(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        return {key: name if key in ("dtype", "torch_dtype") else renamed(value) for key, value in part.items()}

    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(renamed(config), indent=2, sort_keys=True) + "\n", encoding="utf-8")
