"""The verbs of a policy, and what the engine that answers them looks like.

An engine is an object with one method per verb, named in snake case:

    def forward_backward(self, params, tensors, context) -> tuple[dict, dict]

- `params`: the request's `p`. Plain values; integers from 2^32 on arrive as floats (JavaScript writes them so).
- `tensors`: name -> numpy array, a view of the received message (bool is a copy). bf16 arrives as uint16 bits;
  `tensors.to_torch` turns any of them into a torch tensor. Views hold the whole message in memory: copy what is kept.
- `context`: a `context.CallContext`.
- The result is (plain values, tensors); tensors are numpy arrays or torch tensors. They are sent without a copy, so
  they must not change after the method has returned.
- Errors: raise `errors.EngineError(code, message)`; let `errors.CancelledError` pass.

Methods of lane "model" run one at a time, in the order of arrival, on the main thread. Methods of lane "side" run on
another thread while a model method runs, also before `load`, and must be safe there; those of lane "disk" likewise, one
at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .importing import large_imports


@dataclass(frozen=True, slots=True)
class Verb:
    """How a method is delivered (docs/protocol.md sections 2 and 3). `method` is the engine's attribute."""

    method: str
    kind: Literal["pure", "stateful"] = "pure"
    lane: Literal["model", "side", "disk"] = "model"


@dataclass(frozen=True, slots=True)
class EngineTable:
    """The closed table of what a worker answers; `make` builds the engine, on the main thread, after the greeting."""

    verbs: dict[str, Verb]
    make: Callable[[], Any]


POLICY_VERBS = {
    "checkFolder": Verb("check_folder", lane="side"),
    "load": Verb("load", kind="stateful"),
    "images": Verb("images", lane="side"),
    "encode": Verb("encode", lane="side"),
    "decode": Verb("decode", lane="side"),
    "tokenize": Verb("tokenize", lane="side"),
    "generate": Verb("generate"),
    "logprobs": Verb("logprobs"),
    "candidates": Verb("candidates"),
    "forwardBackward": Verb("forward_backward", kind="stateful"),
    "discard": Verb("discard", kind="stateful"),
    "optimStep": Verb("optim_step", kind="stateful"),
    "save": Verb("save", kind="stateful"),
    "snapshot": Verb("snapshot", kind="stateful"),
    "writeSnapshot": Verb("write_snapshot", kind="stateful", lane="disk"),
    "restore": Verb("restore", kind="stateful"),
    "export": Verb("export"),
    "describe": Verb("describe", lane="side"),
}


def policy_table() -> EngineTable:
    """The verbs of docs/protocol.md section 3, answered by `engine.Engine` (which imports torch: seconds)."""

    def make() -> Any:
        with large_imports():
            from .engine import Engine

        return Engine()

    return EngineTable(POLICY_VERBS, make)
