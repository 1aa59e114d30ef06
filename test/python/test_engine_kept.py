"""What the worker keeps between calls: old log-probabilities of a rollout batch, and those of the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_task import Worker, refused


@pytest.fixture
def worker(tiny_checkpoint: Path) -> Worker:
    """A fresh model in training, with a reference."""
    return Worker(tiny_checkpoint, reference=True)


def test_old_logprobs_are_kept_by_batch_and_position(worker):
    part = worker.part()
    refused("old_logprobs_missing", worker.forward_backward, part, loss={"old": "stored"})
    stored = worker.logprobs(part, store=True)["logprobs"]
    detached, _ = worker.forward_backward(part)
    same, tensors = worker.forward_backward(part, loss={"old": "stored"})
    assert same["loss"] == pytest.approx(detached["loss"], rel=1e-5)
    assert tensors["logprobs"].numpy() == pytest.approx(stored, abs=1e-5)

    worker.optim_step()
    moved, tensors = worker.forward_backward(part, loss={"old": "stored"})
    weights, advantages = np.concatenate(part.weights), np.concatenate(part.advantages)
    ratio = np.exp(tensors["logprobs"].numpy().astype(np.float64) - stored)
    expected = -(weights * np.minimum(ratio * advantages, ratio.clip(0.8, 1.2) * advantages)).sum()
    assert moved["loss"] == pytest.approx(expected, rel=1e-4)
    assert abs(moved["loss"] - detached["loss"]) > 1e-4

    refused("old_logprobs_missing", worker.forward_backward, part, loss={"old": "stored"}, batch_id="other")
    elsewhere = worker.part()
    elsewhere.first_index = 20
    refused("old_logprobs_missing", worker.forward_backward, elsewhere, loss={"old": "stored"})
    refused("bad_argument", worker.forward_backward, part, loss={"old": "stored"}, temperature=0.5)
    another = worker.part()
    another.completions[0][0][0] += 1
    assert "one rollout batch" in refused("bad_argument", worker.forward_backward, another, loss={"old": "stored"})


def test_the_last_two_batches_are_kept(worker):
    part = worker.part(keys=("",))
    for name in ("first", "second", "third"):
        worker.logprobs(part, store=True, batch_id=name)
    refused("old_logprobs_missing", worker.forward_backward, part, loss={"old": "stored"}, batch_id="first")
    for name in ("second", "third"):
        worker.forward_backward(part, loss={"old": "stored"}, batch_id=name)


def test_reference_is_computed_once_and_when_first_needed(worker):
    # A completion of its own for each prompt: one pass, because there is nothing to share.
    part = worker.part(keys=("a", ""), samples=1)
    calls = []
    worker.engine._session.scorer.reference.loaded.model.register_forward_pre_hook(lambda *_: calls.append("whole"))
    text = worker.engine._session.scorer.reference.loaded.model.model.language_model
    text.register_forward_pre_hook(lambda *_: calls.append("text"))
    worker.step(part)
    assert calls == []
    first, _ = worker.forward_backward(part, loss={"beta": 0.1})
    assert calls == ["text"]
    worker.optim_step()
    second, _ = worker.forward_backward(part, loss={"beta": 0.1})
    assert calls == ["text"]
    assert 0 < first["weighted_kl"] < second["weighted_kl"]
    assert second["loss"] == pytest.approx(second["policy_loss"] + 0.1 * second["weighted_kl"])


def test_reference_stays_what_was_loaded(worker):
    part = worker.part()
    at_start = worker.logprobs(part)["logprobs"]
    for _ in range(2):
        worker.step(part, beta=0.1)
    assert np.array_equal(worker.logprobs(part, of="reference")["logprobs"], at_start)
    assert np.abs(worker.logprobs(part)["logprobs"] - at_start).max() > 1e-3


def test_without_a_reference_there_is_none(tiny_checkpoint):
    worker = Worker(tiny_checkpoint, reference=False)
    part = worker.part()
    assert worker.engine._session.scorer.reference is None
    answer, _ = worker.forward_backward(part)
    assert answer["kl"] == answer["weighted_kl"] == 0.0
    refused("no_reference", worker.forward_backward, part, loss={"beta": 0.1})
    refused("no_reference", worker.logprobs, part, of="reference")
