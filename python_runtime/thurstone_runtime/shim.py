"""The one function pythonia calls: runs a function and answers in JSON, exceptions included.

Nothing but text crosses pythonia unharmed: a NaN, an array or bytes among the values would end or hang its channel.
"""

from __future__ import annotations

import importlib
import json
import traceback
from typing import Any


def call_json(module: str, name: str, arguments: str) -> str:
    """The JSON of ``{"value"}`` or ``{"error", "traceback"}`` after ``module.name(*json.loads(arguments))``."""
    try:
        value = getattr(importlib.import_module(module), name)(*json.loads(arguments))
        return json.dumps({"value": value}, allow_nan=False)
    except Exception as error:  # whatever the function raises is its answer
        return _failure(error)


def _failure(error: Exception) -> str:
    report: dict[str, Any] = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    return json.dumps(report)
