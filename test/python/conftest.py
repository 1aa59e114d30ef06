"""What several Python tests share: a small checkpoint, the golden files, a context that lets everything pass."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest

# Read when torch is first imported. Models this small run several times slower on threads that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# As in a worker (`thurstone_runtime.importing`): what test modules import stays and is not searched for garbage.
gc.disable()


def pytest_collection_finish() -> None:
    """All test modules are imported."""
    gc.freeze()
    gc.enable()


GOLDEN = Path(__file__).parents[1] / "golden"


class OpenContext:
    """Never cancelled; keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.phases: list[str] = []
        self.ticks = 0

    def check_cancelled(self) -> None:
        """Goes on."""

    def tick(self) -> None:
        """Counts."""
        self.ticks += 1

    def progress(self, **fields: Any) -> None:
        """Keeps the event."""
        self.events.append(fields)

    def set_phase(self, name: str) -> None:
        """Keeps the phase."""
        self.phases.append(name)


@pytest.fixture
def context() -> OpenContext:
    """A context that is never cancelled and keeps what it was told."""
    return OpenContext()


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden files."""
    return GOLDEN


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen2.5-VL checkpoint of 0.2 M parameters."""
    from thurstone_runtime.make_checkpoint import make_checkpoint

    folder = tmp_path_factory.mktemp("checkpoint") / "micro"
    make_checkpoint(folder, preset="micro", seed=0)
    return folder


@pytest.fixture(scope="session")
def loaded(tiny_checkpoint: Path) -> Any:
    """The small checkpoint in float32 on the CPU, for inference. Not to be changed."""
    from thurstone_runtime.families import load_model

    return load_model(str(tiny_checkpoint), device="cpu", torch_dtype="float32", attention="sdpa")


@pytest.fixture(scope="session")
def lively(tiny_checkpoint: Path) -> Any:
    """The same in float64, where another shape of the batch changes no token, with its weights scaled up, so that its
    distributions are far from uniform. Not to be changed."""
    import dataclasses

    import torch

    from thurstone_runtime.families import load_model

    fresh = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="float32", attention="sdpa")
    fresh.model.double()
    with torch.no_grad():
        for name, weight in fresh.model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(3.0 if "visual" in name else 6.0)
    return dataclasses.replace(fresh, compute_dtype=torch.float64)
