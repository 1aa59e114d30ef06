"""A model to which weights are lent draws what the model itself draws, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from test_generation import mixed_prompts
from thurstone_runtime.families import load_model
from thurstone_runtime.generation import GenerateOptions, generate
from thurstone_runtime.lora import LoraSettings, attach_new, lora_layers
from thurstone_runtime.strategies.lent import LentModel
from thurstone_runtime.vision import VisionTower


@pytest.mark.parametrize("tied", [False, True])
def test_draws_the_same_tokens_from_half_the_bytes(tiny_checkpoint: Any, context: Any, tied: bool) -> None:
    trained = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="bfloat16", train=True)
    embedding = trained.model.get_input_embeddings()
    trained.model.lm_head.weight = embedding.weight if tied else torch.nn.Parameter(embedding.weight.flip(0).clone())
    with torch.no_grad():
        for parameter in trained.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
    prompts, options = mixed_prompts(trained), GenerateOptions(2, 8)
    expected = generate(trained, VisionTower(trained), prompts, options, context)

    weights = dict(trained.model.named_parameters())
    asked = []

    def whole(name: str, dtype: torch.dtype) -> torch.Tensor:
        asked.append((name, dtype))
        return weights[name].detach().to(dtype)

    lending = LentModel(trained)
    tower = VisionTower(trained)
    with lending.lend(whole) as loaded:
        found = generate(loaded, tower.within(loaded), prompts, options, context)
        lent = {name: parameter.dtype for name, parameter in loaded.model.named_parameters()}
        assert lent["model.language_model.embed_tokens.weight"] == torch.float32
        assert lent["lm_head.weight"] == torch.bfloat16
        assert lent["model.language_model.norm.weight"] == torch.float32
        assert lent["model.language_model.layers.0.mlp.up_proj.weight"] == torch.bfloat16
    assert found.tokens.tolist() == expected.tokens.tolist()
    assert found.logprobs.tolist() == expected.logprobs.tolist()
    assert len(asked) == len(set(asked)) == len(weights) + tied
    assert all(parameter.is_meta for parameter in loaded.model.parameters())


def test_an_adapter_is_lent_as_it_is(tiny_checkpoint: Any, context: Any) -> None:
    trained = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="bfloat16", train=True, frozen=True)
    attach_new(trained, LoraSettings(seed=1, r=4, use_dora=True))
    for layer in lora_layers(trained.model).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.3)
    prompts, options = mixed_prompts(trained), GenerateOptions(2, 8)
    expected = generate(trained, VisionTower(trained), prompts, options, context)
    weights = dict(trained.model.named_parameters())
    with LentModel(trained).lend(lambda name, dtype: weights[name].detach().to(dtype)) as loaded:
        found = generate(loaded, VisionTower(loaded), prompts, options, context)
        assert all(p.dtype == torch.float32 for name, p in loaded.model.named_parameters() if ".lora_" in name)
    assert found.tokens.tolist() == expected.tokens.tolist()
    assert found.logprobs.tolist() == expected.logprobs.tolist()
