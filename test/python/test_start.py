"""The start of a worker: the launch line, the pipe it keeps to itself, and the guard against outliving its parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import zmq

from thurstone_runtime.launch import parse_launch
from thurstone_runtime.orphan import MAX_LAUNCH_BYTES, read_line

RUNTIME = Path(__file__).parents[2] / "python_runtime"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(RUNTIME)}

FIELDS = {
    "session": "launch-1",
    "token": "secret",
    "data": "ipc:///somewhere/data",
    "control": "ipc:///somewhere/control",
    "rank": 0,
    "worldSize": 1,
    "heartbeatMs": 100,
    "maxMessageBytes": 1 << 20,
    "parentPid": os.getpid(),
}


def test_reads_a_launch_line_and_keeps_the_token_out_of_sight() -> None:
    launch = parse_launch(json.dumps(FIELDS).encode())
    assert (launch.session, launch.rank, launch.world_size) == ("launch-1", 0, 1)
    assert (launch.heartbeat_ms, launch.max_message_bytes, launch.parent_pid) == (100, 1 << 20, os.getpid())
    assert launch.token == "secret" and "secret" not in repr(launch)


@pytest.mark.parametrize("field", sorted(FIELDS))
@pytest.mark.parametrize("value", [None, "", -1, True, 1.5, []])
def test_names_the_field_that_is_missing_or_wrong(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f'"{field}"'):
        parse_launch(json.dumps({**FIELDS, field: value}).encode())
    with pytest.raises(ValueError, match=f'"{field}"'):
        parse_launch(json.dumps({key: kept for key, kept in FIELDS.items() if key != field}).encode())


@pytest.mark.parametrize(
    ("line", "complaint"), [(b"[1]\n", "JSON object"), (b"hello\n", "Expecting value"), (b"", "line")]
)
def test_a_bad_launch_line_ends_the_worker_with_the_reason(line: bytes, complaint: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "thurstone_runtime"], input=line, capture_output=True, env=ENVIRONMENT
    )
    assert ended.returncode == 2
    assert complaint in ended.stderr.decode()


def test_reads_only_the_first_line_and_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"first\nsecond" + b"x" * MAX_LAUNCH_BYTES)
    descriptor = os.open(tmp_path / "lines", os.O_RDONLY)
    assert read_line(descriptor) == b"first\n"
    with pytest.raises(ValueError, match="no complete line"):
        read_line(descriptor)
    os.close(descriptor)


def test_child_processes_of_a_worker_do_not_inherit_its_stdin() -> None:
    program = """
import subprocess, sys
from thurstone_runtime.orphan import read_line, take_stdin
pipe = take_stdin()
child = [sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]
subprocess.run(child, check=True, close_fds=False)
print(read_line(pipe))
"""
    ended = subprocess.run([sys.executable, "-c", program], input=b"mine\n", capture_output=True, env=ENVIRONMENT)
    assert ended.stdout.decode().split() == ["''", "b'mine\\n'"], ended.stderr


def running(pid: int) -> bool:
    """By state: a killed process whose parent has not looked yet still has its id."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return state not in ("", "Z")


def test_ends_with_its_parent_even_where_another_process_holds_its_stdin_open() -> None:
    program = """
import subprocess, sys, time
command = [sys.executable, "-m", "thurstone_runtime", "--engine", "selftest"]
print(subprocess.Popen(command, stdin=int(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""
    reader, writer = os.pipe()
    command = [sys.executable, "-c", program, str(reader)]
    with (
        tempfile.TemporaryDirectory(prefix="wire-") as folder,
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as router,
        subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[reader], env=ENVIRONMENT) as parent,
    ):
        address = f"ipc://{folder}/data"
        router.bind(address)
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        launch = {**FIELDS, "data": address, "control": f"ipc://{folder}/none", "parentPid": parent.pid}
        os.write(writer, json.dumps(launch).encode() + b"\n")
        assert router.poll(30_000), "the worker did not say hello"

        parent.kill()
        if sys.platform != "linux":
            os.close(writer)  # the other guard has to do it there
        until = time.monotonic() + 2
        while running(worker) and time.monotonic() < until:
            time.sleep(0.02)
        assert not running(worker)
        router.close(linger=0)
    os.close(reader)
