"""The loss as `forwardBackward` takes it: every surrogate through the verb, what each promises, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from thurstone_runtime.surrogates import SURROGATES
from training_task import Worker, refused


@pytest.fixture(scope="module")
def worker(tiny_checkpoint):
    return Worker(tiny_checkpoint)


@pytest.mark.parametrize("surrogate", [name for name in SURROGATES if name != "nll"])
def test_on_the_first_update_every_surrogate_pulls_alike(worker, surrogate):
    part = worker.part()
    worker.forward_backward(part, loss={"surrogate": "nll"})
    expected = worker.gradients()
    answer, _ = worker.forward_backward(part, loss={"surrogate": surrogate})
    for name, gradient in worker.gradients().items():
        assert (gradient - expected[name]).abs().max() <= 1e-5 * expected[name].abs().max(), name
    assert answer["clipped_low"] == answer["clipped_high"] == 0
    assert answer["tokens"] == sum(map(len, part.weights))


def test_an_entropy_bonus_alone_raises_the_entropy(tiny_checkpoint):
    worker = Worker(tiny_checkpoint)
    part = worker.part()
    part.advantages = [np.zeros_like(own) for own in part.advantages]
    spec = {"surrogate": "clip", "entropy_coefficient": 1.0}
    losses, entropies = [], []
    for _ in range(4):
        answer, _ = worker.forward_backward(part, loss=spec)
        losses.append(answer["loss"])
        entropies.append(worker.logprobs(part, entropy=True)["entropy"])
        assert answer["policy_loss"] == 0
        assert answer["loss"] == pytest.approx(-(np.concatenate(part.weights) * entropies[-1]).sum(), rel=1e-5)
        worker.optim_step()
    assert losses == sorted(losses, reverse=True)
    assert entropies[-1].mean() > entropies[0].mean()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"surrogate": "gspo"}, "[surrogate] is one of clip, sequence_clip, cispo, sapo, nll"),
        ({"surrogate": "clip", "epsilon_low": 0.1}, 'and without "epsilon_low"'),
        ({"surrogate": "clip", "epsilon_high": -1}, "[epsilon_high] is a finite number from 0"),
        ({"surrogate": "clip", "delta": 0.5}, "[delta] is a finite number from 1"),
        ({"surrogate": "cispo", "delta": 4}, "delta caps the ratio of clip and sequence_clip; surrogate cispo has no"),
        ({"surrogate": "sapo", "tau_positive": 0}, "[tau_positive] is a finite number from 1e-06"),
        ({"surrogate": "clip", "beta": -0.1}, "[beta] is a finite number from 0"),
        ({"surrogate": "clip", "entropy_coefficient": float("nan")}, "[entropy_coefficient] is a finite number"),
        ({"surrogate": "clip", "entropy_coefficient": "0.1"}, "[entropy_coefficient] is a finite number"),
    ],
)
def test_a_loss_that_cannot_be_honoured_is_refused_by_name(worker, loss, message):
    part = worker.part()
    worker.forward_backward(part)
    assert message in refused("bad_argument", worker.forward_backward, part, loss=loss, number=1)
    assert worker.gradients() == {}
