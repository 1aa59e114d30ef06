"""From logits to a token: penalties and cuts in the order of transformers' `generate`, then one inverse-CDF draw.

Everything is row by row and in float64, so that a row's token does not depend on what else is in the batch.

Suffixes: B rows, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import EngineError, non_finite_logits

ROWS_TIMES_VOCABULARY = 2**24
"""Rows are drawn in chunks of at most so many float64 probabilities (128 MiB each for a few of them)."""

NUCLEUS_CANDIDATES = 512
"""So many of the most likely tokens are put in order for top_p at first; eight times as many when they do not do."""


@dataclass(frozen=True)
class SamplingOptions:
    """How the distribution is changed before a token is drawn; the defaults change nothing.

    `temperature` 0 takes the most likely token. `top_k` 0 is off. `repetition_penalty` as in CTRL (arXiv 1909.05858).
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed, expected in (
            ("temperature", 0 <= self.temperature < float("inf"), "a number >= 0"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("top_k", self.top_k >= 0, "an integer >= 0"),
            ("min_p", 0 <= self.min_p <= 1, "in [0, 1]"),
            ("repetition_penalty", 0 < self.repetition_penalty < float("inf"), "a number > 0"),
        ):
            if not allowed:
                raise EngineError("bad_argument", f"{name} is {getattr(self, name)}; expected {expected}.")


def sample_tokens(
    logits_BV: Tensor, uniforms_B: Tensor, options: SamplingOptions, seen_BV: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draws one token per row: the first in vocabulary order whose cumulative probability exceeds the row's uniform.

    `seen_BV` (bool) marks the tokens of prompt and completion, for the repetition penalty. Returns int64 [B] and the
    log-probability float32 [B] under the distribution that was drawn from: after penalty, temperature and cuts. At
    temperature 0 nothing is drawn, and the log-probability is that of the whole distribution at temperature 1 (after
    the penalty). A row with NaN or +inf has a log-probability that is not finite: see `check_finite`. Results are on
    the device of the logits, which is never waited for.
    """
    device = logits_BV.device
    if device.type == "mps":  # has no float64
        logits_BV, uniforms_B = logits_BV.cpu(), uniforms_B.cpu()
        seen_BV = None if seen_BV is None else seen_BV.cpu()
    chunk = max(1, ROWS_TIMES_VOCABULARY // logits_BV.shape[1])
    drawn = [
        _sample_chunk(
            logits_BV[start : start + chunk],
            uniforms_B[start : start + chunk],
            options,
            None if seen_BV is None else seen_BV[start : start + chunk],
        )
        for start in range(0, logits_BV.shape[0], chunk)
    ]
    tokens_B = torch.cat([tokens for tokens, _ in drawn])
    logprobs_B = torch.cat([logprobs for _, logprobs in drawn])
    return tokens_B.to(device), logprobs_B.float().to(device)


def check_finite(logprobs: NDArray[np.float32]) -> None:
    """Raises `non_finite_logits` when a drawn token's log-probability is not finite."""
    if not np.isfinite(logprobs).all():
        raise non_finite_logits()


def sampling_logprobs(logits_BV: Tensor, options: SamplingOptions, seen_BV: Tensor | None = None) -> Tensor:
    """The log-probabilities that a token is drawn from, float64 [B, V]; -inf where it was cut off.

    At temperature 0: those of temperature 1 without cuts.
    """
    scores_BV = logits_BV.double()
    if options.repetition_penalty != 1.0 and seen_BV is not None:
        penalty = options.repetition_penalty
        penalised_BV = torch.where(scores_BV < 0, scores_BV * penalty, scores_BV / penalty)
        scores_BV = torch.where(seen_BV, penalised_BV, scores_BV)
    if options.temperature == 0:
        return torch.log_softmax(scores_BV, dim=-1)

    scores_BV = scores_BV / options.temperature
    if options.top_k:
        kept = min(options.top_k, scores_BV.shape[-1])
        smallest_kept_B1 = torch.topk(scores_BV, kept).values[:, -1:]
        scores_BV = scores_BV.masked_fill(scores_BV < smallest_kept_B1, -torch.inf)
    if options.top_p < 1.0:
        scores_BV = scores_BV.masked_fill(scores_BV < _least_of_nucleus(scores_BV, options.top_p), -torch.inf)
    if options.min_p > 0.0:
        probabilities_BV = torch.softmax(scores_BV, dim=-1)
        largest_B1 = probabilities_BV.max(dim=-1, keepdim=True).values
        scores_BV = scores_BV.masked_fill(probabilities_BV < options.min_p * largest_B1, -torch.inf)
    return torch.log_softmax(scores_BV, dim=-1)


def _least_of_nucleus(scores_BV: Tensor, top_p: float) -> Tensor:
    """[B, 1]: the lowest score in the smallest set of most likely tokens whose probabilities reach `top_p`. Tokens of
    one score are in or out together, as with top_k.

    The set (Holtzman et al., arXiv 1904.09751) is small as a rule, so that on a CPU only its candidates are put in
    order, and not the vocabulary. Elsewhere that would mean waiting for the device, which orders all of it sooner.
    """
    total_B1 = torch.logsumexp(scores_BV, dim=-1, keepdim=True)
    vocabulary = scores_BV.shape[-1]
    candidates = 0 if scores_BV.device.type == "cpu" else vocabulary
    while True:
        candidates = min(candidates * 8 or NUCLEUS_CANDIDATES, vocabulary)
        scores_BK = torch.topk(scores_BV, candidates).values
        probabilities_BK = (scores_BK - total_B1).exp()
        inside_B1 = (probabilities_BK.cumsum(dim=-1) - probabilities_BK < top_p).sum(dim=-1, keepdim=True)
        if candidates == vocabulary or bool((inside_B1 < candidates).all()):
            return scores_BK.gather(1, inside_B1.clamp(min=1) - 1)


def _sample_chunk(
    logits_BV: Tensor, uniforms_B: Tensor, options: SamplingOptions, seen_BV: Tensor | None
) -> tuple[Tensor, Tensor]:
    logprobs_BV = sampling_logprobs(logits_BV, options, seen_BV)
    if options.temperature == 0:
        tokens_B1 = logprobs_BV.argmax(dim=-1, keepdim=True)
    else:
        tokens_B1 = _first_exceeding(logprobs_BV.exp(), uniforms_B)
    return tokens_B1.squeeze(1), logprobs_BV.gather(1, tokens_B1).squeeze(1)


def _first_exceeding(probabilities_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """int64 [B, 1]. Rounding can leave the last cumulative sum just below 1: a draw beyond it takes the last token that
    adds to the sum."""
    cumulative_BV = probabilities_BV.cumsum(dim=-1)
    found_B1 = torch.searchsorted(cumulative_BV, uniforms_B.double().unsqueeze(1), right=True)
    last_B1 = torch.searchsorted(cumulative_BV, cumulative_BV[:, -1:].contiguous())
    return torch.minimum(found_B1, last_B1).clamp(max=cumulative_BV.shape[1] - 1)  # NaN lies beyond everything
