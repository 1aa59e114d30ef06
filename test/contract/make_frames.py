"""Writes the golden messages that both sides of the bridge read.

    python test/contract/make_frames.py

For each case two files in `frames/`: `<name>.bin`, the frames, each behind its length as a little-endian u32; and
`<name>.json`, either `{"name", "message"}`, what a decoder must make of them, or `{"name", "error"}`, the code it must
refuse them with. A message is `{kind, id, session, method?, deadline?, params, tensors?, error?}`, a tensor in it
`{dtype, shape, base64}`. JSON has no word for non-finite numbers: they are `{"$float": "nan" | "inf" | "-inf"}`.

Headers are packed here by hand, not by the encoder under test. Each malformed case has exactly one fault. Messages over
a size limit are too large to keep as files; the tests of each side build those.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

FOLDER = Path(__file__).parent / "frames"
MAGIC = b"TFM\x01"
DEPTH = 12_000

Header = dict[str, Any]


@dataclass
class Case:
    """`expected` is a message in its JSON form, or an error code."""

    name: str
    frames: list[bytes]
    expected: dict[str, Any] | str


@dataclass
class Tensor:
    """`data` as on the wire; the other fields may lie in malformed cases."""

    dtype: str
    shape: list[Any]
    data: bytes
    overrides: Header = field(default_factory=dict)


def header(kind: str = "req", **changes: Any) -> Header:
    """A valid header with changes; `remove=["v"]` takes fields out."""
    fields: Header = {"v": [1, 0], "t": kind, "id": "request-1", "s": "launch-1"}
    if kind in ("req", "evt"):
        fields["m"] = "echo"
    removed = changes.pop("remove", [])
    return {key: value for key, value in (fields | changes).items() if key not in removed}


def describe(tensors: dict[str, Tensor]) -> list[Header]:
    """The `x` field of tensors whose frames follow in this order."""
    return [
        {"n": name, "d": tensor.dtype, "sh": tensor.shape, "f": index, "nb": len(tensor.data), **tensor.overrides}
        for index, (name, tensor) in enumerate(tensors.items())
    ]


def pack(fields: Any, *tensors: bytes) -> list[bytes]:
    """Frames of a header and tensor frames."""
    return [MAGIC, msgpack.packb(fields), *tensors]


def with_tensors(name: str, expected: str | None, tensors: dict[str, Tensor], **changes: Any) -> Case:
    """A case about its tensors; without an expected error it is well-formed."""
    fields = header(p={}, x=describe(tensors), **changes)
    frames = pack(fields, *(tensor.data for tensor in tensors.values()))
    return Case(name, frames, expected or message(fields, tensors))


def message(fields: Header, tensors: dict[str, Tensor] | None = None) -> dict[str, Any]:
    """The JSON form of what a header says."""
    long_names = {"t": "kind", "id": "id", "s": "session", "m": "method", "dl": "deadline", "e": "error"}
    result = {long: fields[short] for short, long in long_names.items() if short in fields}
    result["params"] = fields.get("p", {})
    if tensors:
        result["tensors"] = {
            name: {"dtype": tensor.dtype, "shape": tensor.shape, "base64": base64.b64encode(tensor.data).decode()}
            for name, tensor in tensors.items()
        }
    return result


def params(name: str, value: dict[str, Any]) -> Case:
    """A well-formed case about its parameters."""
    fields = header(p=value)
    return Case(name, pack(fields), message(fields))


def array(dtype: str, values: Any, numpy_dtype: str) -> Tensor:
    """A tensor of the values."""
    held = np.array(values, numpy_dtype)
    return Tensor(dtype, list(held.shape), held.tobytes())


def well_formed() -> Iterator[Case]:
    """Messages every decoder must read."""
    infinity = math.inf
    dtypes = {
        "bool": array("bool", [True, False, True], "?"),
        "u8": array("u8", [0, 1, 255], "u1"),
        "i8": array("i8", [-128, 0, 127], "i1"),
        "i16": array("i16", [-(2**15), -1, 2**15 - 1], "<i2"),
        "i32": array("i32", [-(2**31), -1, 2**31 - 1], "<i4"),
        "i64": array("i64", [-(2**63), -1, 2**53 + 1, 2**63 - 1], "<i8"),
        "f16": array("f16", [0.5, -65504.0, infinity, math.nan], "<f2"),
        "bf16": array("bf16", [0x3F80, 0xC000, 0x7F80, 0x7FC0], "<u2"),
        "f32": array("f32", [0.1, -3.4e38, -infinity, math.nan], "<f4"),
        "f64": array("f64", [0.1, 1e308, -infinity, math.nan], "<f8"),
    }
    for name, tensor in dtypes.items():
        yield with_tensors(f"dtype-{name}", None, {"values": tensor})
    yield with_tensors("dtype-all-together", None, dtypes)
    yield with_tensors("tensor-rank-0", None, {"scalar": array("f32", 2.5, "<f4")})
    yield with_tensors("tensor-empty", None, {"none": Tensor("i32", [0], b"")})
    yield with_tensors("tensor-empty-inside", None, {"none": Tensor("f64", [3, 0, 2], b"")})
    cube = np.arange(256).reshape([2] * 8)
    yield with_tensors("tensor-rank-8", None, {"cube": array("i16", cube, "<i2")})
    yield with_tensors("tensor-matrix", None, {"matrix": array("i32", [[1, 2, 3], [4, 5, 6]], "<i4")})
    reversed_frames = {"first": array("u8", [1], "u1"), "second": array("i16", [2, 3], "<i2")}
    fields = header(p={}, x=describe(reversed_frames))
    fields["x"][0]["f"], fields["x"][1]["f"] = 1, 0
    frames = pack(fields, reversed_frames["second"].data, reversed_frames["first"].data)
    yield Case("tensor-frames-in-other-order", frames, message(fields, reversed_frames))

    yield params("params-empty", {})
    yield params(
        "params-integers",
        {
            "small": [0, 1, 127, 128, 255, 256, 65535, 65536],
            "2^31": 2**31,
            "2^32": 2**32,
            "2^53-1": 2**53 - 1,
            "negative": [-1, -32, -33, -128, -129, -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**53) + 1],
        },
    )
    yield params("params-64-bit-as-text", {"largest": str(2**64 - 1), "least": str(-(2**63)), "beyond": str(2**53 + 1)})
    yield params("params-floats", {"half": 0.5, "tenth": 0.1, "tiny": 5e-324, "huge": 1.7e308, "negative": -2.25})
    yield params("params-not-finite", {"nan": math.nan, "inf": infinity, "list": [-infinity, 1.5]})
    yield params("params-unicode", {"text": "Gr\u00fc\u00dfe, \u4e16\u754c \U0001f600 \u0000 end", "\u00e9t\u00e9": ""})
    yield params("params-nested", {"null": None, "yes": True, "no": False, "list": [[], {}, [[1], {"a": [None]}]]})
    yield params("params-long-text", {"text": "0123456789" * 100})
    yield params("params-long-list", {"list": list(range(500))})

    for kind, changes in {
        "req": {"dl": 1500, "p": {"a": 1}},
        "res": {"p": {"a": 1}},
        "evt": {"m": "progress", "p": {"step": 3}},
        "cancel": {},
        "hello": {"p": {"token": "t", "protocol": [1, 0]}},
        "bye": {},
        "err": {"e": {"code": "NOT_LOADED", "message": "nothing is loaded", "retryable": False}},
    }.items():
        fields = header(kind, **changes)
        yield Case(f"kind-{kind}", pack(fields), message(fields))
    error = {"code": "WORKER_EXCEPTION", "message": "boom", "retryable": True, "traceback": "line 1\nline 2"}
    fields = header("err", e=error)
    yield Case("kind-err-with-traceback", pack(fields), message(fields))
    for name, fields in {
        "header-without-optional-fields": header(),
        "header-id-of-64-characters": header(id="i" * 64),
        "header-deadline-zero": header(dl=0),
        "header-later-minor-version": header(v=[1, 7]),
        "header-empty-tensor-list": header(x=[]),
    }.items():
        yield Case(name, pack(fields), message(fields))
    later = header(p={})
    yield Case("header-unknown-field", pack({**later, "later": {"a": [1]}}), message(later))
    # JavaScript writes integers from 2^32 on as floats.
    fields = header(dl=2**33)
    yield Case("header-deadline-as-float", pack({**fields, "dl": float(2**33)}), message(fields))
    one = {"one": array("u8", [7], "u1")}
    fields = header(p={}, x=describe(one))
    floats = {**fields["x"][0], "sh": [1.0], "f": 0.0, "nb": 1.0}
    yield Case("tensor-integers-as-floats", pack({**fields, "x": [floats]}, b"\x07"), message(fields, one))


def malformed_frames() -> Iterator[Case]:
    """Faults before the header."""
    one = array("u8", [7], "u1")
    fields = header(x=describe({"one": one}))
    good = msgpack.packb(header())
    yield Case("malformed-no-frames", [], "FRAME_COUNT")
    yield Case("malformed-only-magic", [MAGIC], "FRAME_COUNT")
    yield Case("malformed-tensor-frame-missing", pack(fields), "FRAME_COUNT")
    yield Case("malformed-tensor-frame-extra", pack(fields, one.data, b""), "FRAME_COUNT")
    yield Case("malformed-frame-without-tensors", pack(header(), b""), "FRAME_COUNT")
    yield Case("malformed-magic-letters", [b"TFX\x01", good], "FRAME_MAGIC")
    yield Case("malformed-magic-short", [b"TFM", good], "FRAME_MAGIC")
    yield Case("malformed-magic-long", [b"TFM\x01\x00", good], "FRAME_MAGIC")
    yield Case("malformed-magic-empty", [b"", good], "FRAME_MAGIC")
    yield Case("malformed-version-byte-2", [b"TFM\x02", good], "FRAME_VERSION")
    yield Case("malformed-version-byte-0", [b"TFM\x00", good], "FRAME_VERSION")
    yield Case("malformed-version-in-header", pack(header(v=[2, 0])), "FRAME_VERSION")


def malformed_headers() -> Iterator[Case]:
    """Headers that are no msgpack map of plain values with string keys."""
    good = msgpack.packb(header(p={"a": [1, 2, 3]}))
    # A map that ends with the key "p", so that any bytes can be its value.
    open_ended = bytes([0x80 | len(header()) + 1]) + msgpack.packb(header())[1:] + msgpack.packb("p")
    claim = struct.pack(">I", 2**31 - 1)
    for name, packed in {
        "truncated": good[:-1],
        "truncated-after-key": open_ended,
        "trailing-byte": good + b"\x00",
        "trailing-map": good + b"\x80",
        "empty": b"",
        "array": msgpack.packb([1, 2]),
        "nil": b"\xc0",
        "byte-never-used": b"\xc1",
        "byte-never-used-inside": open_ended + b"\xc1",
        "extension": open_ended + b"\x81\xa1a" + msgpack.packb(msgpack.ExtType(5, b"12")),
        "extension-undefined": open_ended + b"\x81\xa1a" + msgpack.packb(msgpack.ExtType(0, b"\x00")),
        "extension-record": open_ended + b"\x81\xa1a" + msgpack.packb(msgpack.ExtType(0x72, b"\x40")),
        "extension-typed-array": open_ended + b"\x81\xa1a" + msgpack.packb(msgpack.ExtType(0x74, b"\x08\x00\x00\x80?")),
        "extension-timestamp": open_ended + b"\x81\xa1a" + msgpack.packb(msgpack.Timestamp(1, 0)),
        "extension-timestamp-unknown-field": msgpack.packb({**header(), "later": msgpack.Timestamp(1, 0)}),
        "integer-key": msgpack.packb({**header(), 1: 2}),
        "integer-key-inside": open_ended + b"\x81\x01\x02",
        "binary-key-inside": open_ended + b"\x81\xc4\x01a\x02",
        "nil-key-inside": open_ended + b"\x81\xc0\x02",
        "claims-array": open_ended + b"\x81\xa1a\xdd" + claim,
        "claims-map": open_ended + b"\xdf" + claim,
        "claims-text": open_ended + b"\x81\xa1a\xdb" + claim,
        "claims-binary": open_ended + b"\x81\xa1a\xc6" + claim,
        "claims-extension": open_ended + b"\x81\xa1a\xc9" + claim + b"\x05",
        "claims-header-map": b"\xdf" + claim,
        "claims-nested-arrays": open_ended + b"\x81\xa1a" + (b"\xdd" + struct.pack(">I", 4096)) * 900,
        "depth-inside": open_ended + b"\x81\xa1a" + b"\x91" * DEPTH + b"\xc0",
        "depth-maps": open_ended + b"\x81\xa1a" * DEPTH + b"\xc0",
        "depth-outside": b"\x91" * DEPTH + b"\xc0",
    }.items():
        yield Case(f"malformed-header-{name}", [MAGIC, packed], "HEADER_MALFORMED")


def malformed_fields() -> Iterator[Case]:
    """Headers that are well-formed, but not those of a message."""
    one = describe({"one": array("u8", [7], "u1")})[0]
    error = {"code": "C", "message": "m", "retryable": False}
    for name, fields in {
        "v-missing": header(remove=["v"]),
        "v-number": header(v=1),
        "v-short": header(v=[1]),
        "v-text": header(v=["1", "0"]),
        "v-negative": header(v=[1, -1]),
        "t-missing": header(remove=["t"]),
        "t-unknown": header(t="request"),
        "t-number": header(t=1),
        "id-missing": header(remove=["id"]),
        "id-empty": header(id=""),
        "id-number": header(id=7),
        "id-of-65-characters": header(id="i" * 65),
        "s-missing": header(remove=["s"]),
        "s-null": header(s=None),
        "m-missing-on-req": header(remove=["m"]),
        "m-missing-on-evt": header("evt", remove=["m"]),
        "m-number": header(m=1),
        "dl-negative": header(dl=-1),
        "dl-fraction": header(dl=1.5),
        "dl-text": header(dl="100"),
        "dl-not-finite": header(dl=math.nan),
        "p-list": header(p=[1]),
        "p-text": header(p="a"),
        "p-integer-of-54-bits": header(p={"a": 2**53}),
        "p-integer-of-54-bits-negative": header(p={"a": [-(2**53)]}),
        "p-integer-of-64-bits": header(p={"a": 2**64 - 1}),
        "p-binary": header(p={"a": b"\x00\x01"}),
        "x-map": header(x={}),
        "x-entry-number": header(x=[1]),
        "e-missing": header("err"),
        "e-text": header("err", e="boom"),
        "e-without-code": header("err", e={"message": "m", "retryable": False}),
        "e-code-number": header("err", e={**error, "code": 1}),
        "e-retryable-text": header("err", e={**error, "retryable": "no"}),
        "e-traceback-list": header("err", e={**error, "traceback": ["line"]}),
    }.items():
        extra = [b""] * len(fields["x"]) if isinstance(fields.get("x"), list) else []
        yield Case(f"malformed-field-{name}", pack(fields, *extra), "HEADER_FIELD")
    for name, entry in {
        "n-missing": {key: value for key, value in one.items() if key != "n"},
        "n-number": {**one, "n": 1},
        "d-missing": {key: value for key, value in one.items() if key != "d"},
        "d-number": {**one, "d": 1},
        "sh-number": {**one, "sh": 1},
        "f-text": {**one, "f": "0"},
        "f-fraction": {**one, "f": 0.5},
        "nb-missing": {key: value for key, value in one.items() if key != "nb"},
        "nb-text": {**one, "nb": "1"},
    }.items():
        yield Case(f"malformed-field-tensor-{name}", pack(header(x=[entry]), b"\x07"), "HEADER_FIELD")


def malformed_tensors() -> Iterator[Case]:
    """Tensor records that do not describe their frames."""
    many = {str(index): Tensor("u8", [0], b"") for index in range(1025)}
    yield with_tensors("malformed-tensors-1025", "TENSOR_COUNT", many)
    for dtype in ("object", "float32", "u16", "F32", "", "__class__", "__proto__", "constructor"):
        case = f"malformed-dtype-{dtype.strip('_') or 'empty'}"
        yield with_tensors(case, "TENSOR_DTYPE", {"a": Tensor(dtype, [1], b"\x07")})
    for name, shape in {
        "rank-9": [1] * 9,
        "negative": [-1],
        "negative-pair": [-1, -1],
        "fraction": [0.5],
        "beyond-53-bits": [2**53 - 1, float(2**53)],
        "text": ["1"],
        "null": [None],
        "bool": [True],
        "not-finite": [math.inf],
    }.items():
        yield with_tensors(f"malformed-shape-{name}", "TENSOR_SHAPE", {"a": Tensor("u8", shape, b"\x07")})
    pair = [array("u8", [7], "u1"), array("u8", [8], "u1")]
    for name, first, second in (
        ("used-twice", ("a", 0), ("b", 0)),
        ("out-of-range", ("a", 0), ("b", 2)),
        ("negative", ("a", 0), ("b", -1)),
        ("name-used-twice", ("a", 0), ("a", 1)),
    ):
        entries = [{"n": text, "d": "u8", "sh": [1], "f": index, "nb": 1} for text, index in (first, second)]
        yield Case(f"malformed-frame-{name}", pack(header(x=entries), *(one.data for one in pair)), "TENSOR_FRAME")
    for name, tensor in {
        "nb-too-small": Tensor("i32", [2], bytes(8), {"nb": 4}),
        "nb-too-large": Tensor("i32", [2], bytes(8), {"nb": 12}),
        "nb-negative": Tensor("i32", [2], bytes(8), {"nb": -8}),
        "frame-too-short": Tensor("i32", [2], bytes(7), {"nb": 8}),
        "frame-too-long": Tensor("i32", [2], bytes(9), {"nb": 8}),
        "shape-too-small": Tensor("i32", [1], bytes(8)),
        "shape-too-large": Tensor("i32", [3], bytes(8)),
        "product-wraps-32-bits": Tensor("u8", [2**16, 2**16], b""),
        "product-wraps-64-bits": Tensor("u8", [2**32, 2**32], b""),
        "product-beyond-floats": Tensor("f64", [2**53 - 1] * 8, b""),
        "claims-2-to-31": Tensor("u8", [2**31 - 1], b"", {"nb": 2**31 - 1}),
        "empty-frame-of-scalar": Tensor("f32", [], b""),
    }.items():
        yield with_tensors(f"malformed-bytes-{name}", "TENSOR_BYTES", {"a": tensor})


def cases() -> Iterator[Case]:
    """All of them."""
    yield from well_formed()
    yield from malformed_frames()
    yield from malformed_headers()
    yield from malformed_fields()
    yield from malformed_tensors()


def to_json(value: Any) -> Any:
    """Non-finite floats marked, the rest as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return value


def write(folder: Path) -> None:
    """Two files a case; files of cases that are gone are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.bin"), *folder.glob("*.json")]:
        old.unlink()
    for case in cases():
        binary = b"".join(struct.pack("<I", len(frame)) + frame for frame in case.frames)
        (folder / f"{case.name}.bin").write_bytes(binary)
        expected = {"error": case.expected} if isinstance(case.expected, str) else {"message": to_json(case.expected)}
        text = json.dumps({"name": case.name, **expected}, indent=1, allow_nan=False)
        (folder / f"{case.name}.json").write_text(text + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
