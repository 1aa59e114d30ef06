"""The decoder against the golden messages, and the encoder against the decoder."""

from __future__ import annotations

import base64
import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from thurstone_runtime.errors import WireError
from thurstone_runtime.protocol import MAX_HEADER_BYTES, MAX_TENSORS, Limits, Message, decode, encode
from thurstone_runtime.tensors import WireTensor, from_numpy

CONTRACT = Path(__file__).parents[1] / "contract"
FRAMES = CONTRACT / "frames"
CASES = sorted(path.stem for path in FRAMES.glob("*.json"))


def read_case(name: str) -> tuple[list[bytes], dict[str, Any]]:
    binary, frames, start = (FRAMES / f"{name}.bin").read_bytes(), [], 0
    while start < len(binary):
        (length,) = struct.unpack_from("<I", binary, start)
        frames.append(binary[start + 4 : start + 4 + length])
        start += 4 + length
    return frames, json.loads((FRAMES / f"{name}.json").read_text())


def as_json(message: Message) -> dict[str, Any]:
    """The form of the golden files; floats without a fraction are equal to integers in both JSON and Python."""

    def mark(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return {"$float": str(value)}
        if isinstance(value, dict):
            return {key: mark(item) for key, item in value.items()}
        return [mark(item) for item in value] if isinstance(value, list) else value

    optional = {"method": message.method, "deadline": message.deadline, "error": message.error}
    tensors = {
        name: {"dtype": held.dtype, "shape": list(held.shape), "base64": base64.b64encode(held.data).decode()}
        for name, held in message.tensors.items()
    }
    return {
        "kind": message.kind,
        "id": message.id,
        "session": message.session,
        **{key: value for key, value in optional.items() if value is not None},
        "params": mark(message.params),
        **({"tensors": tensors} if tensors else {}),
    }


def refusal(frames: list[bytes], limits: Limits | None = None) -> str:
    with pytest.raises(WireError) as caught:
        decode(frames, limits or Limits())
    return caught.value.code


def test_the_golden_files_are_what_their_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, CONTRACT / "make_frames.py", tmp_path], check=True)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in FRAMES.iterdir()
    }
    assert len(CASES) > 150


@pytest.mark.parametrize("name", CASES)
def test_reads_every_golden_message_and_refuses_every_malformed_one_by_its_code(name: str) -> None:
    frames, case = read_case(name)
    if "error" in case:
        assert refusal(frames) == case["error"]
    else:
        assert as_json(decode(frames)) == case["message"]


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("malformed")])
def test_what_is_encoded_again_reads_the_same(name: str) -> None:
    frames, case = read_case(name)
    again = encode(decode(frames))
    assert as_json(decode(again)) == case["message"]


def test_golden_dtypes_hold_the_values_they_say() -> None:
    def values(name: str) -> np.ndarray:
        return decode(read_case(name)[0]).tensors["values"].to_numpy()

    assert values("dtype-bool").tolist() == [True, False, True]
    assert values("dtype-i64").tolist() == [-(2**63), -1, 2**53 + 1, 2**63 - 1]
    assert values("dtype-bf16").tolist() == [0x3F80, 0xC000, 0x7F80, 0x7FC0]
    assert values("dtype-f16").tolist()[:3] == [0.5, -65504.0, math.inf]
    assert values("dtype-f64").tolist()[:3] == [0.1, 1e308, -math.inf]


def test_header_and_message_sizes_are_bounded_before_anything_is_read() -> None:
    magic = b"TFM\x01"
    fields = {"v": [1, 0], "t": "req", "id": "a", "s": "s", "m": "echo", "p": {"text": ""}}
    room = MAX_HEADER_BYTES - len(msgpack.packb(fields)) - 4
    largest = msgpack.packb({**fields, "p": {"text": "x" * room}})
    assert len(largest) == MAX_HEADER_BYTES
    assert decode([magic, largest]).params == {"text": "x" * room}

    assert refusal([magic, b"\xc1" * (MAX_HEADER_BYTES + 1)]) == "FRAME_TOO_LARGE"
    assert refusal([magic, b"\xc1", b"\0" * 1000], Limits(max_message_bytes=1000)) == "FRAME_TOO_LARGE"


def test_takes_as_many_tensors_as_allowed() -> None:
    one = from_numpy(np.array([7], np.uint8))
    tensors = {str(index): one for index in range(MAX_TENSORS)}
    frames = encode(Message("req", "a", "s", "echo", tensors=tensors))
    assert decode(frames).tensors.keys() == tensors.keys()

    with pytest.raises(WireError, match="1025 tensors"):
        encode(Message("req", "a", "s", "echo", tensors={**tensors, "one more": one}))


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"a": np.float32(1)}, "HEADER_FIELD"),
        ({"a": np.int64(1)}, "HEADER_FIELD"),
        ({"a": np.zeros(3)}, "HEADER_FIELD"),
        ({"a": [{"b": b"bytes"}]}, "HEADER_FIELD"),
        ({"a": {1, 2}}, "HEADER_FIELD"),
        ({"a": 2**53}, "HEADER_FIELD"),
        ({"a": "\ud800"}, "HEADER_FIELD"),
        ({"a": {1: 2}}, "HEADER_MALFORMED"),
        ({"a": msgpack.Timestamp(0)}, "HEADER_MALFORMED"),
        ({"a": "x" * MAX_HEADER_BYTES}, "FRAME_TOO_LARGE"),
    ],
)
def test_the_sender_refuses_what_cannot_travel(params: dict[str, Any], code: str) -> None:
    with pytest.raises(WireError) as caught:
        encode(Message("req", "a", "s", "echo", params=params))
    assert caught.value.code == code


def test_the_sender_refuses_more_bytes_than_the_receiver_takes() -> None:
    tensor = from_numpy(np.zeros(1000, np.uint8))
    with pytest.raises(WireError) as caught:
        encode(Message("res", "a", "s", tensors={"t": tensor}), Limits(max_message_bytes=1000))
    assert caught.value.code == "FRAME_TOO_LARGE"


def test_decoded_tensors_are_views_of_their_frames() -> None:
    frame = bytearray(struct.pack("<3f", 1, 2, 3))
    frames = encode(Message("req", "a", "s", "echo", tensors={"t": WireTensor("f32", (3,), memoryview(frame))}))
    array = decode(frames).tensors["t"].to_numpy()
    frame[:4] = struct.pack("<f", 9)
    assert array.tolist() == [9, 2, 3]


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("malformed-dtype-object", "request-1"),
        ("malformed-field-v-missing", "request-1"),
        ("malformed-field-t-unknown", "request-1"),
        ("malformed-field-p-binary", "request-1"),
        ("malformed-field-id-of-65-characters", None),
        ("malformed-field-id-number", None),
        ("malformed-field-e-missing", None),  # an answer is never answered
        ("malformed-header-truncated", None),
    ],
)
def test_a_malformed_request_is_identified_where_its_id_can_be_read(name: str, identity: str | None) -> None:
    with pytest.raises(WireError) as caught:
        decode(read_case(name)[0])
    assert caught.value.request_id == identity
