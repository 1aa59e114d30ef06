"""Training state and exports: what comes back is what was written, to the bit, or it is refused by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoTokenizer

from conftest import OpenContext
from thurstone_runtime import snapshots
from thurstone_runtime.checkpoints import allowed_path
from thurstone_runtime.families import load_model
from thurstone_runtime.joining import ALLOWED
from thurstone_runtime.make_checkpoint import make_checkpoint
from training_task import Worker, groups_of, plain_logprobs, refused, scores_of

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
FILES = [OPTIMIZER, STATE, WEIGHTS]


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Makes the system refuse to let any file grow beyond `size` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def worker(tiny_checkpoint: Path, tmp_path: Path) -> Worker:
    """In training, after one update; may write under `tmp_path`."""
    worker = Worker(tiny_checkpoint, reference=True, allowed_roots=[str(tmp_path)])
    worker.step(worker.part(seed=1), batch_id="1", beta=0.04)
    return worker


def save(worker: Worker, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    return worker.engine.save({"path": str(folder)}, {}, worker.context)[0]["files"]


def take(worker: Worker) -> dict[str, Any]:
    return worker.engine.snapshot({}, {}, worker.context)[0]


def write(worker: Worker, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    return worker.engine.write_snapshot({"path": str(folder)}, {}, worker.context)[0]["files"]


def restore(worker: Worker, folder: Path) -> dict[str, Any]:
    return worker.engine.restore({"path": str(folder)}, {}, worker.context)[0]


def export(worker: Worker, folder: Path, dtype: str = "source") -> None:
    worker.engine.export({"path": str(folder), "dtype": dtype}, {}, worker.context)


def test_resumed_training_equals_uninterrupted_training_to_the_bit(worker, tiny_checkpoint, tmp_path):
    save(worker, tmp_path / "state")
    resumed = Worker(tiny_checkpoint, reference=True, allowed_roots=[str(tmp_path)])
    assert restore(resumed, tmp_path / "state") == {"step": 1, "policy_version": 1}
    assert resumed.bits() == worker.bits()
    for seed in (2, 3):
        updates = [one.step(one.part(seed=seed), batch_id=str(seed), beta=0.04) for one in (worker, resumed)]
        assert updates[0] == updates[1]
    assert resumed.version == 3
    assert resumed.bits() == worker.bits()


def test_a_snapshot_is_of_its_moment_while_training_goes_on(worker, tmp_path, monkeypatch):
    # Blocks that most tensors do not fit into.
    monkeypatch.setattr(snapshots, "BLOCK_BYTES", 4096)
    at_once = save(worker, tmp_path / "at once")
    for name in ("beside", "beside again"):
        assert take(worker)["bytes"] == sum(file["bytes"] for file in at_once)
        part = worker.part(seed=2)
        with ThreadPoolExecutor() as threads:
            written = threads.submit(write, worker, tmp_path / name)
            update = worker.step(part, batch_id="2", beta=0.04)
            assert written.result() == at_once
        after = worker.bits()
        assert {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} == {
            file.name: file.read_bytes() for file in (tmp_path / "at once").iterdir()
        }
        # The same step once more, without anything beside it.
        restore(worker, tmp_path / name)
        assert worker.step(part, batch_id="2", beta=0.04) == update
        assert worker.bits() == after
        restore(worker, tmp_path / "at once")


def test_one_snapshot_is_written_at_a_time_and_once(worker, tmp_path):
    refused("bad_argument", write, worker, tmp_path / "none")
    take(worker)
    asked: list[Any] = []

    class Context(OpenContext):
        def tick(self) -> None:
            if not asked:
                asked.append(refused("bad_argument", take, worker))

    (tmp_path / "state").mkdir()
    worker.engine.write_snapshot({"path": str(tmp_path / "state")}, {}, Context())
    assert asked
    refused("bad_argument", write, worker, tmp_path / "state")
    outside = {"path": str(tmp_path.parent)}
    refused("path_not_allowed", worker.engine.write_snapshot, outside, {}, worker.context)


def test_a_snapshot_that_finds_the_disk_full_leaves_nothing_and_the_next_one_is_written(worker, tmp_path):
    good = save(worker, tmp_path / "good")
    take(worker)
    with largest_file(2**15):
        message = refused("write_failed", write, worker, tmp_path / "full")
    assert str(tmp_path / "full") in message
    assert list((tmp_path / "full").iterdir()) == []
    take(worker)
    assert write(worker, tmp_path / "later") == good


def test_restoring_goes_back_and_forgets(worker, tmp_path):
    save(worker, tmp_path / "state")
    before = worker.bits()
    part = worker.part()
    worker.logprobs(part, store=True)
    worker.step(part)
    worker.forward_backward(part)
    restore(worker, tmp_path / "state")
    assert worker.version == 1
    assert worker.bits() == before
    assert worker.gradients() == {}
    refused("old_logprobs_missing", worker.forward_backward, part, loss={"old": "stored"})


def test_files_are_reported_as_they_are(worker, tmp_path):
    files = save(worker, tmp_path / "state")
    assert sorted(file["name"] for file in files) == FILES
    assert sorted(file.name for file in (tmp_path / "state").iterdir()) == FILES
    for file in files:
        content = (tmp_path / "state" / file["name"]).read_bytes()
        assert file["bytes"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert save(worker, tmp_path / "again") == files


def test_weights_have_the_names_of_the_module_tree_and_tied_ones_come_once(worker, tmp_path):
    save(worker, tmp_path / "state")
    weights = load_file(tmp_path / "state" / "weights.safetensors")
    named = dict(worker.model.named_parameters())
    assert weights.keys() == named.keys()
    assert "model.language_model.embed_tokens.weight" in weights
    assert "lm_head.weight" not in weights
    assert all(torch.equal(weights[name], parameter) for name, parameter in named.items())
    moments = load_file(tmp_path / "state" / "optimizer.safetensors")
    assert len(moments) == 3 * len(named)
    state = json.loads((tmp_path / "state" / "state.json").read_text())
    assert (state["step"], state["policy_version"], state["optimizer"]["beta2"]) == (1, 1, 0.999)


def rewrite(path: Path, change: Any) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"step": "1"})


NAME = "model.language_model.norm.weight"


def cut(size: int) -> Any:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def without(name: str) -> Any:
    return lambda path: rewrite(path, lambda tensors: tensors.pop(name))


def with_tensor(name: str, change: Any) -> Any:
    return lambda path: rewrite(path, lambda tensors: tensors.update({name: change(tensors[NAME])}))


def with_text(text: str) -> Any:
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (WEIGHTS, cut(-1), "not a complete safetensors file"),
        (WEIGHTS, cut(40), "not a complete safetensors file"),
        (OPTIMIZER, cut(0), "not a complete safetensors file"),
        (WEIGHTS, Path.unlink, "not a complete safetensors file"),
        (WEIGHTS, without(NAME), f"lacks {NAME}"),
        (WEIGHTS, with_tensor("more", torch.clone), "has more"),
        (WEIGHTS, with_tensor(NAME, lambda _: torch.ones(3)), "has shape [3], but this model's is [64]"),
        (WEIGHTS, with_tensor(NAME, torch.Tensor.bfloat16), "is of type BF16"),
        (OPTIMIZER, without(f"{NAME}.exp_avg"), f"lacks {NAME}.exp_avg"),
        (OPTIMIZER, without(f"{NAME}.step"), f"has {NAME}.exp_avg"),
        (OPTIMIZER, lambda path: save_file(load_file(path), path, {"step": "3"}), "is of step 3"),
        (STATE, with_text("{"), "cannot be read"),
        (STATE, with_text('{"format": 1}'), "not training state of format 2"),
        (STATE, with_text('{"format": 2, "step": -1}'), '"step" must be a whole number'),
        (STATE, Path.unlink, "cannot be read"),
    ],
)
def test_damaged_state_is_refused_and_changes_nothing(worker, tmp_path, file, change, message):
    save(worker, tmp_path / "state")
    worker.step(worker.part(seed=2), batch_id="2")
    before = worker.bits()
    change(tmp_path / "state" / file)
    assert message in refused("checkpoint_invalid", restore, worker, tmp_path / "state")
    assert worker.version == 2
    assert worker.bits() == before


def test_state_of_another_architecture_is_refused(worker, tmp_path):
    make_checkpoint(tmp_path / "other", preset="tiny", seed=0)
    other = Worker(tmp_path / "other", allowed_roots=[str(tmp_path)])
    save(worker, tmp_path / "state")
    refused("checkpoint_invalid", restore, other, tmp_path / "state")


def test_state_of_a_trained_tower_does_not_fit_a_frozen_one(worker, tiny_checkpoint, tmp_path):
    frozen = Worker(tiny_checkpoint, freeze_vision=True, allowed_roots=[str(tmp_path)])
    save(worker, tmp_path / "state")
    assert "does not train" in refused("checkpoint_invalid", restore, frozen, tmp_path / "state")


@pytest.mark.parametrize("verb", ["save", "restore", "export"])
def test_paths_outside_the_allowed_folders_are_refused(tiny_checkpoint, tmp_path, monkeypatch, verb):
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside")
    worker = Worker(tiny_checkpoint, allowed_roots=[str(tmp_path / "inside")])
    method = getattr(worker.engine, verb)
    more = {"dtype": "source"} if verb == "export" else {}
    for path in (
        str(tmp_path / "outside"),
        str(tmp_path / "inside" / ".." / "outside" / "x"),
        str(tmp_path / "inside" / "link" / "x"),
        str(tmp_path / "inside2"),
        "inside",
    ):
        assert "allowed" in refused("path_not_allowed", method, {"path": path, **more}, {}, worker.context)
    # Where the machine's own user allows less than the control plane asks for.
    monkeypatch.setenv(ALLOWED, json.dumps([str(tmp_path / "inside" / "own")]))
    path = str(tmp_path / "inside" / "other")
    assert "--allow" in refused("path_not_allowed", method, {"path": path, **more}, {}, worker.context)
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_allowed_path_is_resolved(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert allowed_path(str(tmp_path / "root" / "x"), [str(tmp_path / "root")]) == tmp_path / "real" / "x"


def test_a_full_disk_leaves_the_old_state_alone(worker, tmp_path):
    save(worker, tmp_path / "state")
    before = {file.name: file.read_bytes() for file in (tmp_path / "state").iterdir()}
    worker.step(worker.part(seed=2), batch_id="2")
    with largest_file(1_000_000):  # weights fit, the optimizer's state does not
        message = refused("write_failed", save, worker, tmp_path / "state")
    assert "cannot write" in message
    assert {file.name: file.read_bytes() for file in (tmp_path / "state").iterdir()} == before


def test_saving_needs_an_existing_folder(worker, tmp_path):
    refused("bad_argument", worker.engine.save, {"path": str(tmp_path / "absent")}, {}, worker.context)


def test_an_exported_model_gives_exactly_the_same_logits(worker, tmp_path):
    export(worker, tmp_path / "model")
    loaded = worker.engine._session.loaded
    fresh = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", dtype="auto").eval()
    assert fresh.dtype == torch.float32
    part = worker.part()
    for keys, prompt, (completion, *_) in zip(part.keys, part.prompts, part.completions, strict=True):
        with torch.no_grad():
            found, expected = (
                plain_logprobs(model, loaded, keys, prompt, completion, 1.0) for model in (fresh, loaded.model)
            )
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_exported_files_may_be_read_by_whom_the_umask_allows(worker, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        export(worker, tmp_path / "model")
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "model").iterdir()}
    assert "model.safetensors" in modes
    assert set(modes.values()) == {mode}


def test_an_exported_folder_is_a_checkpoint_like_the_one_loaded(worker, tiny_checkpoint, tmp_path):
    export(worker, tmp_path / "model")
    source = {file.name: file for file in tiny_checkpoint.iterdir()}
    exported = {file.name: file for file in (tmp_path / "model").iterdir()}
    assert exported.keys() == source.keys()
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]
    for name in source.keys() - {"config.json", "model.safetensors"}:
        assert exported[name].read_bytes() == source[name].read_bytes()
    config, expected = (json.loads(files["config.json"].read_text()) for files in (exported, source))
    for part in ("text_config", "vision_config"):
        assert config[part].pop("dtype") == "float32"  # transformers notes it in the parts as well
    assert config == expected
    names = load_file(exported["model.safetensors"]).keys()
    assert names == load_file(source["model.safetensors"]).keys()
    assert {name.split(".")[0] for name in names} == {"model", "visual"}  # as released checkpoints have it

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.chat_template == worker.engine._session.loaded.chat_template
    again = load_model(str(tmp_path / "model"), device="cpu", torch_dtype="float32")
    (group, *_) = groups_of(worker.part())
    with torch.no_grad():
        pair = [scores_of(one, group).logprobs for one in (again, worker.engine._session.loaded)]
    assert torch.equal(*pair)


@pytest.mark.parametrize("train", [True, False])
def test_an_export_in_bfloat16_says_so_and_holds_rounded_weights(tiny_checkpoint, tmp_path, train):
    worker = Worker(tiny_checkpoint, train=train, allowed_roots=[str(tmp_path)])
    export(worker, tmp_path / "model", "bfloat16")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["dtype"] == config["text_config"]["dtype"] == config["vision_config"]["dtype"] == "bfloat16"
    fresh = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", dtype="auto")
    for (name, found), weight in zip(fresh.named_parameters(), worker.model.parameters(), strict=True):
        assert found.dtype == torch.bfloat16, name
        assert torch.equal(found, weight.bfloat16()), name
    assert worker.model.dtype == torch.float32
    again = load_model(str(tmp_path / "model"), device="cpu", torch_dtype="float32")
    assert again.source_dtype == torch.bfloat16


def test_an_export_that_fails_leaves_nothing(worker, tmp_path):
    with largest_file(100_000):
        refused("write_failed", export, worker, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    export(worker, tmp_path / "model")
    assert "exists already" in refused("bad_argument", export, worker, tmp_path / "model")
    refused("bad_argument", export, worker, tmp_path / "absent" / "model")


def test_what_an_interrupted_export_left_is_replaced(worker, tmp_path):
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "half.bin").write_bytes(b"x")
    export(worker, tmp_path / "model")
    assert not (tmp_path / "model" / "half.bin").exists()
    assert not (tmp_path / "model.partial").exists()
