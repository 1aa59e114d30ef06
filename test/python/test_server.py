"""The worker process over real sockets, with the selftest engine. Most tests share a worker, with ids of their own."""

from __future__ import annotations

import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from thurstone_runtime import __version__
from thurstone_runtime.calls import MAX_EARLY_CANCELS, MAX_STORED_REPLIES
from thurstone_runtime.ending import EXIT_REFUSED, EXIT_TERMINATED
from thurstone_runtime.errors import WireError
from thurstone_runtime.orphan import EXIT_ORPHANED
from thurstone_runtime.protocol import Message, encode
from thurstone_runtime.tensors import NUMPY_DTYPES
from wire_peer import Worker

FRAMES = Path(__file__).parents[1] / "contract" / "frames"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as shared:
        yield shared


@pytest.fixture()
def own_worker() -> Iterator[Worker]:
    with Worker() as own:
        yield own


def code(answer: Message) -> str | None:
    return answer.error["code"] if answer.error else None


def ended_within(worker: Worker, seconds: float) -> int:
    return worker.process.wait(seconds)


class TestGreeting:
    def test_says_who_it_is_on_both_sockets(self, worker: Worker) -> None:
        assert worker.identity.startswith(b"worker-0-")
        for role in ("data", "control"):
            hello = worker.hello[role].params
            assert hello["token"] == worker.token
            assert (hello["role"], hello["rank"], hello["pid"]) == (role, 0, worker.process.pid)
            assert (hello["protocol"], hello["runtime"]) == ([1, 0], __version__)
            assert hello["methods"]["count"] == "stateful" and hello["methods"]["echo"] == "pure"
            assert hello["dtypes"] == list(NUMPY_DTYPES)

    def test_ends_when_the_parent_refuses_it(self) -> None:
        with Worker(greet=False) as worker:
            refusal = {"code": "HELLO_TOKEN", "message": "wrong token", "retryable": False}
            worker.send("data", Message("err", worker.hello["data"].id, worker.session, error=refusal))
            assert ended_within(worker, 10) == EXIT_REFUSED
            assert "HELLO_TOKEN: wrong token" in worker.errors()

    def test_an_engine_that_cannot_be_built_is_named_by_every_answer(self) -> None:
        code_of_worker = """
import sys
from thurstone_runtime.launch import parse_launch
from thurstone_runtime.ending import leave
from thurstone_runtime.server import Server
from thurstone_runtime.verbs import EngineTable, Verb

def make():
    raise ImportError("no module named torch")

table = EngineTable({"generate": Verb("generate"), "describe": Verb("describe", lane="side")}, make)
leave(Server(parse_launch(sys.stdin.buffer.readline()), table).run())
"""
        with Worker(command=["-c", code_of_worker]) as worker:
            for method in ("generate", "describe"):
                answer = worker.call(method, method)
                assert code(answer) == "ENGINE_UNAVAILABLE"
                assert answer.error is not None and "no module named torch" in answer.error["traceback"]


