"""The functions pythonia calls: prepare its process, and run a function whose answer is JSON, exceptions included.

Nothing but text crosses pythonia unharmed: a NaN, an array or bytes among the values would end or hang its channel. So
everything goes as JSON, in which a number that is not finite stands as ``{"__float__": "nan"}``, "inf" or "-inf".
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from .orphan import guard_against_orphaning, take_stdin

_FLOAT = "__float__"
_OWN_FOLDER = str(Path(__file__).parent)


def start(parent_pid: int) -> None:
    """Once, before anything else: this process ends with its parents, and user code finds an ordinary Python.

    An ordinary one has an empty stdin, starts Node processes that know no channel of ours, finds its own modules where
    pythonia has some of the same name, and has the json module as it is without pythonia's patch.
    """
    guard_against_orphaning(take_stdin(), parent_pid)
    os.environ.pop("NODE_CHANNEL_FD", None)
    patch = json.JSONEncoder.default
    json.JSONEncoder.default = getattr(patch, "default", patch)
    pythonias = sys.path.pop(0)
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if name != "__main__" and origin is not None and str(Path(origin).parent) == pythonias:
            del sys.modules[name]


def call_json(module: str, name: str, arguments: str) -> str:
    """JSON of ``{"value"}`` or ``{"error", "where", "traceback"}`` after ``module.name(*json.loads(arguments))``."""
    try:
        given = json.loads(arguments, object_hook=_float_of)
        value = getattr(importlib.import_module(module), name)(*given)
        return json.dumps({"value": _marked(value)}, allow_nan=False)
    except BaseException as error:  # whatever ends the function is its answer, sys.exit() included
        return json.dumps(_failure(error))


def _failure(error: BaseException) -> dict[str, Any]:
    theirs = _without_own_frames(error.__traceback__)
    text = "".join(traceback.format_exception(type(error), error, theirs or error.__traceback__)).rstrip()
    frames = traceback.extract_tb(theirs)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None
    return {"error": f"{type(error).__name__}: {error}", "where": where, "traceback": text}


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Begins where the code that was called begins; None where all of it is ours."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_OWN_FOLDER, "<frozen importlib")):
        trace = trace.tb_next
    return trace


def _marked(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, dict):
        return {key: _marked(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(entry) for entry in value]
    return value


def _float_of(entry: dict[str, Any]) -> Any:
    return float(entry[_FLOAT]) if entry.keys() == {_FLOAT} else entry
