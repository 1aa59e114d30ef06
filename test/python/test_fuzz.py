"""Whatever arrives, the decoder either reads a message or raises WireError, without taking memory on a promise."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thurstone_runtime.errors import WireError
from thurstone_runtime.protocol import MAX_HEADER_BYTES, SAFE_INTEGER, Message, decode, encode
from thurstone_runtime.tensors import NUMPY_DTYPES, WireTensor, from_numpy

MAGIC = b"TFM\x01"
FRAMES = Path(__file__).parents[1] / "contract" / "frames"
MANY = settings(max_examples=1000, deadline=None)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE_INTEGER, SAFE_INTEGER) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
anything = st.recursive(
    plain | st.binary(max_size=8) | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.integers(0, 9), inner, max_size=4),
    max_leaves=8,
)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
wire_tensors = st.builds(
    lambda dtype, values: from_numpy(np.array(values, np.uint8).view(NUMPY_DTYPES[dtype])),
    st.sampled_from(["bool", "u8", "i16", "f32", "f64"]),
    st.integers(0, 4).flatmap(lambda count: st.lists(st.sampled_from([0, 1]), min_size=8 * count, max_size=8 * count)),
)
messages = st.builds(
    Message,
    kind=st.sampled_from(["req", "res", "evt", "cancel", "hello", "bye"]),
    id=names,
    session=names,
    method=names,
    deadline=st.none() | st.integers(0, SAFE_INTEGER),
    params=st.dictionaries(texts, plain, max_size=5),
    tensors=st.dictionaries(names, wire_tensors, max_size=4),
)


def survives(frames: list[bytes]) -> None:
    try:
        message = decode(frames)
    except WireError as error:
        assert error.code.isupper()
        return
    for tensor in message.tensors.values():
        tensor.to_numpy()


def content(message: Message) -> tuple[object, ...]:
    def flat(tensor: WireTensor) -> tuple[object, ...]:
        return tensor.dtype, tensor.shape, bytes(tensor.data)

    tensors = {name: flat(tensor) for name, tensor in message.tensors.items()}
    return message.kind, message.id, message.session, message.method, message.deadline, message.params, tensors


@MANY
@given(st.lists(st.binary(max_size=80), max_size=6))
def test_random_frames_raise_only_wire_errors(frames: list[bytes]) -> None:
    survives(frames)


@MANY
@given(st.binary(max_size=200), st.lists(st.binary(max_size=16), max_size=3))
def test_random_headers_raise_only_wire_errors(header: bytes, tensors: list[bytes]) -> None:
    survives([MAGIC, header, *tensors])


@MANY
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "v": st.just([1, 0]) | anything,
            "t": st.sampled_from(["req", "err", "evt"]) | anything,
            "id": st.just("a") | anything,
            "s": st.just("s") | anything,
            "m": st.just("echo") | anything,
            "dl": anything,
            "p": anything,
            "e": anything,
            "x": anything
            | st.lists(
                st.fixed_dictionaries(
                    {
                        "n": st.just("a") | anything,
                        "d": st.sampled_from(sorted(NUMPY_DTYPES)) | anything,
                        "sh": st.lists(st.integers(-1, 5) | anything, max_size=9),
                        "f": st.integers(-1, 3) | anything,
                        "nb": st.integers(-1, 64) | anything,
                    }
                ),
                max_size=3,
            ),
        },
    ),
    st.lists(st.binary(max_size=64), max_size=3),
)
def test_headers_of_the_right_fields_and_any_values_raise_only_wire_errors(
    header: dict[str, object], tensors: list[bytes]
) -> None:
    survives([MAGIC, msgpack.packb(header), *tensors])


def golden_frames() -> list[list[bytes]]:
    read = []
    for path in sorted(FRAMES.glob("*.bin")):
        binary, frames, start = path.read_bytes(), [], 0
        while start < len(binary) and len(binary) < 4096:
            (length,) = struct.unpack_from("<I", binary, start)
            frames.append(binary[start + 4 : start + 4 + length])
            start += 4 + length
        if frames:
            read.append(frames)
    return read


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(golden_frames()), st.data())
def test_golden_messages_with_bytes_changed_cut_or_added_raise_only_wire_errors(
    frames: list[bytes], data: st.DataObject
) -> None:
    damaged = list(frames)
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(damaged) - 1))
        frame = bytearray(damaged[index])
        at = data.draw(st.integers(0, len(frame)))
        change = data.draw(st.sampled_from(["set", "cut", "insert", "repeat", "drop"]))
        if change == "set" and at < len(frame):
            frame[at] = data.draw(st.integers(0, 255))
        elif change == "cut":
            del frame[at:]
        elif change == "insert":
            frame[at:at] = data.draw(st.binary(min_size=1, max_size=6))
        damaged[index] = bytes(frame)
        if change == "repeat":
            damaged.insert(index, bytes(frame))
        elif change == "drop" and len(damaged) > 1:
            del damaged[index]
    survives(damaged)


@settings(max_examples=300, deadline=None)
@given(messages)
@example(Message("req", "a", "s", "echo", params={"largest": SAFE_INTEGER, "least": -SAFE_INTEGER}))
def test_every_message_comes_back_as_it_went(message: Message) -> None:
    assert content(decode(encode(message))) == content(message)


@pytest.mark.parametrize("marker", [b"\xdd", b"\xdf", b"\xdb", b"\xc6"], ids=["array", "map", "text", "binary"])
@pytest.mark.parametrize("claim", [2**31 - 1, 2**32 - 1, MAX_HEADER_BYTES - 100])
def test_a_claimed_length_takes_no_memory(marker: bytes, claim: int) -> None:
    inside = b"\x81\xa1p\x81\xa1a" + (marker + struct.pack(">I", claim)) * 1000
    frames = [MAGIC, inside + b"\xc0" * (MAX_HEADER_BYTES - len(inside))]
    tracemalloc.start()
    with pytest.raises(WireError):
        decode(frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MAX_HEADER_BYTES
