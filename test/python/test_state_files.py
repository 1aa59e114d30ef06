"""Files of a training state: what any set of tensors is written as, the library reads back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from thurstone_runtime.errors import EngineError
from thurstone_runtime.state_files import state_contents, write_state
from thurstone_runtime.strategies import Held

TYPES = [torch.float32, torch.bfloat16, torch.uint8]


def held(tensors: dict[str, torch.Tensor]) -> dict[str, Held]:
    """As a strategy hands them out."""
    return {name: Held.here(tensor) for name, tensor in tensors.items()}


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=6),
        st.tuples(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(TYPES)),
        max_size=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_the_safetensors_writer_is_read_back_by_the_library(tmp_path_factory, shapes):
    folder = tmp_path_factory.mktemp("state")
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: (200 * torch.rand(shape, generator=generator)).to(dtype) for name, (shape, dtype) in shapes.items()
    }
    write_state(folder, state_contents(held(tensors), {}, {"step": 0}))
    found = load_file(folder / "weights.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_errors_of_other_kinds_pass_through_the_writer(tmp_path):
    def stop() -> None:
        raise EngineError("bad_argument", "stop")

    with pytest.raises(EngineError, match="stop"):
        write_state(tmp_path, state_contents(held({"a": torch.ones(2)}), {}, {"step": 0}), stop)
    assert list(tmp_path.iterdir()) == []
