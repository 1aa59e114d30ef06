"""Several ranks and one process run the script of `rank_program` in every case, and what they leave is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from rank_program import alone, settings_of, steps
from training_task import Worker

SECONDS = 600


def run_cases(folder: Path, checkpoint: Path, cases: list[str], world: int) -> None:
    """Leaves in `folder`, which is to be empty, what `world` ranks and one process alone saw and wrote.

    Raises:
        AssertionError: a rank failed; the message is what all of them said.
    """
    with_many_ends(checkpoint, folder / "checkpoint")
    without_ranks = list(dict.fromkeys(map(alone, cases)))
    for case in (*without_ranks, *cases):
        (folder / case).mkdir()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    }
    program = [sys.executable, str(Path(__file__).with_name("rank_program.py"))]
    ranks = [
        subprocess.Popen(
            [*program, str(rank), str(world), str(folder), *cases],
            env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(world)
    ]
    for case in without_ranks:
        worker = Worker(folder / "checkpoint", **settings_of(case), allowed_roots=[str(folder)])
        (folder / case / "rank 0.json").write_text(json.dumps(steps(case, worker, 0, 1, folder / case)))
    said = [rank.communicate(timeout=SECONDS)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * world, "\n".join(said)


def with_many_ends(checkpoint: Path, folder: Path) -> None:
    """The same checkpoint, of which every eighth token ends a completion, so that some end early."""
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((checkpoint / "generation_config.json").read_text())
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": list(range(0, 512, 8))}))


def seen(folder: Path, case: str) -> list[dict[str, Any]]:
    """What each rank saw."""
    return [json.loads(path.read_text()) for path in sorted((folder / case).glob("rank *.json"))]


def tokens_of(ranks: list[dict[str, Any]], how: str = "gathered") -> dict[str, list[int]]:
    """Tokens by prompt, of all ranks together."""
    return {number: tokens for rank in ranks for number, tokens in rank[how]["tokens"].items()}


def total(ranks: list[dict[str, Any]], name: str) -> float:
    """A sum of the loss over all parts of all ranks."""
    return sum(sums[name] for rank in ranks for sums in rank["sums"])


def state(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """All tensors of a saved state, whatever the number of files."""
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob(f"{kind}*.safetensors")):
        tensors = load_file(path)
        assert not found.keys() & tensors.keys()
        found |= tensors
    return found


def gradient_differences(folder: Path, case: str, step: str = "step 1") -> dict[str, float]:
    """By tensor, how far AdamW's moments are from those of one process, over their length (or 1e-4, if that is
    shorter). After one update without clipping the first one is a tenth of the gradient."""
    expected = state(folder / alone(case) / step, "optimizer")
    found = state(folder / case / step, "optimizer")
    assert found.keys() == expected.keys()
    return {
        name: ((found[name] - moment).norm() / moment.norm().clamp(min=1e-4)).item()
        for name, moment in expected.items()
    }
