"""Two ranks give what one gives, under every strategy: tokens, losses, gradients, checkpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rank_program import before, in_pieces, script, settings_of
from training_task import Worker

CASES = [f"{strategy}{kind}" for kind in ("", " lora") for strategy in ("ddp", "zero2", "zero3", "fsdp2")]
SAMPLED = [*CASES, "fsdp2 bfloat16"]
WORLD = 2
SECONDS = 600


def alone(case: str) -> str:
    """The case of one process."""
    return " ".join(["single", *case.split(" ")[1:]])


ALONE = list(dict.fromkeys(map(alone, SAMPLED)))


def with_many_ends(checkpoint: Path, folder: Path) -> None:
    """The same checkpoint, of which every eighth token ends a completion, so that some end early."""
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((checkpoint / "generation_config.json").read_text())
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": list(range(0, 512, 8))}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """What two ranks left in every case, and one process alone."""
    own = tmp_path_factory.mktemp("ranks")
    with_many_ends(tiny_checkpoint, own / "checkpoint")
    for case in (*ALONE, *SAMPLED):
        (own / case).mkdir()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    }
    program = [sys.executable, str(Path(__file__).with_name("rank_program.py"))]
    ranks = [
        subprocess.Popen(
            [*program, str(rank), str(WORLD), str(own), *SAMPLED],
            env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(WORLD)
    ]
    for case in ALONE:
        worker = Worker(own / "checkpoint", **settings_of(case), allowed_roots=[str(own)])
        (own / case / "rank 0.json").write_text(json.dumps(script(case, worker, 0, 1, own / case)))
    said = [rank.communicate(timeout=SECONDS)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * WORLD, "\n".join(said)
    return own


def seen(folder: Path, case: str) -> list[dict[str, Any]]:
    """What each rank saw."""
    return [json.loads(path.read_text()) for path in sorted((folder / case).glob("rank *.json"))]


def state(folder: Path, kind: str) -> dict[str, torch.Tensor]:
    """All tensors of a saved state, whatever the number of files."""
    found: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob(f"{kind}*.safetensors")):
        tensors = load_file(path)
        assert not found.keys() & tensors.keys()
        found |= tensors
    return found


@pytest.mark.parametrize("case", SAMPLED)
def test_sampled_tokens_and_scores_are_those_of_one_process(folder, case):
    ranks, [one] = (seen(folder, name) for name in (case, alone(case)))
    expected = one["gathered"]
    merged = {number: tokens for rank in ranks for number, tokens in rank["gathered"]["tokens"].items()}
    assert merged == expected["tokens"]
    # Some rows ended long before others.
    assert len({len(tokens) for tokens in merged.values()}) > 1
    for found, row in zip(ranks[0]["gathered"]["candidates"], expected["candidates"], strict=True):
        assert found == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize("case", [case for case in SAMPLED if in_pieces(case)])
def test_layer_by_layer_every_token_and_score_is_that_of_whole_weights(folder, case):
    for rank in seen(folder, case):
        assert rank["layerwise"] == rank["gathered"]


@pytest.mark.parametrize("case", CASES)
def test_sums_and_norms_are_those_of_one_process(folder, case):
    [one] = seen(folder, alone(case))
    ranks = seen(folder, case)
    for name in ("loss", "kl", "entropy", "tokens", "sequences"):
        total = sum(sums[name] for rank in ranks for sums in rank["sums"])
        assert total == pytest.approx(sum(sums[name] for sums in one["sums"]), rel=1e-4, abs=1e-6)
    for rank in ranks:
        assert rank["norms"] == pytest.approx(one["norms"], rel=1e-5)
        assert rank["norms"] == ranks[0]["norms"]


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_sum_over_ranks(folder, case):
    """After one update without clipping AdamW's first moment is a tenth of the gradient."""
    expected = state(folder / alone(case) / "step 1", "optimizer")
    found = state(folder / case / "step 1", "optimizer")
    assert found.keys() == expected.keys()
    for name, moment in expected.items():
        difference = (found[name] - moment).norm()
        assert difference <= 1e-5 * moment.norm() + 1e-9, (name, (found[name] / moment).median())


@pytest.mark.parametrize("case", CASES)
def test_weights_and_exports_are_those_of_one_process_and_any_rank_count_reads_them(folder, case, tiny_checkpoint):
    expected = state(folder / alone(case) / "step 2", "weights")
    found = state(folder / case / "step 2", "weights")
    assert found.keys() == expected.keys()
    # An update moves a weight by up to the learning rate, whatever the gradient's size.
    assert max((found[name] - weight).abs().max().item() for name, weight in expected.items()) < 2e-5
    assert [rank["restored"] for rank in seen(folder, case)] == [1] * WORLD
    for rank in seen(folder, case):
        first, second, restored = rank["scores"]
        assert restored == first != second

    worker = Worker(tiny_checkpoint, **settings_of(alone(case)), allowed_roots=[str(folder)])
    answer, _ = worker.engine.restore({"path": str(folder / case / "step 2")}, {}, worker.context)
    assert answer["step"] == 2
    parameters = dict(worker.model.named_parameters())
    assert all(torch.equal(parameters[name].detach(), weight) for name, weight in found.items())

    own = folder / case / "export by one"
    worker.engine.export({"path": str(own), "dtype": "float32", "merge": "lora" in case}, {}, worker.context)
    exported, expected = (load_file(path / "model.safetensors") for path in (folder / case / "export", own))
    assert exported.keys() == expected.keys()
    assert all(torch.equal(exported[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize("case", CASES)
def test_a_step_from_a_checkpoint_is_the_step_without_one_to_the_bit(folder, case):
    for kind in ("weights", "optimizer"):
        expected, found = (state(folder / case / step, kind) for step in ("step 2", "step 2 again"))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("case", CASES)
def test_a_snapshot_written_an_update_later_is_the_checkpoint_of_its_moment(folder, case):
    at_once, later = (
        {file.name: file.read_bytes() for file in (folder / case / name).iterdir()} for name in ("step 1", "snapshot")
    )
    assert len(later) == 2 * WORLD + 1
    assert later == at_once


@pytest.mark.parametrize("case", [case for case in CASES if before(case, CASES)])
def test_a_state_that_another_strategy_saved_is_taken_over_to_the_bit(folder, case):
    for kind in ("weights", "optimizer"):
        expected = state(folder / str(before(case, CASES)) / "step 1", kind)
        found = state(folder / case / "taken over", kind)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