class TestCalls:
    def test_echoes_values_and_tensors_of_every_type(self, worker: Worker) -> None:
        params = {"text": "Gr\u00fc\u00dfe", "list": [1, 2.5, None, True], "map": {"a": {}}}
        tensors = {name: np.arange(6).astype(dtype).reshape(2, 3) for name, dtype in NUMPY_DTYPES.items()}
        tensors |= {"scalar": np.array(7, np.int32), "empty": np.zeros((0, 4), np.float64)}

        answer = worker.call("echo-1", "echo", params, tensors=tensors)

        assert answer.kind == "res" and answer.params == params
        assert answer.tensors.keys() == tensors.keys()
        for name, sent in tensors.items():
            received = answer.tensors[name].to_numpy()
            assert received.dtype == sent.dtype and received.shape == sent.shape
            assert received.tobytes() == sent.tobytes()

    def test_large_results_arrive_whole(self, worker: Worker) -> None:
        data = worker.call("large", "allocate", {"bytes": 50_000_000}).tensors["data"].to_numpy()
        assert data.size == 50_000_000 and data.all()

    def test_answers_many_requests_in_flight_each_by_its_id(self, worker: Worker) -> None:
        for number in range(500):
            worker.request(f"many-{number}", "echo", {"number": number})
        assert [worker.answer(f"many-{number}").params["number"] for number in range(500)] == list(range(500))

    def test_failures_keep_their_code_or_bring_their_traceback(self, worker: Worker) -> None:
        named = worker.call("fail-1", "fail", {"code": "missing_images", "message": "3 of them", "retryable": True})
        assert named.error is not None
        assert (named.error["code"], named.error["message"]) == ("MISSING_IMAGES", "3 of them")
        assert named.error["retryable"] is True and "in fail" in named.error["traceback"]

        unnamed = worker.call("fail-2", "fail", {"message": "boom"})
        assert unnamed.error is not None
        assert (unnamed.error["code"], unnamed.error["retryable"]) == ("WORKER_EXCEPTION", False)
        assert unnamed.error["message"] == "RuntimeError: boom"

        endless = worker.call("fail-3", "fail", {"message": "x" * 100_000})
        assert endless.error is not None and len(endless.error["message"]) == 8 * 1024
        assert len(endless.error["traceback"]) == 16 * 1024

    def test_an_unknown_method_is_named_and_nothing_is_looked_up(self, worker: Worker) -> None:
        for method in ("nonsense", "__init__", "make"):
            answer = worker.call(f"unknown-{method}", method)
            assert code(answer) == "METHOD_UNKNOWN"
            assert answer.error is not None and method in answer.error["message"] and "echo" in answer.error["message"]

    def test_a_result_over_the_limit_is_an_error_and_not_a_loss(self, worker: Worker) -> None:
        assert code(worker.call("too-large", "allocate", {"bytes": 256 << 20})) == "FRAME_TOO_LARGE"

    def test_side_methods_answer_while_the_main_thread_works(self, worker: Worker) -> None:
        worker.request("busy", "sleep", {"seconds": 30, "steps": 300})
        assert worker.progress("busy").params == {"step": 1}
        assert worker.call("beside", "noop_fast").kind == "res"
        worker.cancel("busy")
        assert code(worker.answer("busy")) == "CANCELLED"


class TestCancellation:
    def test_stops_a_running_request_at_its_next_boundary(self, worker: Worker) -> None:
        worker.request("running", "sleep", {"seconds": 60, "steps": 600})
        assert [worker.progress("running").params["step"] for _ in range(3)] == [1, 2, 3]
        worker.cancel("running")
        assert code(worker.answer("running")) == "CANCELLED"

    def test_answers_a_waiting_request_at_once_and_never_runs_it(self, worker: Worker) -> None:
        before = worker.call("count-before", "count").params["count"]
        worker.request("in-front", "sleep", {"seconds": 60, "steps": 600})
        worker.request("waiting", "count")
        worker.progress("in-front")
        worker.cancel("waiting")
        assert code(worker.answer("waiting")) == "CANCELLED"
        worker.cancel("in-front")
        assert code(worker.answer("in-front")) == "CANCELLED"
        assert worker.call("count-after", "count").params["count"] == before + 1

    def test_a_cancel_that_overtakes_its_request_is_remembered(self, worker: Worker) -> None:
        before = worker.call("count-1", "count").params["count"]
        worker.cancel("overtaken")
        worker.cancel("flush")  # both sockets are read in turn: once this one is answered, the first was read
        worker.request("flush", "sleep", {"seconds": 60, "steps": 600})
        assert code(worker.answer("flush")) == "CANCELLED"
        assert code(worker.call("overtaken", "count")) == "CANCELLED"
        assert worker.call("count-2", "count").params["count"] == before + 1

    def test_remembers_only_so_many(self, worker: Worker) -> None:
        for number in range(MAX_EARLY_CANCELS + 1):
            worker.cancel(f"early-{number}")
        worker.request("sentinel", "sleep", {"seconds": 60, "steps": 600})
        worker.cancel("sentinel")
        assert code(worker.answer("sentinel")) == "CANCELLED"
        assert worker.call("early-0", "echo").kind == "res"
        assert code(worker.call(f"early-{MAX_EARLY_CANCELS}", "echo")) == "CANCELLED"

    def test_a_request_that_waited_too_long_is_not_run(self, worker: Worker) -> None:
        before = worker.call("count-a", "count").params["count"]
        worker.request("slow", "sleep", {"seconds": 0.2})
        worker.request("late", "count", deadline=1)
        assert worker.answer("slow").kind == "res"
        assert code(worker.answer("late")) == "DEADLINE"
        assert worker.call("count-b", "count").params["count"] == before + 1

    def test_the_deadline_also_ends_a_running_request(self, worker: Worker) -> None:
        answer = worker.call("running-late", "sleep", {"seconds": 60, "steps": 600}, deadline=300)
        assert code(answer) == "DEADLINE"


