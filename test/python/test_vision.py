"""A frozen vision tower's features: the same bits however they are come by, shared, and bounded."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from conftest import OpenContext
from thurstone_runtime.errors import CancelledError
from thurstone_runtime.images import Picture
from thurstone_runtime.vision import VisionTower
from training_task import Worker, picture, refused


def pictures(keys: str) -> list[Picture]:
    return [Picture(key, torch.from_numpy(picture(key))) for key in keys]


def encoded(tower: VisionTower, keys: str) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {key: found.features.clone() for key, found in tower.encode(pictures(keys)).pictures.items()}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch, loaded: Any) -> list[int]:
    """How many pictures went through the tower in each of its passes."""
    seen: list[int] = []
    encode = type(loaded.family).encode_images

    def counting(self: Any, model: Any, images: Any) -> Any:
        seen.append(len(images))
        return encode(self, model, images)

    monkeypatch.setattr(type(loaded.family), "encode_images", counting)
    return seen


def test_kept_features_have_the_bits_of_new_ones_in_any_company(loaded, passes):
    tower = VisionTower(loaded, kept_bytes=2**20)
    first = encoded(tower, "abac")
    assert passes == [1, 1, 1]
    again = encoded(tower, "cb")
    assert passes == [1, 1, 1]
    fresh = encoded(VisionTower(loaded, kept_bytes=0), "cba")
    for key, features in first.items():
        assert torch.equal(fresh[key], features)
        assert key not in again or torch.equal(again[key], features)


def test_a_tower_in_training_keeps_nothing_and_takes_all_at_once(loaded, passes):
    tower = VisionTower(loaded)
    first = encoded(tower, "abac")
    encoded(tower, "ab")
    assert passes == [3, 2]
    alone = encoded(VisionTower(loaded, kept_bytes=0), "abc")
    for key, features in first.items():
        assert torch.allclose(features, alone[key], rtol=0, atol=1e-6)


def test_the_least_recently_used_features_leave_first(loaded, passes):
    sizes = {key: features.nbytes for key, features in encoded(VisionTower(loaded), "abc").items()}
    passes.clear()
    tower = VisionTower(loaded, kept_bytes=sizes["a"] + sizes["c"])
    encoded(tower, "ab")
    encoded(tower, "a")
    encoded(tower, "c")
    assert passes == [1, 1, 1]
    encoded(tower, "a")
    assert passes == [1, 1, 1]
    encoded(tower, "b")
    assert passes == [1, 1, 1, 1]


def test_a_picture_larger_than_the_bound_is_encoded_each_time(loaded, passes):
    tower = VisionTower(loaded, kept_bytes=1)
    assert torch.equal(encoded(tower, "a")["a"], encoded(tower, "a")["a"])
    assert passes == [1, 1]


def test_policy_sampling_and_reference_share_a_frozen_towers_features_across_steps(tiny_checkpoint, passes):
    worker = Worker(tiny_checkpoint, freeze_vision=True, reference=True)
    passes.clear()  # of the self-check
    part = worker.part(keys=("a", "", "bc", "a"))
    worker.step(part, batch_id="first", beta=0.1)
    worker.logprobs(part)
    worker.logprobs(part, of="reference")
    worker.step(part, batch_id="second", beta=0.1)
    assert passes == [1, 1, 1]
    session = worker.engine._session
    shared = {id(parameter) for parameter in session.loaded.family.vision_parameters(worker.model)}
    copied = session.scorer.reference.loaded.model
    assert {id(parameter) for parameter in session.loaded.family.vision_parameters(copied)} == shared
    assert not shared & {id(parameter) for parameter in copied.model.language_model.parameters()}


@pytest.mark.parametrize("freeze_vision", [False, True])
@pytest.mark.parametrize("torch_dtype", ["float32", "bfloat16"])
def test_the_kl_starts_at_zero(tiny_checkpoint, freeze_vision, torch_dtype):
    worker = Worker(tiny_checkpoint, freeze_vision=freeze_vision, reference=True, torch_dtype=torch_dtype)
    sums, _ = worker.forward_backward(worker.part(), loss={"beta": 0.1})
    assert sums["kl"] == 0
    assert worker.model.dtype == torch.float32


def test_features_of_a_tower_in_training_follow_its_weights(tiny_checkpoint):
    worker = Worker(tiny_checkpoint)
    part = worker.part(keys=("a",))
    before = worker.logprobs(part)["logprobs"]
    with torch.no_grad():
        for parameter in worker.engine._session.loaded.family.vision_parameters(worker.model):
            parameter.mul_(1.5)
    assert np.abs(worker.logprobs(part)["logprobs"] - before).max() > 1e-4


def test_a_state_with_another_tower_does_not_fit_a_frozen_one(tiny_checkpoint, tmp_path):
    moved = Worker(tiny_checkpoint, allowed_roots=[str(tmp_path)])
    moved.step(moved.part(keys=("a",)))
    (tmp_path / "state").mkdir()
    moved.engine.save({"path": str(tmp_path / "state")}, {}, moved.context)
    frozen = Worker(tiny_checkpoint, allowed_roots=[str(tmp_path)], freeze_vision=True)
    before = frozen.bits()
    refused("checkpoint_invalid", frozen.engine.restore, {"path": str(tmp_path / "state")}, {}, frozen.context)
    assert frozen.bits() == before


@dataclasses.dataclass
class Impatient(OpenContext):
    """Cancels after so many signs of life."""

    allowed: int

    def __post_init__(self) -> None:
        super().__init__()

    def check_cancelled(self) -> None:
        """Raises once there were enough."""
        if self.ticks >= self.allowed:
            raise CancelledError


@pytest.mark.parametrize("phase", ["forward", "backward"])
@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_a_part_can_be_cancelled_between_layers(tiny_checkpoint, phase, gradient_checkpointing):
    worker = Worker(tiny_checkpoint, gradient_checkpointing=gradient_checkpointing)
    part = worker.part(keys=("a",))
    counting = OpenContext()
    worker.forward_backward(part, context=counting)
    assert counting.ticks >= 9  # two layers each in tower and text, forward and back, and the part itself
    for allowed in range(1, counting.ticks - 1):
        impatient = Impatient(allowed)
        with pytest.raises(CancelledError):
            worker.forward_backward(part, context=impatient)
        assert worker.gradients() == {}
        if impatient.phases[-1] == phase:
            return
    pytest.fail(f"never cancelled in {phase}")
