"""Reward functions that people already have for TRL, called as TRL calls them.

Source of the convention: TRL 1.16, ``GRPOTrainer._calculate_rewards``: keyword arguments only, one list entry per
completion, every column of the data set under its own name; the answer is any iterable of numbers and None.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_modules: dict[str, ModuleType] = {}


def check(path: str, name: str) -> None:
    """Imports the file and looks the function up, so that a run need not begin with one that cannot be called."""
    _find(path, name)


def score(path: str, name: str, batch: dict[str, Any]) -> Any:
    """What the function returns for a batch: a list of floats and None.

    `batch` has `prompts`, `completions`, `completion_ids`, `columns` and `global_step`. What is neither a number nor
    None, a single entry or all of it, comes back as ``{"type": its type's name}``, for the caller to complain about.
    """
    answer = _find(path, name)(
        prompts=batch["prompts"],
        completions=batch["completions"],
        completion_ids=batch["completion_ids"],
        trainer_state=SimpleNamespace(global_step=batch["global_step"]),
        **batch["columns"],
    )
    if inspect.isawaitable(answer):
        answer = asyncio.run(_result_of(answer))
    if isinstance(answer, (str, bytes, dict)) or not hasattr(answer, "__iter__"):
        return _type_of(answer)
    return [_reward_of(entry) for entry in answer]


async def _result_of(answer: Awaitable[Any]) -> Any:
    return await answer


def _reward_of(entry: Any) -> Any:
    if entry is None:
        return None
    # Numbers of numpy, tensors without dimensions, Decimal: whatever says it is a number.
    return float(entry) if hasattr(entry, "__float__") else _type_of(entry)


def _type_of(value: Any) -> dict[str, str]:
    return {"type": type(value).__name__}


def _find(path: str, name: str) -> Callable[..., Any]:
    module = _modules.get(path) or _load(path)
    function = getattr(module, name, None)
    if not callable(function):
        raise AttributeError(
            f"{Path(path).name} has no function {name!r}; it has {', '.join(_functions(module)) or 'none'}"
        )
    return function


def _functions(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if inspect.isfunction(value) and not name.startswith("_")]


def _load(path: str) -> ModuleType:
    file = Path(path)
    # As for a script: what lies beside the file can be imported from it.
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    # Known by its own name, as classes and worker processes of its own need it, unless that is taken.
    known_as = file.stem if file.stem not in sys.modules else f"thurstone_rewards_{file.stem}"
    spec = importlib.util.spec_from_file_location(known_as, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[known_as] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[known_as]
        raise
    _modules[path] = module
    return module
