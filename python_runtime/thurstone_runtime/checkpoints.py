"""Training state on disk, read back; `state_files` writes it.

It is a folder with `weights.safetensors` (what is trained: float32, by parameter name, tied ones once),
`optimizer.safetensors` (`<parameter name>.<exp_avg | exp_avg_sq | step>`, float32, of 8-bit AdamW the fields of
`optim_8bit.layout_8bit`) and `state.json`, which has digests of the
weights that are not trained: they are those of the model that the run began with, and are not written again.
Safetensors and JSON only: nothing that is read here can run code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import EngineError
from .optim import ADAMW, state_layout
from .state_files import FORMAT, OPTIMIZER, STATE, TYPE_NAMES, WEIGHTS, shard_name
from .strategies import Held


def allowed_path(path: str, roots: Sequence[str], named_by: str = "allowed_roots when loading") -> Path:
    """The path with symbolic links resolved; refused unless it lies in one of the roots."""
    resolved = Path(path).resolve()
    if not Path(path).is_absolute() or not any(resolved.is_relative_to(Path(root).resolve()) for root in roots):
        raise EngineError(
            "path_not_allowed",
            f'"{path}" leads to {resolved}, outside the allowed folders ({", ".join(roots) or "there are none"}); '
            f"give an absolute path inside one of them, or name another folder in {named_by}.",
        )
    return resolved


@contextmanager
def open_state(
    folder: Path,
    trained: Mapping[str, Held],
    same: Mapping[str, Any],
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[dict[str, Any], Mapping[str, Tensor], Mapping[str, Tensor]]]:
    """What `write_state` wrote, as (state, weights, optimizer), checked against the model in memory.

    `trained` are the model's own weights, by name; `same` is what of the state must be as it is now: `frozen`, the
    digests of all other weights, `adapter`, and `optim`, the optimizer's name. Anything that does not fit is
    `checkpoint_invalid`, before the block begins; tensors are read one by one as they are asked for, so a large model
    is not held twice.
    """
    state = _read_json(folder / STATE)
    expected = {name: held.shape for name, held in trained.items()}
    with (
        _open_tensors(folder, WEIGHTS, state, tick) as saved_weights,
        _open_tensors(folder, OPTIMIZER, state, tick) as moments,
    ):
        _check_weights(saved_weights, expected)
        _check_optim(folder / STATE, state, same["optim"])
        _check_optimizer(moments, expected, same["optim"])
        _check_frozen(folder / STATE, state.get("frozen"), same["frozen"])
        _check_adapter(folder / STATE, state.get("adapter"), same["adapter"])
        yield state, saved_weights, moments


def _invalid(path: Path, reason: str) -> EngineError:
    return EngineError("checkpoint_invalid", f"{path}: {reason}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _invalid(path, f"cannot be read: {error}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else state
        raise _invalid(path, f"is not training state of format {FORMAT} (found {found!r})")
    state.setdefault("shards", 1)
    for name, least in (("step", 0), ("policy_version", 0), ("shards", 1)):
        value = state.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise _invalid(path, f'"{name}" must be a whole number from {least}, not {value!r}')
    return state


Found = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor of a file."""


class _SavedTensors(Mapping[str, Tensor]):
    """The tensors of one or more safetensors files, read when asked for."""

    def __init__(self, path: Path, tick: Callable[[], None]) -> None:
        self.path = path
        """The file, or the first of several, to speak of them."""
        self.found: Found = {}
        self._files: dict[str, Any] = {}
        self._tick = tick

    def add(self, path: Path, file: Any, step: int) -> None:
        """A file that is valid by itself may still be left over from another save."""
        found = (file.metadata() or {}).get("step")
        if found != str(step):
            raise _invalid(path, f"is of step {found}, but {STATE} beside it is of step {step}")
        for name in file.keys():  # noqa: SIM118 - not a mapping
            entry = file.get_slice(name)
            self.found[name] = (entry.get_dtype(), tuple(entry.get_shape()))
            self._files[name] = file

    def __getitem__(self, name: str) -> Tensor:
        file = self._files[name]
        self._tick()
        return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)


@contextmanager
def _open_tensors(
    folder: Path, kind: str, state: Mapping[str, Any], tick: Callable[[], None]
) -> Iterator[_SavedTensors]:
    count = state["shards"]
    paths = [folder / shard_name(kind, rank, count) for rank in range(count)]
    saved, path = _SavedTensors(paths[0], tick), paths[0]
    with ExitStack() as files:
        try:
            for path in paths:
                saved.add(path, files.enter_context(safe_open(path, framework="pt")), state["step"])
            yield saved
        except (OSError, SafetensorError) as error:
            raise _invalid(path, f"is not a complete safetensors file: {error}") from error


def _check_weights(saved: _SavedTensors, expected: Mapping[str, tuple[int, ...]]) -> None:
    _check_names(saved.path, saved.found, set(expected), set(expected))
    for name, shape in expected.items():
        _check_tensor(saved.path, name, saved.found[name], shape)


def _check_frozen(path: Path, saved: Any, frozen: Mapping[str, str]) -> None:
    """What is trained was trained on top of them, and kept features and the reference go by them."""
    if not isinstance(saved, dict) or saved.keys() != frozen.keys():
        raise _invalid(
            path, "trained other weights than are trained now: load the model as the run that it belongs to did"
        )
    other = sorted(name for name, digest in frozen.items() if saved[name] != digest)
    if other:
        raise _invalid(
            path,
            f"{some(other)} differed from the loaded model's, where it is frozen: load the model that the run began "
            "with, in the same type of computation, or train these weights as well",
        )


def _check_adapter(path: Path, saved: Any, adapter: Any) -> None:
    if saved != adapter:
        raise _invalid(path, f"has an adapter of settings {saved}, and the model one of {adapter}: load it as then")


def _check_optim(path: Path, state: Mapping[str, Any], optim: str) -> None:
    saved = state.get("optim", ADAMW)
    if saved != optim:
        raise _invalid(path, f'is of optimizer "{saved}", and the model trains with "{optim}": load it as then')


def _check_optimizer(saved: _SavedTensors, trained: Mapping[str, tuple[int, ...]], optim: str) -> None:
    path, found = saved.path, saved.found
    required = {
        f"{name}.{field}": layout
        for name, shape in trained.items()
        if f"{name}.step" in found
        for field, layout in state_layout(optim, shape).items()
    }
    _check_names(path, found, set(required), set(required))
    for name, (dtype, shape) in required.items():
        _check_tensor(path, name, found[name], shape, TYPE_NAMES[dtype])


def _check_names(path: Path, found: Found, required: set[str], known: set[str]) -> None:
    missing, unknown = sorted(required - found.keys()), sorted(found.keys() - known)
    if missing:
        raise _invalid(path, f"lacks {some(missing)}: it belongs to another model, or part of it was lost")
    if unknown:
        raise _invalid(path, f"has {some(unknown)}, which this model does not train: it belongs to another model")


def _check_tensor(
    path: Path, name: str, found: tuple[str, tuple[int, ...]], shape: tuple[int, ...], dtype: str = "F32"
) -> None:
    found_dtype, found_shape = found
    if found_shape != shape:
        raise _invalid(path, f"{name} has shape {list(found_shape)}, but this model's is {list(shape)}")
    if found_dtype != dtype:
        raise _invalid(path, f"{name} is of type {found_dtype}; training state is {dtype}")


def some(names: Sequence[str], limit: int = 3) -> str:
    """The first few, and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
