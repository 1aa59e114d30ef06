"""Sampling keeps the tokens and the probabilities that transformers' processors keep, and draws by inverse CDF."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from thurstone_runtime import sampling
from thurstone_runtime.errors import EngineError
from thurstone_runtime.random_draws import row_seeds, token_uniforms
from thurstone_runtime.sampling import SamplingOptions, check_finite, sample_tokens, sampling_logprobs

VOCABULARY = 23


def random_logits(seed: int, rows: int = 4) -> torch.Tensor:
    return 3 * torch.randn(rows, VOCABULARY, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def expected_logprobs(logits: torch.Tensor, options: SamplingOptions, seen_ids: torch.Tensor) -> torch.Tensor:
    processors = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(options.repetition_penalty)])
    processors.append(TemperatureLogitsWarper(options.temperature))
    if options.top_k:
        processors.append(TopKLogitsWarper(options.top_k))
    if options.top_p < 1:
        processors.append(TopPLogitsWarper(options.top_p))
    if options.min_p > 0:
        processors.append(MinPLogitsWarper(options.min_p))
    return torch.log_softmax(processors(seen_ids, logits.clone()), dim=-1)


def seen_mask(seen_ids: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(seen_ids), VOCABULARY, dtype=torch.bool).scatter(1, seen_ids, True)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.1, 3),
    st.one_of(st.just(1.0), st.floats(0.01, 0.999)),
    st.integers(0, VOCABULARY + 3),
    st.one_of(st.just(0.0), st.floats(0.001, 1)),
    st.one_of(st.just(1.0), st.floats(0.5, 2)),
)
def test_equals_the_processors_of_transformers(
    seed: int, temperature: float, top_p: float, top_k: int, min_p: float, penalty: float
) -> None:
    options = SamplingOptions(temperature, top_p, top_k, min_p, penalty)
    logits = random_logits(seed)
    seen_ids = torch.randint(0, VOCABULARY, (4, 6), generator=torch.Generator().manual_seed(seed))
    expected = expected_logprobs(logits, options, seen_ids)
    ours = sampling_logprobs(logits, options, seen_mask(seen_ids))
    assert torch.equal(ours == -torch.inf, expected == -torch.inf)
    kept = expected > -torch.inf
    assert torch.allclose(ours[kept], expected[kept], atol=1e-12)


@pytest.mark.parametrize("candidates", [1, 2, 5, VOCABULARY, 1000])
@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.7, 0.99, 1 - 1e-12])
def test_the_nucleus_is_the_same_however_many_candidates_are_ordered_at_first(
    monkeypatch: pytest.MonkeyPatch, candidates: int, top_p: float
) -> None:
    options = SamplingOptions(top_p=top_p)
    logits = random_logits(17, rows=30)
    whole = sampling_logprobs(logits, options)
    monkeypatch.setattr(sampling, "NUCLEUS_CANDIDATES", candidates)
    assert torch.equal(sampling_logprobs(logits, options), whole)


def test_tokens_of_one_score_are_in_the_nucleus_together() -> None:
    logits = torch.tensor([[0.25, 0.5, 0.125, 0.125]], dtype=torch.float64).log()
    kept = sampling_logprobs(logits, SamplingOptions(top_p=0.8)).exp()
    assert torch.allclose(kept, logits.exp())
    assert sampling_logprobs(logits, SamplingOptions(top_p=0.7)).isfinite().tolist() == [[True, True, False, False]]


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_takes_the_first_token_whose_cumulative_probability_exceeds_the_draw(seed: int, uniform: float) -> None:
    logits = random_logits(seed, rows=1)
    token, logprob = sample_tokens(logits, torch.tensor([uniform], dtype=torch.float64), SamplingOptions())
    probabilities = torch.softmax(logits[0], dim=-1).numpy()
    cumulative = np.cumsum(probabilities)
    expected = min(int(np.sum(cumulative <= uniform)), VOCABULARY - 1)
    assert token.item() == expected
    assert logprob.item() == pytest.approx(np.log(probabilities[expected]), abs=1e-6)


def test_a_draw_beyond_the_rounded_end_takes_the_last_possible_token() -> None:
    logits = torch.full((1, 6), -torch.inf, dtype=torch.float64)
    logits[0, 1:4] = torch.tensor([0.0, 1.0, 2.0])
    token, _ = sample_tokens(logits, torch.tensor([1.0], dtype=torch.float64), SamplingOptions())
    assert token.item() == 3


def test_draw_zero_never_takes_an_impossible_token() -> None:
    logits = torch.tensor([[-torch.inf, -torch.inf, 0.0, 0.0]], dtype=torch.float64)
    token, _ = sample_tokens(logits, torch.tensor([0.0], dtype=torch.float64), SamplingOptions())
    assert token.item() == 2


def test_frequencies_follow_the_reported_probabilities() -> None:
    rows = 40_000
    options = SamplingOptions(temperature=1.3, top_p=0.9, top_k=12)
    logits = random_logits(3, rows=1).expand(rows, -1)
    uniforms = torch.from_numpy(token_uniforms(row_seeds(np.array([123456789], dtype=np.int64), rows), 0))
    tokens, logprobs = sample_tokens(logits, uniforms, options)
    expected = sampling_logprobs(logits[:1], options)[0].exp()
    frequencies = torch.bincount(tokens, minlength=VOCABULARY) / rows
    assert torch.all(frequencies[expected == 0] == 0)
    assert (frequencies - expected).abs().max() < 4 * (0.25 / rows) ** 0.5
    assert torch.allclose(logprobs.double(), expected.log()[tokens], atol=1e-6)


def test_a_row_is_drawn_the_same_alone_and_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, uniforms = random_logits(5, rows=9), torch.rand(9, dtype=torch.float64)
    options = SamplingOptions(temperature=0.8, top_p=0.95, min_p=0.01)
    together = sample_tokens(logits, uniforms, options)
    order = torch.randperm(9)
    shuffled = sample_tokens(logits[order], uniforms[order], options)
    monkeypatch.setattr(sampling, "ROWS_TIMES_VOCABULARY", 2 * VOCABULARY)
    chunked = sample_tokens(logits, uniforms, options)
    for whole, mixed, cut in zip(together, shuffled, chunked, strict=True):
        assert torch.equal(whole[order], mixed)
        assert torch.equal(whole, cut)


def test_temperature_zero_is_argmax_with_the_whole_distribution() -> None:
    logits = random_logits(8)
    tokens, logprobs = sample_tokens(logits, torch.rand(4), SamplingOptions(temperature=0, top_k=3, top_p=0.2))
    assert torch.equal(tokens, logits.argmax(dim=-1))
    assert torch.allclose(logprobs.double(), torch.log_softmax(logits, dim=-1).max(dim=-1).values, atol=1e-6)


def test_the_penalty_can_move_the_argmax() -> None:
    logits = torch.tensor([[2.0, 1.9, -3.0]])
    seen = torch.tensor([[True, False, True]])
    token, _ = sample_tokens(logits, torch.zeros(1), SamplingOptions(temperature=0, repetition_penalty=1.2), seen)
    assert token.item() == 1


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_refuses_logits_that_are_not_finite(bad: float, temperature: float) -> None:
    logits = random_logits(1)
    logits[2, 5] = bad
    options = SamplingOptions(temperature=temperature, top_p=0.9, top_k=4)
    _, logprobs = sample_tokens(logits, torch.full((4,), 0.5), options)
    assert torch.isfinite(logprobs).tolist() == [True, True, False, True]
    with pytest.raises(EngineError) as caught:
        check_finite(logprobs.numpy())
    assert caught.value.code == "non_finite_logits"


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"min_p": 1.5},
        {"repetition_penalty": 0.0},
    ],
)
def test_refuses_settings_out_of_range(setting: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match=next(iter(setting))) as caught:
        SamplingOptions(**setting)
    assert caught.value.code == "bad_argument"