class TestDelivery:
    def test_a_stateful_request_sent_again_gets_the_same_answer(self, worker: Worker) -> None:
        first = worker.call("once", "count")
        assert worker.call("once", "count").params == first.params
        assert worker.call("another", "count").params["count"] == first.params["count"] + 1

    def test_a_request_sent_again_while_it_waits_runs_once(self, worker: Worker) -> None:
        before = worker.call("base", "count").params["count"]
        worker.request("blocking", "sleep", {"seconds": 0.2})
        worker.request("twice", "count")
        worker.request("twice", "count")
        assert worker.answer("twice").params["count"] == before + 1
        assert worker.call("base-2", "count").params["count"] == before + 2

    def test_keeps_the_last_replies_only(self, worker: Worker) -> None:
        counts = [worker.call(f"kept-{number}", "count").params["count"] for number in range(MAX_STORED_REPLIES + 1)]
        assert worker.call("kept-1", "count").params["count"] == counts[1]
        assert worker.call("kept-0", "count").params["count"] == counts[-1] + 1


class TestGarbage:
    @pytest.mark.parametrize("role", ["data", "control"])
    def test_survives_every_malformed_message_and_says_what_was_wrong(self, worker: Worker, role: str) -> None:
        for path in sorted(FRAMES.glob("malformed-*.bin")):
            binary, frames, start = path.read_bytes(), [], 0
            while start < len(binary):
                (length,) = struct.unpack_from("<I", binary, start)
                frames.append(binary[start + 4 : start + 4 + length])
                start += 4 + length
            worker.send_frames(role, frames or [b""])
        assert code(worker.answer("request-1")) is not None
        assert worker.call(f"alive-{role}", "echo").kind == "res"

    def test_answers_a_malformed_request_with_the_code_of_the_check(self, worker: Worker) -> None:
        good = encode(Message("req", "bad-1", worker.session, method="echo", params={}))
        worker.send_frames("data", [*good, b"a frame too much"])
        assert code(worker.answer("bad-1")) == "FRAME_COUNT"

    def test_messages_of_another_launch_and_kinds_without_use_are_dropped(self, worker: Worker) -> None:
        worker.send("data", Message("req", "stranger", "launch-0", method="count"))
        worker.send("control", Message("bye", "stranger", "launch-0"))
        worker.send("data", Message("res", "stranger", worker.session))
        worker.send("data", Message("evt", "stranger", worker.session, method="heartbeat"))
        assert worker.call("after-strangers", "echo").kind == "res"
        assert worker.process.poll() is None


