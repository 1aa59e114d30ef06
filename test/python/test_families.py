"""Loading a checkpoint: what it says is reported, what cannot be honoured is refused, the forward is the model's."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GenerationConfig, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from thurstone_runtime.errors import EngineError
from thurstone_runtime.families import load_model
from thurstone_runtime.families.loading import (
    choose_attention,
    choose_dtype,
    end_token_ids,
    read_image_constants,
    take_device,
)


def changed_copy(source: Path, target: Path, file: str, **changes: Any) -> Path:
    """A copy of a checkpoint with some fields of one JSON file set, or removed where the value is None."""
    shutil.copytree(source, target)
    content = json.loads((target / file).read_text())
    for key, value in changes.items():
        content.pop(key, None)
        if value is not None:
            content[key] = value
    (target / file).write_text(json.dumps(content))
    return target


def image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


def test_reports_what_the_checkpoint_says(loaded: Any) -> None:
    assert loaded.family.name == "qwen2_5_vl"
    assert loaded.family.image_token_id == 506
    assert loaded.eos_token_ids == (500, 502)
    assert (loaded.end_of_turn_id, loaded.pad_token_id) == (502, 500)
    assert (loaded.vocab_size, loaded.max_position_embeddings) == (512, 32_768)
    assert (loaded.compute_dtype, loaded.source_dtype, loaded.attention) == (torch.float32, torch.float32, "sdpa")
    constants = loaded.family.image_constants
    assert (constants.patch_size, constants.merge_size, constants.temporal_patch_size) == (14, 2, 2)
    assert (constants.min_pixels, constants.max_pixels) == (3136, 1_003_520)
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_training_keeps_float32_weights_and_computes_in_the_given_type(tiny_checkpoint: Path) -> None:
    trained = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="bfloat16", train=True, max_pixels=50_000)
    assert {parameter.dtype for parameter in trained.model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in trained.model.parameters())
    assert trained.family.image_constants.max_pixels == 50_000
    with trained.autocast():
        assert trained.family.head(trained.model, torch.zeros(1, 64)).dtype == torch.bfloat16
    frozen = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="bfloat16")
    assert {parameter.dtype for parameter in frozen.model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("frozen", [False, True])
def test_without_weights_a_model_is_the_same_but_for_its_memory(tiny_checkpoint: Path, frozen: bool) -> None:
    settings: dict[str, Any] = {"device": "cpu", "torch_dtype": "bfloat16", "train": True, "frozen": frozen}
    whole, hollow = (load_model(str(tiny_checkpoint), **settings, weights=where) for where in ("memory", "absent"))

    def parameters(model: nn.Module) -> list[tuple[str, torch.Size, torch.dtype, bool]]:
        named = model.named_parameters(remove_duplicate=False)
        return [(name, one.shape, one.dtype, one.requires_grad) for name, one in named]

    assert parameters(hollow.model) == parameters(whole.model)
    assert len(list(hollow.model.parameters())) == len(list(whole.model.parameters()))
    assert {name: one.shape for name, one in hollow.model.named_buffers()} == {
        name: one.shape for name, one in whole.model.named_buffers()
    }
    assert not any(tensor.is_meta for tensor in (*hollow.model.parameters(), *hollow.model.buffers()))
    same = [field.name for field in dataclasses.fields(whole) if field.name not in ("model", "tokenizer", "family")]
    assert {name: getattr(hollow, name) for name in same} == {name: getattr(whole, name) for name in same}
    assert hollow.model.config.to_dict() == whole.model.config.to_dict()
    for one in hollow.model.parameters():
        assert one.untyped_storage().nbytes() == one.dtype.itemsize
        if one.numel() > 1:
            with pytest.raises(RuntimeError, match="single memory location"):
                one.data.add_(1)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_forward_equals_the_models_own(tiny_checkpoint: Path, attention: str) -> None:
    fresh = load_model(str(tiny_checkpoint), device="cpu", attention=attention)
    family, model = fresh.family, fresh.model
    patches = [family.patchify(image(56, 84)), family.patchify(image(28, 140, seed=1))]
    grids = [[patches[0].grid], [patches[1].grid]]
    marker = family.image_token_id
    ids_BL = torch.tensor([[3, *[marker] * 6, 4, 5, 6], [7, *[marker] * 5, 8, 9, 0, 0]])
    mask_BL = torch.tensor([[1] * 10, [1] * 8 + [0] * 2])
    with torch.no_grad():
        expected = model(
            input_ids=ids_BL,
            attention_mask=mask_BL,
            pixel_values=torch.cat([each.values for each in patches]),
            image_grid_thw=torch.tensor([[1, *each.grid] for each in patches]),
            mm_token_type_ids=(ids_BL == marker).int(),
        ).logits
        features = family.encode_images(model, patches)
        positions_3BL, _ = family.positions(ids_BL, grids, mask_BL)
        hidden = family.forward_hidden(model, ids_BL, positions_3BL, image_features=features)
    assert [tuple(feature.shape) for feature in features] == [(6, 64), (5, 64)]
    seen = mask_BL.bool()
    assert torch.allclose(family.head(model, hidden)[seen], expected[seen], atol=1e-5)


def test_images_of_one_pass_do_not_see_each_other(lively: Any) -> None:
    family, model = lively.family, lively.model
    patches = [family.patchify(image(112, 140)), family.patchify(image(56, 56, seed=1))]
    with torch.no_grad():
        together = family.encode_images(model, patches)
        alone = [family.encode_images(model, [each])[0] for each in patches]
    for first, second in zip(together, alone, strict=True):
        assert torch.allclose(first, second, atol=1e-10)


def test_gradients_reach_the_vision_tower_through_features(tiny_checkpoint: Path) -> None:
    trained = load_model(str(tiny_checkpoint), device="cpu", train=True)
    family, model = trained.family, trained.model
    patches = family.patchify(image(28, 28))
    ids_BL = torch.tensor([[1, family.image_token_id, 2]])
    positions_3BL, _ = family.positions(ids_BL, [[patches.grid]])
    hidden = family.forward_hidden(model, ids_BL, positions_3BL, image_features=family.encode_images(model, [patches]))
    family.head(model, hidden).logsumexp(-1).sum().backward()
    tower = family.vision_parameters(model)
    assert sum(parameter.numel() for parameter in tower) == sum(
        parameter.numel() for name, parameter in model.named_parameters() if ".visual." in name
    )
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in tower if parameter.ndim > 1
    )


def test_qwen2_vl_runs_on_the_same_code(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": 512,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
        },
        image_token_id=506,
        video_token_id=507,
        vision_start_token_id=503,
        vision_end_token_id=504,
    )
    folder = tmp_path / "qwen2_vl"
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "preprocessor_config.json"):
        shutil.copy(tiny_checkpoint / name, folder / name)
    older = load_model(str(folder), device="cpu")
    family, model = older.family, older.model
    patches = family.patchify(image(56, 56))
    ids_BL = torch.tensor([[1, *[506] * 4, 2, 3]])
    with torch.no_grad():
        expected = model(
            input_ids=ids_BL,
            pixel_values=patches.values,
            image_grid_thw=torch.tensor([[1, *patches.grid]]),
            mm_token_type_ids=(ids_BL == 506).int(),
        ).logits
        positions_3BL, _ = family.positions(ids_BL, [[patches.grid]])
        features = family.encode_images(model, [patches])
        ours = family.head(model, family.forward_hidden(model, ids_BL, positions_3BL, image_features=features))
    assert family.name == "qwen2_vl"
    assert torch.allclose(ours, expected, atol=1e-5)


def test_refuses_another_family_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(EngineError, match='model_type "llama"') as caught:
        load_model(str(tmp_path), device="cpu")
    assert caught.value.code == "unsupported_model"


def test_refuses_weights_that_do_not_fill_the_model(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "holes"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(name for name in weights if "q_proj.weight" in name))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="1 weights are missing") as caught:
        load_model(str(folder), device="cpu")
    assert caught.value.code == "checkpoint_invalid"


def test_refuses_weights_of_another_shape(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    text = json.loads((tiny_checkpoint / "config.json").read_text())["text_config"]
    changed_copy(tiny_checkpoint, folder, "config.json", text_config={**text, "intermediate_size": 96})
    with pytest.raises(EngineError, match="6 weights are missing or have another shape") as caught:
        load_model(str(folder), device="cpu")
    assert caught.value.code == "checkpoint_invalid"


def test_refuses_weights_that_are_cut_off(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "model.safetensors").write_bytes((tiny_checkpoint / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(EngineError, match="cannot read the weights") as caught:
        load_model(str(folder), device="cpu")
    assert caught.value.code == "checkpoint_invalid"


def test_refuses_pickled_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_checkpoint, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EngineError, match="cannot read the weights") as caught:
        load_model(str(folder), device="cpu")
    assert caught.value.code == "checkpoint_invalid"


@pytest.mark.parametrize("file", ["tokenizer.json", "preprocessor_config.json", "config.json"])
def test_names_the_part_that_cannot_be_read(tiny_checkpoint: Path, tmp_path: Path, file: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / file).write_text("{ not json")
    with pytest.raises(EngineError, match=f"cannot read the {file.split('.')[0].split('_')[0]}") as caught:
        load_model(str(folder), device="cpu")
    assert caught.value.code == "checkpoint_invalid"


def test_a_folder_that_is_not_there_is_checkpoint_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError) as caught:
        load_model(str(tmp_path / "nowhere"), device="cpu")
    assert caught.value.code == "checkpoint_invalid"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"do_normalize": False}, "unsupported_model"),
        ({"resample": 2}, "unsupported_model"),
        ({"image_mean": [0.5]}, "checkpoint_invalid"),
        ({"patch_size": 16}, "checkpoint_invalid"),
    ],
)
def test_refuses_a_preparation_it_does_not_do(
    tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    folder = changed_copy(tiny_checkpoint, tmp_path / "copy", "preprocessor_config.json", **changes)
    with pytest.raises(EngineError) as caught:
        load_model(str(folder), device="cpu")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("processor", "given", "expected"),
    [
        ({"min_pixels": 100, "max_pixels": 900}, {}, (100, 900)),
        ({"size": {"shortest_edge": 200, "longest_edge": 800}}, {}, (200, 800)),
        ({"min_pixels": 100, "size": {"shortest_edge": 200, "longest_edge": 800}}, {}, (100, 800)),
        ({"min_pixels": 100, "max_pixels": 900}, {"min_pixels": 3, "max_pixels": 7}, (3, 7)),
        ({}, {}, (3136, 1_003_520)),
    ],
)
def test_reads_pixel_limits_where_checkpoints_keep_them(
    processor: dict[str, Any], given: dict[str, int], expected: tuple[int, int]
) -> None:
    constants = read_image_constants(processor, **given)
    assert (constants.min_pixels, constants.max_pixels) == expected


def test_refuses_pixel_limits_that_exclude_everything() -> None:
    with pytest.raises(EngineError, match="min_pixels 900 is larger than max_pixels 100"):
        read_image_constants({"max_pixels": 100}, min_pixels=900)


@pytest.mark.parametrize(
    ("name", "device", "dtype", "installed", "expected"),
    [
        ("auto", "cuda", torch.bfloat16, True, "flash_attention_2"),
        ("auto", "cuda", torch.bfloat16, False, "sdpa"),
        ("auto", "cuda", torch.float32, True, "sdpa"),
        ("auto", "cpu", torch.bfloat16, True, "sdpa"),
        ("flash_attention_2", "cuda", torch.bfloat16, True, "flash_attention_2"),
        ("sdpa", "cuda", torch.bfloat16, True, "sdpa"),
        ("eager", "cpu", torch.float32, False, "eager"),
    ],
)
def test_chooses_attention(name: str, device: str, dtype: torch.dtype, installed: bool, expected: str) -> None:
    assert choose_attention(name, device_type=device, dtype=dtype, flash_installed=installed) == expected


@pytest.mark.parametrize(
    ("device", "dtype", "installed"),
    [("cuda", torch.bfloat16, False), ("cpu", torch.bfloat16, True), ("cuda", torch.float32, True)],
)
def test_never_replaces_flash_attention_in_silence(device: str, dtype: torch.dtype, installed: bool) -> None:
    with pytest.raises(EngineError, match="flash_attention_2 needs") as caught:
        choose_attention("flash_attention_2", device_type=device, dtype=dtype, flash_installed=installed)
    assert caught.value.code == "attention_unavailable"


@pytest.mark.parametrize(
    ("name", "device", "source", "expected"),
    [
        ("auto", "cuda", torch.bfloat16, torch.bfloat16),
        ("auto", "cuda", torch.float16, torch.bfloat16),
        ("auto", "cuda", torch.float32, torch.float32),
        ("auto", "cpu", torch.bfloat16, torch.float32),
        ("bfloat16", "cpu", torch.float32, torch.bfloat16),
        ("float32", "cuda", torch.bfloat16, torch.float32),
    ],
)
def test_chooses_the_compute_type(name: str, device: str, source: torch.dtype, expected: torch.dtype) -> None:
    assert choose_dtype(name, device, source) == expected


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: choose_dtype("float16", "cpu", torch.float32), "bad_argument"),
        (
            lambda: choose_attention("flex", device_type="cpu", dtype=torch.float32, flash_installed=False),
            "bad_argument",
        ),
        (lambda: take_device("tpu"), "bad_argument"),
        (lambda: take_device("cuda:x"), "bad_argument"),
        (lambda: take_device("cuda:99"), "device_unavailable"),
    ],
)
def test_refuses_choices_it_does_not_know(call: Any, code: str) -> None:
    with pytest.raises(EngineError) as caught:
        call()
    assert caught.value.code == code


def test_one_of_several_devices_is_the_current_one_before_anything_touches_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made_current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "set_device", made_current.append)
    for name in ("cpu", "cuda", "cuda:3"):
        with pytest.raises(EngineError) as caught:
            load_model(str(tmp_path), device=name)
        assert caught.value.code == "checkpoint_invalid"
    assert made_current == [torch.device("cuda:3")]


def test_collects_every_end_token(loaded: Any) -> None:
    assert end_token_ids(GenerationConfig(eos_token_id=7), loaded.tokenizer) == (7, 502)
    assert end_token_ids(GenerationConfig(eos_token_id=[9, 502]), loaded.tokenizer) == (9, 502)
    assert end_token_ids(None, loaded.tokenizer) == (502,)
