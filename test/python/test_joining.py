"""Which worker one that dials in is, what it may write, and which device is its own."""

from __future__ import annotations

import argparse
import json
import os

import pytest

from thurstone_runtime.dial import DialError, addresses, read_worker_key
from thurstone_runtime.errors import EngineError
from thurstone_runtime.joining import add_join_arguments, own_roots, place_of
from thurstone_runtime.ranks import rank_device
from thurstone_runtime.shared_folder import check_shared

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "THURSTONE_ALLOWED_FOLDERS")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """An environment that says nothing of ranks, and is put back."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def place(*flags: str) -> tuple[int, int]:
    parser = argparse.ArgumentParser()
    add_join_arguments(parser)
    return place_of(parser.parse_args(["--connect", "tcp://a:1", "--key", "key.json", *flags]))


def test_one_worker_needs_no_place():
    assert place() == (0, 1)


def test_torchrun_says_who_it_is(monkeypatch):
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "10.0.0.2"), ("MASTER_PORT", "29500")):
        monkeypatch.setenv(name, value)
    assert place() == (3, 4)
    with pytest.raises(DialError, match="the flag says 1, and the variable RANK says 3"):
        place("--rank", "1")


def test_a_person_says_who_it_is_and_torch_reads_the_same():
    assert place("--rank", "1", "--world-size", "2", "--rendezvous", "10.0.0.2:29500") == (1, 2)
    assert [os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")] == [
        "1",
        "2",
        "10.0.0.2",
        "29500",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--rank", "2", "--world-size", "2"), "no rank 2 among 2"),
        (("--rank", "1", "--world-size", "2"), "same --rendezvous HOST:PORT"),
        (("--rank", "1", "--world-size", "2", "--rendezvous", "29500"), "write HOST:PORT"),
    ],
)
def test_a_place_that_cannot_be_is_refused(flags, message):
    with pytest.raises(DialError, match=message):
        place(*flags)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-3", "soon"])
def test_a_time_to_wait_is_a_number_of_seconds(seconds, capsys):
    with pytest.raises(SystemExit, match="2"):
        place("--wait", seconds)
    assert "argument --wait: " in capsys.readouterr().err


def test_a_run_may_write_where_the_worker_stands_or_where_it_is_told(monkeypatch, tmp_path):
    assert own_roots() is None
    monkeypatch.chdir(tmp_path)
    place()
    assert own_roots() == [str(tmp_path)]
    place("--allow", "runs:one", "/shared")
    assert own_roots() == [str(tmp_path / "runs:one"), "/shared"]


def test_a_folder_is_shared_when_it_holds_what_was_written_and_may_be_written(tmp_path):
    (tmp_path / ".shared-1").write_text("token")
    check_shared(str(tmp_path), ".shared-1", "token")
    assert [path.name for path in tmp_path.iterdir()] == [".shared-1"]

    place("--allow", str(tmp_path / "own"))
    for folder, name, token, code in (
        (tmp_path / "own", ".shared-1", "token", "folder_not_shared"),
        (tmp_path, ".shared-1", "token", "path_not_allowed"),
    ):
        with pytest.raises(EngineError) as caught:
            check_shared(str(folder), name, token)
        assert caught.value.code == code
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / ".shared-1").write_text("of yesterday")
    with pytest.raises(EngineError, match="another file stands there"):
        check_shared(str(tmp_path / "own"), ".shared-1", "token")


def test_the_second_socket_has_the_next_port():
    assert addresses("tcp://[::1]:5700") == {"control": "tcp://[::1]:5700", "data": "tcp://[::1]:5701"}
    for wrong in (
        "10.0.0.1:5700",
        "tcp://10.0.0.1",
        "tcp://a b:5700",
        "tcp://:5700",
        "tcp://[::1:5700",
        "tcp://a/b:5700",
    ):
        with pytest.raises(DialError, match="write tcp://HOST:PORT"):
            addresses(wrong)
    for port in (0, 65535):
        with pytest.raises(DialError, match=f"has port {port}; .* 1 to 65534"):
            addresses(f"tcp://10.0.0.1:{port}")


def test_a_key_is_text_in_z85_that_is_no_more_than_32_bytes(tmp_path):
    def read(**keys: object):
        path = tmp_path / "key.json"
        path.write_text(
            json.dumps({"kind": "thurstone worker key", "secret_key": "0" * 40, "control_key": "0" * 40, **keys})
        )
        path.chmod(0o600)
        return read_worker_key(str(path))

    assert read(public_key="-" * 40).public == b"-" * 40
    for wrong in (1, None, ["0"] * 40, "0" * 39, "0" * 45, "~" * 40, "\u00e4" * 40, "#" * 40):
        with pytest.raises(DialError, match="is no worker key"):
            read(public_key=wrong)


def test_devices_go_by_the_place_on_the_machine():
    assert rank_device("cuda", 8, {"RANK": "11", "LOCAL_RANK": "3"}) == "cuda:3"
    assert rank_device("auto", 4, {"RANK": "5"}) == "cuda:1"
    assert rank_device("cuda:2", 4, {"LOCAL_RANK": "3"}) == "cuda:2"
    assert rank_device("auto", 1, {"RANK": "5"}) == "auto"
    assert rank_device("cpu", 4, {"LOCAL_RANK": "3"}) == "cpu"
