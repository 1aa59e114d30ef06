"""Loading a model, and what can be asked without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from thurstone_runtime.engine import Engine
from training_task import Worker, load_parameters, picture, refused


@pytest.fixture
def worker(tiny_checkpoint: Path) -> Worker:
    """A fresh model in training, with a reference."""
    return Worker(tiny_checkpoint, reference=True)


def test_load_describes_what_it_opened(tiny_checkpoint):
    worker = Worker(tiny_checkpoint, freeze_vision=True)
    found = worker.description
    model = worker.model
    vision = sum(parameter.numel() for parameter in model.model.visual.parameters())
    total = sum(parameter.numel() for parameter in model.parameters())
    assert found["parameters"] == {"total": total, "trainable": total - vision}
    assert (found["family"], found["device"], found["dtype"], found["attention"]) == (
        "qwen2_5_vl",
        "cpu",
        "float32",
        "sdpa",
    )
    assert found["image"]["patch_size"] == 14
    assert found["image_token_id"] == model.config.image_token_id
    assert found["threads"] == 1
    assert found["policy_version"] == 0
    assert found["versions"]["torch"] == torch.__version__
    assert "already" in refused(
        "already_loaded", worker.engine.load, load_parameters(tiny_checkpoint), {}, worker.context
    )


def test_describe_speaks_of_memory_before_and_after_load(worker):
    empty, _ = Engine().describe({}, {}, worker.context)
    assert empty["loaded"] is False
    full, _ = worker.engine.describe({}, {}, worker.context)
    assert full["loaded"] is True
    assert 100e6 < full["memory"]["rss"] <= full["memory"]["peak_rss"]
    assert full["image_cache"]["count"] == 3
    assert full["image_cache"]["bytes"] == sum(picture(key).nbytes for key in "abc")


@pytest.mark.parametrize(
    "method",
    ["images", "encode", "decode", "tokenize", "generate", "logprobs", "forward_backward", "optim_step", "save"],
)
def test_nothing_works_before_load(method, context):
    refused("not_loaded", getattr(Engine(), method), {}, {}, context)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trian": True}, 'load has no parameter "trian"'),
        ({"train": 1}, "train must be true or false; it is 1"),
        ({"threads": -1}, "threads must be a whole number from 0; it is -1"),
        ({"threads": 1.5}, "threads must be a whole number from 0"),
        ({"strategy": "zero"}, "strategy must be one of single, ddp, fsdp2"),
        ({"strategy": "fsdp2"}, "do not go together"),
        ({"optimizer": {"beta1": 0.9}}, "[beta2] is a number from 0"),
        ({"allowed_roots": "/tmp"}, "allowed_roots must be a list"),
        ({"model": None}, "model must be a string that is not empty"),
    ],
)
def test_wrong_parameters_are_refused_by_name(tiny_checkpoint, context, changes, message):
    found = refused("bad_argument", Engine().load, load_parameters(tiny_checkpoint, **changes), {}, context)
    assert message in found
