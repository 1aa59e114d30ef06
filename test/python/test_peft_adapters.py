"""Adapters that peft made score as peft's own model does, or are refused where peft changes the model's weights too."""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText

from training_task import Worker, configure_adapter, plain_logprobs, refused

# It warns of what is done here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

OWN: dict[str, Any] = {"r": 8, "lora_alpha": 32, "target_modules": ["v_proj", "down_proj"], "task_type": "CAUSAL_LM"}


def begun(checkpoint: Path, **options: Any) -> PeftModel:
    """An adapter of peft's, not trained yet."""
    torch.manual_seed(0)
    plain = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype="auto")
    return get_peft_model(plain, LoraConfig(**{**OWN, **options})).eval()


def trained(model: PeftModel) -> PeftModel:
    """The same with all of it moved, so that the adapter does something."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def difference(worker: Worker, model: Any) -> float:
    """The largest, of log-probabilities of a completion to a picture."""
    part, loaded = worker.part(keys=("a",), samples=1), worker.engine._session.loaded
    with torch.no_grad():
        expected = plain_logprobs(model, loaded, part.keys[0], part.prompts[0], part.completions[0][0], 1.0)
    return float(np.abs(worker.logprobs(part)["logprobs"] - expected.numpy()).max())


@pytest.mark.parametrize("beginning", [True, False, "gaussian", "eva", "orthogonal"])
def test_it_scores_as_peft_does_however_it_began(tiny_checkpoint, tmp_path, beginning):
    model = trained(begun(tiny_checkpoint, init_lora_weights=beginning))
    model.save_pretrained(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["init_lora_weights"] == beginning
    worker = Worker(tmp_path / "adapter", train=False)
    assert difference(worker, model) < 1e-5
    assert difference(Worker(tiny_checkpoint, train=False), model) > 1e-2


@pytest.mark.parametrize("beginning", ["pissa", "pissa_niter_2", "olora"])
def test_one_that_took_its_beginning_out_of_the_model_is_refused_until_peft_has_converted_it(
    tiny_checkpoint, tmp_path, beginning
):
    model = begun(tiny_checkpoint, init_lora_weights=beginning)
    # As peft documents it: the beginning is kept under a name that changes no model.
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "initial")
    model.peft_config["default"].init_lora_weights = beginning
    trained(model).save_pretrained(tmp_path / "adapter")
    message = refused("unsupported_model", Worker, tmp_path / "adapter", train=False)
    assert f'{tmp_path / "adapter" / "adapter_config.json"}: init_lora_weights is "{beginning}"' in message
    assert "save_pretrained with path_initial_model_for_weight_conversion" in message
    # Read as any other it would be another model.
    configure_adapter(tmp_path / "adapter", init_lora_weights=True)
    assert difference(Worker(tmp_path / "adapter", train=False), model) > 1e-2

    model.save_pretrained(tmp_path / "converted", path_initial_model_for_weight_conversion=str(tmp_path / "initial"))
    assert difference(Worker(tmp_path / "converted", train=False), model) < 1e-5


@pytest.mark.parametrize("beginning", ["corda", "loftq", "lora_ga", "mica", "PiSSA", "of another version", 3])
def test_other_beginnings_are_refused(tiny_checkpoint, tmp_path, beginning):
    begun(tiny_checkpoint).save_pretrained(tmp_path)
    configure_adapter(tmp_path, init_lora_weights=beginning)
    message = refused("unsupported_model", Worker, tmp_path, train=False)
    assert f"init_lora_weights is {json.dumps(beginning)}; adapters that began as one of null, true" in message


def test_one_of_the_vision_tower_is_scored_with_but_not_trained(tiny_checkpoint, tmp_path):
    model = begun(tiny_checkpoint, target_modules=["qkv", "q_proj"], init_lora_weights=False)
    model.save_pretrained(tmp_path)
    assert difference(Worker(tmp_path, train=False), model) < 1e-5
    message = refused("bad_argument", Worker, tmp_path, lora={"seed": 0})
    assert "model.visual.blocks.0.attn.qkv, which is not a linear layer of the language model" in message
