"""The self-check of a model load: silent where all is well, and heard where it is not."""

from __future__ import annotations

import pytest

from thurstone_runtime import attention, self_check
from thurstone_runtime.attention import PackedLayout
from thurstone_runtime.errors import EngineError
from thurstone_runtime.families import load_model
from thurstone_runtime.kv_cache import DecodeLayout
from training_task import Worker


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_silent_where_both_ways_agree(tiny_checkpoint, context, dtype, kernel):
    loaded = load_model(str(tiny_checkpoint), device="cpu", torch_dtype=dtype, attention=kernel)
    assert self_check.packing_warning(loaded, context) is None


def test_a_packed_row_that_sees_wrongly_falls_back_to_padded_rows(tiny_checkpoint, monkeypatch):
    right = Worker(tiny_checkpoint)
    part = right.part(keys=("a", "b"))
    expected, _ = right.forward_backward(part)

    attend = attention.PackedLayout.attend

    def blind(self, layer, query, key, value, scale):
        """Completions see no prompt."""
        if type(self) is not PackedLayout:
            return attend(self, layer, query, key, value, scale)
        blocks = tuple(block for block in self.blocks if block.causal)
        return attend(PackedLayout(blocks), layer, query, key, value, scale)

    monkeypatch.setattr(attention.PackedLayout, "attend", blind)
    wrong = Worker(tiny_checkpoint)
    (warning,) = wrong.description["warnings"]
    assert "packed rows disagree with padded ones" in warning
    found, _ = wrong.forward_backward(part)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5, abs=1e-8)


def test_sampling_that_sees_wrongly_is_refused(tiny_checkpoint, context, monkeypatch):
    loaded = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="float32")
    attend = DecodeLayout.attend

    def swapped(self, layer, query, key, value, scale):
        return attend(self, layer, query, value, key, scale)

    monkeypatch.setattr(DecodeLayout, "attend", swapped)
    with pytest.raises(EngineError, match="sampling disagrees with the model's own forward") as failure:
        self_check.packing_warning(loaded, context)
    assert failure.value.code == "attention_unavailable"
