"""Tensors of the wire as numpy arrays and torch tensors, and ragged text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from thurstone_runtime.errors import EngineError, WireError
from thurstone_runtime.tensors import (
    NUMPY_DTYPES,
    WireTensor,
    from_numpy,
    from_torch,
    tensors_to_texts,
    texts_to_tensors,
    to_torch,
    to_wire,
)

TORCH_DTYPES = {
    "bool": torch.bool,
    "u8": torch.uint8,
    "i8": torch.int8,
    "i16": torch.int16,
    "i32": torch.int32,
    "i64": torch.int64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
}

arrays = st.sampled_from(sorted(NUMPY_DTYPES)).flatmap(
    lambda name: hnp.arrays(NUMPY_DTYPES[name], hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)


@given(arrays)
def test_an_array_comes_back_as_it_went(array: np.ndarray) -> None:
    wire = from_numpy(array)
    back = wire.to_numpy()
    assert wire.data.nbytes == array.nbytes
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(arrays)
def test_a_torch_tensor_has_the_same_type_shape_and_bytes(array: np.ndarray) -> None:
    wire = from_numpy(array)
    tensor = to_torch(wire.to_numpy())
    assert tensor.dtype == TORCH_DTYPES[wire.dtype] and tuple(tensor.shape) == array.shape
    again = from_torch(tensor)
    assert (again.dtype, again.shape, bytes(again.data)) == (wire.dtype, wire.shape, bytes(wire.data))


@given(arrays.filter(lambda array: array.ndim >= 2))
def test_a_transposed_or_sliced_array_travels_in_c_order(array: np.ndarray) -> None:
    for view in (array.T, array[::-1], array[..., ::2]):
        assert from_numpy(view).to_numpy().tobytes() == view.tobytes()
        assert from_numpy(view).shape == view.shape


def test_big_endian_arrays_are_turned_round() -> None:
    wire = from_numpy(np.array([1, 2, 3], ">i4"))
    assert (wire.dtype, bytes(wire.data)) == ("i32", np.array([1, 2, 3], "<i4").tobytes())


def test_bfloat16_travels_as_its_bits() -> None:
    tensor = torch.tensor([1.0, -2.0, float("inf")], dtype=torch.bfloat16)
    wire = from_torch(tensor)
    assert wire.dtype == "bf16"
    assert wire.to_numpy().tolist() == [0x3F80, 0xC000, 0x7F80]
    assert torch.equal(to_torch(wire.to_numpy()), tensor)


def test_contiguous_memory_is_shared_and_not_copied() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    view = from_numpy(array).to_numpy()
    tensor = to_torch(array)
    array[1, 2] = 40
    assert view[1, 2] == 40 and tensor[1, 2] == 40


def test_memory_that_cannot_be_written_is_copied_for_torch() -> None:
    tensor = to_torch(np.frombuffer(b"\x01\x02", np.uint8))
    tensor += 1
    assert tensor.tolist() == [2, 3]


def test_tensors_with_gradients_and_strides_can_be_returned() -> None:
    weight = torch.arange(6.0).reshape(2, 3).requires_grad_()
    assert to_wire(weight.T).to_numpy().tolist() == [[0, 3], [1, 4], [2, 5]]


def test_any_byte_but_zero_is_true() -> None:
    assert WireTensor("bool", (3,), memoryview(b"\x00\x01\xff")).to_numpy().tolist() == [False, True, True]


@pytest.mark.parametrize(
    "value",
    [
        np.array(["text"]),
        np.array([None]),
        np.zeros(1, np.complex64),
        np.zeros(1, np.uint32),
        [1, 2],
        torch.zeros(1).cfloat(),
    ],
)
def test_types_outside_the_table_are_refused(value: object) -> None:
    with pytest.raises(WireError) as caught:
        to_wire(value)
    assert caught.value.code == "TENSOR_DTYPE"


def test_a_shape_that_numpy_cannot_hold_is_refused_by_its_code() -> None:
    with pytest.raises(WireError) as caught:
        WireTensor("f32", (0, 2**53 - 1, 2**53 - 1), memoryview(b"")).to_numpy()
    assert caught.value.code == "TENSOR_SHAPE"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_come_back_as_they_went(texts: list[str]) -> None:
    tensors = texts_to_tensors(texts, "answer")
    assert tensors["answer_lengths"].tolist() == [len(text.encode()) for text in texts]
    assert tensors_to_texts(tensors, "answer") == texts


@pytest.mark.parametrize(
    ("joined", "lengths", "complaint"),
    [
        (np.zeros(3, np.uint8), np.array([1, 1], np.int32), "add up to the 3 bytes"),
        (np.zeros(1, np.uint8), np.array([2, -1], np.int32), "non-negative"),
        (np.zeros(2, np.int8), np.array([2], np.int32), "must be u8"),
        (np.zeros(2, np.uint8), np.array([2], np.int64), "i32"),
        (np.array([0xC3, 0xA9], np.uint8), np.array([1, 1], np.int32), "text 0 .* is not UTF-8"),
    ],
)
def test_texts_whose_parts_do_not_fit_are_refused(joined: np.ndarray, lengths: np.ndarray, complaint: str) -> None:
    with pytest.raises(EngineError, match=complaint):
        tensors_to_texts({"text": joined, "text_lengths": lengths})


def test_texts_need_both_tensors() -> None:
    with pytest.raises(EngineError, match="both needed"):
        tensors_to_texts({"text": np.zeros(0, np.uint8)})