class TestHeartbeat:
    def test_tells_what_is_done_and_how_long_nothing_moved(self, worker: Worker) -> None:
        idle = worker.heartbeat(lambda beat: beat["method"] is None)
        assert idle["phase"] == "idle" and idle["rss"] > 1_000_000
        worker.request("asleep", "sleep", {"seconds": 60, "steps": 60})
        beat = worker.heartbeat(lambda beat: beat["method"] == "sleep" and beat["progress_age_ms"] >= 200)
        assert beat["phase"] == "sleeping" and beat["progress"] > idle["progress"]
        worker.cancel("asleep")
        assert code(worker.answer("asleep")) == "CANCELLED"
        assert worker.heartbeat(lambda beat: beat["method"] is None)["progress"] > beat["progress"]

    def test_tells_of_what_is_written_beside_an_idle_model_and_else_of_the_model(self, worker: Worker) -> None:
        worker.request("written", "sleep_beside", {"seconds": 60, "steps": 600})
        worker.heartbeat(lambda beat: beat["method"] == "sleep_beside")
        worker.request("asleep", "sleep", {"seconds": 60, "steps": 60})
        worker.heartbeat(lambda beat: beat["method"] == "sleep" and beat["progress_age_ms"] >= 200)
        worker.cancel("asleep")
        worker.heartbeat(lambda beat: beat["method"] == "sleep_beside")
        worker.cancel("written")
        assert code(worker.answer("written")) == "CANCELLED"
        worker.heartbeat(lambda beat: beat["method"] is None)

    def test_comes_while_the_main_thread_holds_the_interpreter(self, own_worker: Worker) -> None:
        own_worker.request("spinning", "spin", {"seconds": 60})
        ages = [own_worker.heartbeat(lambda beat: beat["method"] == "spin")["progress_age_ms"] for _ in range(5)]
        assert ages == sorted(ages) and ages[-1] > ages[0]
        assert own_worker.call("beside-spin", "noop_fast").kind == "res"


class TestEnd:
    def test_ends_when_stdin_ends_although_it_spins(self, own_worker: Worker) -> None:
        own_worker.request("spin", "spin", {"seconds": 60})
        own_worker.heartbeat(lambda beat: beat["method"] == "spin")
        assert own_worker.process.stdin is not None
        own_worker.process.stdin.close()
        assert ended_within(own_worker, 20) == EXIT_ORPHANED

    def test_signals_to_the_whole_job_are_the_parents_to_act_on(self, own_worker: Worker) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            own_worker.process.send_signal(number)
            assert own_worker.call(f"still here after {number}", "echo").kind == "res"
        own_worker.request("spin", "spin", {"seconds": 60})
        own_worker.heartbeat(lambda beat: beat["method"] == "spin")
        own_worker.send("control", Message("bye", "bye", own_worker.session))
        # Its grace has begun, and is cut short: how often the signal must come depends on when the message is read.
        while own_worker.process.poll() is None:
            own_worker.process.terminate()
            time.sleep(0.05)
        assert own_worker.process.returncode == EXIT_TERMINATED
        assert "SIGTERM is left to the parent" in own_worker.errors()

    def test_sigterm_ends_it_in_order_where_the_parent_did_not_start_it(self) -> None:
        with Worker(parent_pid=1) as worker:
            worker.request("running", "sleep", {"seconds": 60, "steps": 600})
            worker.progress("running")
            worker.process.terminate()
            assert ended_within(worker, 10) == EXIT_TERMINATED

    def test_bye_ends_the_running_work_at_its_boundary(self, own_worker: Worker) -> None:
        own_worker.request("running", "sleep", {"seconds": 60, "steps": 600})
        own_worker.progress("running")
        own_worker.send("control", Message("bye", "bye", own_worker.session))
        assert ended_within(own_worker, 4) == 0

    def test_bye_abandons_work_that_is_deaf(self, own_worker: Worker) -> None:
        own_worker.request("spin", "spin", {"seconds": 60})
        own_worker.heartbeat(lambda beat: beat["method"] == "spin")
        own_worker.send("control", Message("bye", "bye", own_worker.session))
        assert ended_within(own_worker, 20) == 0


def test_a_header_nests_128_levels_and_no_deeper(worker: Worker) -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = []
        for _ in range(levels - 1):
            value = [value]
        return {"list": value}

    assert worker.call("deep", "echo", nested(126)).params == nested(126)
    with pytest.raises(WireError) as refused:
        encode(Message("req", "deeper", worker.session, method="echo", params=nested(127)))
    assert refused.value.code == "HEADER_FIELD"
    fields = {"v": [1, 0], "t": "req", "id": "deepest", "s": worker.session, "m": "echo", "p": nested(127)}
    worker.send_frames("data", [b"TFM\x01", msgpack.packb(fields)])
    answer = worker.answer("deepest")
    assert answer.error is not None
    assert answer.error["code"] == "HEADER_MALFORMED"
