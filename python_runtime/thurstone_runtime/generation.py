"""The decode loop: vision once per image, prefill once per prompt, whose keys and values its samples share.

Rows that have ended leave the batch. Positions are always explicit, and every draw is a function of the row's own seed,
so the batch, its order and its shrinking change no draw.

Where weights lie in pieces, all ranks make every pass together: one that has nothing left passes idly until the last
row of the last rank has ended. What a rank fails at between two passes, the others are told before the next.

Suffixes: P prompts, B prompts of one prefill, L positions, R rows still in the cache, N = P * samples rows in all,
H hidden size, V vocabulary, 3 axes of a position.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batches import Group
from .errors import EngineError
from .families import LoadedModel
from .images import Picture
from .kv_cache import DecodeLayout, PrefillLayout, PromptSection
from .layers import heeded
from .packing import forward_row, pack
from .random_draws import row_seeds, token_uniforms
from .sampling import SamplingOptions, check_finite, sample_tokens
from .vision import VisionTower

STOP, LENGTH, ABORTED = 0, 1, 2
"""Why a row ended: an end token, `max_new_tokens`, or it was given up."""

TOKENS_PER_PREFILL = 16_384
FIRST_ROOM = 256
"""The cache makes room for so many new tokens at first, and then grows by half."""
FINISHED_SHARE = 1 / 8
"""Ended rows leave the cache once they are this share of it, because leaving copies the rest."""
STEPS_PER_PROGRESS = 16
READ_BEHIND = {"cuda": 1}
"""By type of device: so many steps are under way before the tokens of the first are read, so that the device never
waits for this loop. A row that has ended is then run on for as many steps, and what it draws is dropped."""


class Context(Protocol):
    """The part of `context.CallContext` that a decode loop uses."""

    def check_cancelled(self) -> None: ...
    def tick(self) -> None: ...
    def progress(self, **fields: Any) -> None: ...
    def set_phase(self, name: str) -> None: ...


@dataclass(frozen=True)
class PromptInput:
    """One prompt: ids with expanded placeholders, the key of its draws (int64, two's complement), and its pictures in
    their order; one that stands in several prompts is encoded once."""

    ids: Sequence[int]
    key: int
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class GenerateOptions:
    """`samples` completions per prompt, each of at most `max_new_tokens` tokens; another `attempt` draws others."""

    samples: int = 1
    max_new_tokens: int = 256
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    attempt: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise EngineError("bad_argument", f"{name} is {getattr(self, name)}; expected an integer >= 1.")


@dataclass(frozen=True)
class GenerationResult:
    """Rows are prompt-major. A completion that ended by itself includes its end token."""

    tokens: NDArray[np.int32]
    """[sum of lengths]"""
    lengths: NDArray[np.int32]
    """[N]"""
    logprobs: NDArray[np.float32]
    """[sum of lengths], of the distribution that each token was drawn from; see `sampling.sample_tokens`."""
    finish: NDArray[np.uint8]
    """[N]: STOP or LENGTH."""
    decode_steps: int
    prefill_seconds: float
    """Vision and prompts."""
    decode_seconds: float

    @staticmethod
    def nothing() -> GenerationResult:
        """Of no prompts: what a rank samples when there are more ranks than prompts."""
        none = np.zeros(0, np.int32)
        return GenerationResult(none, none, np.zeros(0, np.float32), np.zeros(0, np.uint8), 0, 0.0, 0.0)


@torch.no_grad()
def generate(
    loaded: LoadedModel,
    tower: VisionTower,
    prompts: Sequence[PromptInput],
    options: GenerateOptions,
    context: Context,
) -> GenerationResult:
    """Samples `options.samples` completions of every prompt. Where passes are made by all ranks, all call it together.

    Raises EngineError `bad_argument`, `prompt_too_long`, `image_token_mismatch`, `non_finite_logits`, and whatever
    `context.check_cancelled` raises between steps.
    """
    if not prompts and not loaded.ranks.in_step:
        return GenerationResult.nothing()
    with loaded.ranks.together():
        _check_prompts(loaded, prompts, options)
        context.check_cancelled()
    with loaded.autocast():
        started = _now(loaded)
        context.set_phase("prefill")
        prefilled: list[_Prefilled] = []
        # Kept aside: what comes out of the entrance DeepSpeed looks through for tensors.
        loaded.entrance(lambda: prefilled.extend(_prefill(loaded, tower, prompts, context)))
        prefill_ended = _now(loaded)
        context.set_phase("decode")
        rows = _Rows(loaded, prompts, prefilled[0], options) if prefilled else None
        _decode(loaded, rows, context)
        if rows is None:
            return GenerationResult.nothing()
        return rows.result(prefill_ended - started, _now(loaded) - prefill_ended)


def _decode(loaded: LoadedModel, rows: _Rows | None, context: Context) -> None:
    """Draws and passes until every row has ended, at the ranks that pass together."""
    goes_on = rows is not None
    while True:
        with loaded.ranks.together():
            context.check_cancelled()
            goes_on = goes_on and rows is not None and rows.draw(context)
            context.tick()
        if not loaded.ranks.highest(int(goes_on)):
            return
        loaded.entrance(rows.feed if goes_on and rows is not None else lambda: _pass_idly(loaded))


def _pass_idly(loaded: LoadedModel) -> None:
    """The pass of other ranks, on a single token."""
    token_11 = torch.full((1, 1), loaded.pad_token_id, device=loaded.device)
    position_311 = torch.zeros(3, 1, 1, dtype=torch.long, device=loaded.device)
    loaded.family.head(loaded.model, loaded.family.forward_hidden(loaded.model, token_11, position_311))


@dataclass(frozen=True)
class _Prefilled:
    sections: list[PromptSection]
    logits: Tensor
    """[P, V], for the first new token."""
    next_position: Tensor
    """int64 [P]"""


def _check_prompts(loaded: LoadedModel, prompts: Sequence[PromptInput], options: GenerateOptions) -> None:
    for number, prompt in enumerate(prompts):
        if not len(prompt.ids) or min(prompt.ids) < 0 or max(prompt.ids) >= loaded.vocab_size:
            raise EngineError(
                "bad_argument", f"prompt {number} is empty or has an id outside 0 .. {loaded.vocab_size - 1}."
            )
        needed = len(prompt.ids) + options.max_new_tokens
        if needed > loaded.max_position_embeddings:
            raise EngineError(
                "prompt_too_long",
                f"prompt {number} has {len(prompt.ids)} tokens; with {options.max_new_tokens} new ones that is "
                f"{needed}, and the model was made for {loaded.max_position_embeddings}. Lower max_pixels, the "
                "number of images, or max_new_tokens.",
            )


def _prefill(
    loaded: LoadedModel, tower: VisionTower, prompts: Sequence[PromptInput], context: Context
) -> list[_Prefilled]:
    """Runs every prompt once; nothing where there is none."""
    watcher = heeded(context, loaded.ranks)

    def between() -> None:
        watcher.check_cancelled()
        watcher.tick()

    encoded = tower.encode((picture for prompt in prompts for picture in prompt.pictures), between).pictures
    pictures = [[encoded[picture.key] for picture in prompt.pictures] for prompt in prompts]
    sections: list[PromptSection] = []
    logits_PV: list[Tensor | None] = [None] * len(prompts)
    next_position_P = torch.empty(len(prompts), dtype=torch.long, device=loaded.device)
    batches = _prefill_batches([len(prompt.ids) for prompt in prompts])
    missing = loaded.ranks.highest(len(batches)) - len(batches)
    for numbers in batches:
        watcher.check_cancelled()
        row = pack(
            loaded,
            [Group.without_completions(prompts[number].ids) for number in numbers],
            [pictures[number] for number in numbers],
        )
        layout = PrefillLayout(row.blocks, plain=loaded.plain_attention)
        hidden_TH = forward_row(loaded, row, layout)
        last_BH = hidden_TH[row.last_prompt.to(loaded.device)]
        for number, logits_V in zip(numbers, loaded.family.head(loaded.model, last_BH), strict=True):
            logits_PV[number] = logits_V
        next_position_P[torch.tensor(numbers)] = row.next_position.to(loaded.device)
        for block, own in enumerate(row.sections):
            layers = [layer[block] for layer in layout.kept]
            sections.append(PromptSection(np.array(numbers)[list(own)], layers))
        watcher.tick()
    for _ in range(missing):
        _pass_idly(loaded)
    if not prompts:
        return []
    logits = torch.stack([logits for logits in logits_PV if logits is not None])
    return [_Prefilled(sections, logits, next_position_P)]


def _prefill_batches(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of prompts, longest first, so that those of one length stand together."""
    batches: list[list[int]] = []
    room = 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if not batches or lengths[number] > room:
            batches.append([])
            room = TOKENS_PER_PREFILL
        batches[-1].append(number)
        room -= lengths[number]
    return batches


class _Drawn(NamedTuple):
    """The tokens of one step, on their way to this loop."""

    step: int
    origin_R: NDArray[np.int64]
    tokens_R: Tensor
    logprobs_R: Tensor
    arrived: torch.cuda.Event | None


class _Rows:
    """State of the decode loop. Its rows are those of `origin_R`; some of them may have ended already."""

    def __init__(
        self, loaded: LoadedModel, prompts: Sequence[PromptInput], prefilled: _Prefilled, options: GenerateOptions
    ) -> None:
        samples = options.samples
        count = len(prompts) * samples
        self._loaded = loaded
        self._options = options
        self._ends = np.array(loaded.eos_token_ids)
        self._seeds_N = row_seeds(
            np.array([prompt.key for prompt in prompts], dtype=np.int64), samples, options.attempt
        )
        self._tokens = np.zeros((count, options.max_new_tokens), dtype=np.int32)
        self._logprobs = np.zeros((count, options.max_new_tokens), dtype=np.float32)
        self._lengths_N = np.zeros(count, dtype=np.int32)
        self._finish_N = np.full(count, LENGTH, dtype=np.uint8)

        self._layout = DecodeLayout(
            prefilled.sections,
            samples,
            min(FIRST_ROOM, options.max_new_tokens),
            plain=loaded.plain_attention,
        )
        prompt_R = self._layout.prompt_R
        self._origin_R = prompt_R * samples + np.tile(np.arange(samples), len(prompts))
        self._running_N = np.ones(count, dtype=bool)
        self._drawn: deque[_Drawn] = deque()
        self._behind = READ_BEHIND.get(loaded.device.type, 0)
        self._steps = 0
        own_prompt = torch.from_numpy(prompt_R).to(loaded.device)
        self._logits_RV = prefilled.logits[own_prompt]
        self._tokens_R = torch.empty(0, dtype=torch.long, device=loaded.device)
        self._next_position_R = prefilled.next_position[own_prompt]
        seen_PV = _seen_tokens(loaded, prompts, options)
        self._seen_RV = None if seen_PV is None else seen_PV[own_prompt]

    def draw(self, context: Context) -> bool:
        """Draws one token for every running row; whether the model is to be fed with them, as not all have ended."""
        step = self._steps
        uniforms_R = torch.from_numpy(token_uniforms(self._seeds_N[self._origin_R], step)).to(
            "cpu" if self._loaded.device.type == "mps" else self._loaded.device
        )
        tokens_R, logprobs_R = sample_tokens(self._logits_RV, uniforms_R, self._options.sampling, self._seen_RV)
        self._drawn.append(_on_its_way(step, self._origin_R, tokens_R, logprobs_R))
        last = step + 1 == self._options.max_new_tokens
        while len(self._drawn) > (0 if last else self._behind):
            self._record(self._drawn.popleft())
        self._report(context, step)
        self._tokens_R = tokens_R
        return not last and bool(self._running_N.any())

    def feed(self) -> None:
        """Runs the model on what was drawn."""
        self._forward(self._drop_ended(self._tokens_R))
        self._steps += 1

    def result(self, prefill_seconds: float, decode_seconds: float) -> GenerationResult:
        """What has been drawn, flat."""
        drawn = np.arange(self._tokens.shape[1])[None, :] < self._lengths_N[:, None]
        return GenerationResult(
            tokens=self._tokens[drawn],
            lengths=self._lengths_N,
            logprobs=self._logprobs[drawn],
            finish=self._finish_N,
            decode_steps=self._steps,
            prefill_seconds=prefill_seconds,
            decode_seconds=decode_seconds,
        )

    def _record(self, drawn: _Drawn) -> None:
        if drawn.arrived is not None:
            drawn.arrived.synchronize()
        running_R = self._running_N[drawn.origin_R]
        origin, step = drawn.origin_R[running_R], drawn.step
        tokens, logprobs = drawn.tokens_R.numpy()[running_R], drawn.logprobs_R.numpy()[running_R]
        check_finite(logprobs)
        self._tokens[origin, step] = tokens
        self._logprobs[origin, step] = logprobs
        self._lengths_N[origin] = step + 1
        ended = origin[np.isin(tokens, self._ends)]
        self._finish_N[ended] = STOP
        self._running_N[ended] = False

    def _report(self, context: Context, step: int) -> None:
        if step % STEPS_PER_PROGRESS == 0:
            finished = int((~self._running_N).sum())
            context.progress(tokens=int(self._lengths_N.sum()), finished=finished)

    def _drop_ended(self, tokens_R: Tensor) -> Tensor:
        running_R = self._running_N[self._origin_R]
        if (~running_R).sum() < max(1.0, FINISHED_SHARE * len(running_R)):
            return tokens_R
        rows = np.flatnonzero(running_R)
        self._layout.keep(rows)
        kept = torch.from_numpy(rows).to(self._loaded.device)
        self._next_position_R = self._next_position_R[kept]
        self._seen_RV = None if self._seen_RV is None else self._seen_RV[kept]
        self._origin_R = self._origin_R[running_R]
        return tokens_R[kept]

    def _forward(self, tokens_R: Tensor) -> None:
        if self._seen_RV is not None:
            self._seen_RV.scatter_(1, tokens_R.unsqueeze(1), True)
        hidden_1RH = self._loaded.family.forward_hidden(
            self._loaded.model,
            tokens_R.unsqueeze(0),
            self._next_position_R.expand(3, 1, -1),
            layout=self._layout,
        )
        self._layout.advance()
        self._logits_RV = self._loaded.family.head(self._loaded.model, hidden_1RH[0])
        self._next_position_R = self._next_position_R + 1


def _on_its_way(step: int, origin_R: NDArray[np.int64], tokens_R: Tensor, logprobs_R: Tensor) -> _Drawn:
    """Starts the copies to the host without waiting for them."""
    drawn = (tokens_R.to("cpu", non_blocking=True), logprobs_R.to("cpu", non_blocking=True))
    arrived = None
    if tokens_R.device.type == "cuda":
        arrived = torch.cuda.Event()
        arrived.record(torch.cuda.current_stream(tokens_R.device))
    return _Drawn(step, origin_R, *drawn, arrived)


def _seen_tokens(loaded: LoadedModel, prompts: Sequence[PromptInput], options: GenerateOptions) -> Tensor | None:
    """bool [P, V]: tokens that the repetition penalty falls on; None without a penalty."""
    if options.sampling.repetition_penalty == 1.0:
        return None
    seen_PV = torch.zeros(len(prompts), loaded.vocab_size, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        seen_PV[row, torch.as_tensor(prompt.ids, dtype=torch.long)] = True
    return seen_PV.to(loaded.device)


def _now(loaded: LoadedModel) -> float:
    if loaded.device.type == "cuda":
        torch.cuda.synchronize(loaded.device)
    return time.perf_counter()
