"""MATLAB files as columns, and what a hostile one ends in."""

import faulthandler
import os
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from thurstone_runtime.matlab import read_columns

LIMITS = {"fileBytes": 1 << 20, "unpackedBytes": 1 << 20, "rows": 10_000}


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: bytes | dict, **options: object) -> str:
        path = tmp_path / f"{name}.mat"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            savemat(path, content, **options)
        return str(path)

    return write


def problem_of(path: str) -> tuple[str, str]:
    read = read_columns(path, LIMITS)
    return read["problem"]["code"], read["problem"]["message"]


def cells(*values: object) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


def test_vectors_are_columns_and_the_rest_is_left_out(write):
    content = {
        "mos": np.array([[1.5, np.nan, 3]]),
        "flags": np.array([[0], [1], [1]], dtype=np.uint8),
        "names": cells("a b.bmp", "", "ü.png"),
        "mixed": cells("a", 2.0, "c"),
        "texts": np.array(["one  ", "three", "two  "]),
        "count": 3,
        "matrix": np.ones((2, 2)),
        "nested": cells(np.ones((2, 2)), 1, 2),
        "record": {"field": 1},
        "complex": np.array([1 + 2j, 3]),
    }
    for compressed in [False, True]:
        read = read_columns(write(f"all-{compressed}", content, do_compression=compressed), LIMITS)
        columns = read["columns"]
        assert np.isnan(columns["mos"][1])
        assert [columns["mos"][0], columns["mos"][2]] == [1.5, 3.0]
        assert columns["flags"] == [0, 1, 1]
        assert columns["names"] == ["a b.bmp", "", "ü.png"]
        assert columns["mixed"] == ["a", 2.0, "c"]
        assert [text.strip() for text in columns["texts"]] == ["one", "three", "two"]
        assert columns["count"] == [3]
        assert set(columns) == {"mos", "flags", "names", "mixed", "texts", "count"}


def test_a_file_that_is_none_says_what_it_is(write):
    header = b"MATLAB 7.3 MAT-file".ljust(124)
    assert problem_of(write("new", header + b"\x00\x02IM" + bytes(384)))[1].startswith("is of MATLAB 7.3 or later.")
    for name, content in [("text", b"name,mos\n" * 100), ("empty", b""), ("short", b"MATLAB 5.0")]:
        code, message = problem_of(write(name, content))
        assert (code, message[:21]) == ("DATA_TABLE_BROKEN", "is no MATLAB 5 file, ")
    assert problem_of(write("large", bytes((1 << 20) + 1)))[0] == "DATA_TABLE_TOO_LARGE"


def test_packed_data_is_unpacked_no_further_than_the_limit(write):
    good = Path(write("good", {"a": np.ones((1, 3))}, do_compression=True)).read_bytes()
    packed = zlib.compress(bytes(64 << 20))
    bomb = good[:128] + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    assert problem_of(write("bomb", bomb)) == (
        "DATA_TABLE_TOO_LARGE",
        "is too large for a list of labels: it would unpack to more than 1048576 bytes.",
    )


def test_dimensions_are_looked_at_before_anything_is_read(write):
    content = Path(write("small", {"scores": np.ones((1, 4321))})).read_bytes()
    huge = content.replace((4321).to_bytes(4, "little"), (2_000_000_000).to_bytes(4, "little"))
    assert huge != content
    code, message = problem_of(write("huge", huge))
    assert (code, "scores has 1 x 2000000000 values" in message) == ("DATA_TABLE_TOO_LARGE", True)


def test_a_file_that_is_not_there_is_a_problem_of_that_file(tmp_path):
    assert problem_of(str(tmp_path / "none.mat")) == (
        "DATA_FILE_UNREADABLE",
        "cannot be read: No such file or directory.",
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_is_a_problem_of_the_file_another_value_or_the_end_of_a_disposable_process(write, compressed):
    content = {"names": cells("a.bmp", "b.bmp"), "mos": np.array([1.5, 2.5])}
    whole = Path(write("whole", content, do_compression=compressed)).read_bytes()
    random_source = random.Random(7)
    outcomes = set()
    for index in range(60):
        damaged = bytearray(whole[: random_source.randrange(100, len(whole))] if index % 3 == 0 else whole)
        for _ in range(index % 3):
            damaged[random_source.randrange(100, len(damaged))] = random_source.randrange(256)
        outcomes.add(outcome_of(write(f"damaged-{index}", bytes(damaged))))
    assert {"read", "DATA_TABLE_BROKEN"} <= outcomes
    assert outcomes <= {"read", "DATA_TABLE_BROKEN", "DATA_TABLE_TOO_LARGE", "killed"}


def outcome_of(path: str) -> str:
    """What a process of its own ends in: "read", a problem's code, "killed", or the name of an exception."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            read = read_columns(path, LIMITS)
            word = read["problem"]["code"] if "problem" in read else "read"
        except BaseException as error:
            word = type(error).__name__
        os.write(writer, word.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as words:
        word = words.read()
    _, status = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(status) else word
