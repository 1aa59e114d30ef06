"""Two ranks give what one gives, under every strategy: tokens, losses, gradients, checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rank_program import MAX_GRAD_NORMS, alone, before, in_pieces, samples, settings_of
from rank_runs import gradient_differences, run_cases, seen, state, tokens_of, total
from training_task import Worker

CASES = [f"{strategy}{kind}" for kind in ("", " lora") for strategy in ("ddp", "zero2", "zero3", "fsdp2")]
EXACT = [
    *CASES,
    "ddp lora dora",
    "zero3 lora dora",
    "fsdp2 lora dora checkpointing",
    "ddp vision checkpointing",
    "zero2 vision offload",
    "zero3 vision offload checkpointing",
    "fsdp2 vision checkpointing",
    "fsdp2 frozen checkpointing",
]
STEPPED = [*EXACT, "ddp 8bit", "fsdp2 bfloat16"]
SAMPLED = [case for case in STEPPED if samples(case)]
WORLD = 2


def rounded(case: str) -> bool:
    """Whether the second update is computed with weights that may have been rounded to the other side."""
    return "bfloat16" in case


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """What two ranks left in every case, and one process alone."""
    own = tmp_path_factory.mktemp("ranks")
    run_cases(own, tiny_checkpoint, STEPPED, WORLD)
    return own


@pytest.mark.parametrize("case", CASES)
def test_one_rank_reads_weights_that_are_cut(folder, case):
    first, second = (rank["read"] for rank in seen(folder, case))
    assert first > 500_000
    assert second < first / 1000 if in_pieces(case) else second == first


@pytest.mark.parametrize("case", SAMPLED)
def test_sampled_tokens_and_scores_are_those_of_one_process(folder, case):
    ranks, [one] = (seen(folder, name) for name in (case, alone(case)))
    expected = one["gathered"]
    merged = tokens_of(ranks)
    assert merged == expected["tokens"]
    # Some rows ended long before others.
    assert len({len(tokens) for tokens in merged.values()}) > 1
    for found, row in zip(ranks[0]["gathered"]["candidates"], expected["candidates"], strict=True):
        assert found == pytest.approx(row, abs=1e-5)


@pytest.mark.parametrize("case", [case for case in SAMPLED if in_pieces(case)])
def test_layer_by_layer_every_token_and_score_is_that_of_whole_weights(folder, case):
    for rank in seen(folder, case):
        assert rank["layerwise"] == rank["gathered"]


@pytest.mark.parametrize("case", STEPPED)
def test_sums_and_norms_are_those_of_one_process(folder, case):
    one = seen(folder, alone(case))
    ranks = seen(folder, case)
    near = 100 if rounded(case) else 1
    for name in ("loss", "kl", "entropy", "tokens", "sequences"):
        assert total(ranks, name) == pytest.approx(total(one, name), rel=near * 1e-4, abs=near * 1e-6)
    for rank in ranks:
        assert rank["norms"] == pytest.approx(one[0]["norms"], rel=near * 1e-5)
        assert rank["norms"] == ranks[0]["norms"]


@pytest.mark.parametrize("case", [*EXACT, "fsdp2 bfloat16"])
def test_gradients_are_the_sum_over_ranks(folder, case):
    differences = gradient_differences(folder, case)
    assert max(differences.values()) <= 1e-5, differences


@pytest.mark.parametrize("case", EXACT)
def test_a_clipped_gradient_is_that_of_one_process(folder, case):
    assert seen(folder, case)[0]["norms"][1] > 2 * MAX_GRAD_NORMS[1]
    differences = gradient_differences(folder, case, "step 2")
    assert max(differences.values()) <= 1e-5, differences


@pytest.mark.parametrize("case", STEPPED)
def test_weights_and_exports_are_those_of_one_process_and_any_rank_count_reads_them(folder, case, tiny_checkpoint):
    expected = state(folder / alone(case) / "step 2", "weights")
    found = state(folder / case / "step 2", "weights")
    assert found.keys() == expected.keys()
    # An update moves a weight by up to the learning rate, whatever the gradient's size.
    limit = 2e-4 if rounded(case) else 2e-5
    assert max((found[name] - weight).abs().max().item() for name, weight in expected.items()) < limit
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


@pytest.mark.parametrize("case", STEPPED)
def test_a_step_from_a_checkpoint_is_the_step_without_one_to_the_bit(folder, case):
    for kind in ("weights", "optimizer"):
        expected, found = (state(folder / case / step, kind) for step in ("step 2", "step 2 again"))
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("case", STEPPED)
def test_a_snapshot_written_an_update_later_is_the_checkpoint_of_its_moment(folder, case):
    at_once, later = (
        {file.name: file.read_bytes() for file in (folder / case / name).iterdir()} for name in ("step 1", "snapshot")
    )
    assert len(later) == 2 * WORLD + 1
    assert later == at_once


@pytest.mark.parametrize("case", [case for case in STEPPED if before(case, STEPPED)])
def test_a_state_that_another_strategy_saved_is_taken_over_to_the_bit(folder, case):
    for kind in ("weights", "optimizer"):
        expected = state(folder / str(before(case, STEPPED)) / "step 1", kind)
        found = state(folder / case / "taken over", kind)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
