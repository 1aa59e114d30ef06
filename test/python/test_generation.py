"""The decode loop equals transformers' `generate` under greedy, and a row's sample is its own, whatever the batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from thurstone_runtime import generation, vision
from thurstone_runtime.errors import CancelledError, EngineError
from thurstone_runtime.families import load_model
from thurstone_runtime.generation import LENGTH, STOP, GenerateOptions, GenerationResult, PromptInput
from thurstone_runtime.images import Picture
from thurstone_runtime.sampling import SamplingOptions, sampling_logprobs
from thurstone_runtime.vision import VisionTower

GREEDY = SamplingOptions(temperature=0)


def picture(height: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


def prompt(key: int, *parts: int | torch.Tensor, loaded: Any) -> PromptInput:
    """Ids and pictures in their order; a picture becomes its placeholders between start and end."""
    ids: list[int] = []
    pictures: list[Picture] = []
    for part in parts:
        if isinstance(part, int):
            ids.append(part)
        else:
            height, width, _ = part.shape
            ids += [503, *[loaded.family.image_token_id] * (height * width // 784), 504]
            pictures.append(Picture(str(id(part)), part))
    return PromptInput(ids, key, pictures)


def mixed_prompts(loaded: Any) -> list[PromptInput]:
    """Text only, one picture, two pictures; every length another, far enough apart for several prefills."""
    return [
        prompt(11, 1, 2, 3, loaded=loaded),
        prompt(12, 4, picture(56, 84, 0), 5, 6, loaded=loaded),
        prompt(13, picture(112, 112, 1), 7, picture(28, 56, 2), 8, 9, 10, loaded=loaded),
        prompt(14, picture(56, 84, 3), 11, 12, loaded=loaded),
        prompt(-15, 21, 22, 23, 24, 25, 26, loaded=loaded),
    ]


def generate(loaded: Any, prompts: list[PromptInput], options: GenerateOptions, context: Any) -> GenerationResult:
    return generation.generate(loaded, VisionTower(loaded), prompts, options, context)


def rows_of(result: GenerationResult) -> list[list[int]]:
    return [row.tolist() for row in np.split(result.tokens, np.cumsum(result.lengths)[:-1])]


def model_inputs(loaded: Any, one: PromptInput, completion: list[int] | None = None) -> dict[str, Any]:
    """What transformers wants for one row."""
    ids_BL = torch.tensor([[*one.ids, *(completion or [])]])
    inputs: dict[str, Any] = {"input_ids": ids_BL, "attention_mask": torch.ones_like(ids_BL)}
    if one.pictures:
        patches = [loaded.family.patchify(picture.pixels) for picture in one.pictures]
        inputs["pixel_values"] = torch.cat([each.values for each in patches])
        inputs["image_grid_thw"] = torch.tensor([[1, *each.grid] for each in patches])
        inputs["mm_token_type_ids"] = (ids_BL == loaded.family.image_token_id).int()
    return inputs


def reference_greedy(loaded: Any, one: PromptInput, new: int, **settings: Any) -> list[int]:
    out = loaded.model.generate(
        **model_inputs(loaded, one),
        do_sample=False,
        max_new_tokens=new,
        eos_token_id=list(loaded.eos_token_ids),
        **settings,
    )
    return out[0, len(one.ids) :].tolist()


def with_end_tokens(loaded: Any, *ids: int) -> Any:
    return dataclasses.replace(loaded, eos_token_ids=tuple(sorted(ids)))


def test_greedy_equals_generate_when_no_row_ends(lively: Any, context: Any) -> None:
    prompts = mixed_prompts(lively)
    result = generate(lively, prompts, GenerateOptions(1, 20, GREEDY), context)
    assert rows_of(result) == [reference_greedy(lively, one, 20) for one in prompts]
    assert result.finish.tolist() == [LENGTH] * 5
    assert result.decode_steps == 19


def test_greedy_equals_generate_when_rows_end_at_different_steps(lively: Any, context: Any) -> None:
    prompts = mixed_prompts(lively)
    free = [reference_greedy(lively, one, 20) for one in prompts]
    # End tokens that some rows meet early, some late, some never.
    ending = with_end_tokens(lively, free[0][4], free[1][9], free[2][0])
    expected = [reference_greedy(ending, one, 20) for one in prompts]
    assert len({len(row) for row in expected}) >= 3
    result = generate(ending, prompts, GenerateOptions(1, 20, GREEDY), context)
    assert rows_of(result) == expected
    assert result.finish.tolist() == [STOP if row[-1] in ending.eos_token_ids else LENGTH for row in expected]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_greedy_equals_generate_in_float32(tiny_checkpoint: Any, context: Any, attention: str) -> None:
    fresh = load_model(str(tiny_checkpoint), device="cpu", attention=attention)
    prompts = mixed_prompts(fresh)
    result = generate(fresh, prompts, GenerateOptions(1, 8, GREEDY), context)
    assert rows_of(result) == [reference_greedy(fresh, one, 8) for one in prompts]


def test_greedy_with_repetition_penalty_equals_generate(lively: Any, context: Any) -> None:
    prompts = mixed_prompts(lively)
    options = GenerateOptions(1, 16, SamplingOptions(temperature=0, repetition_penalty=1.7))
    result = generate(lively, prompts, options, context)
    expected = [reference_greedy(lively, one, 16, repetition_penalty=1.7) for one in prompts]
    assert rows_of(result) == expected
    assert expected != [reference_greedy(lively, one, 16) for one in prompts]


def test_a_first_token_can_end_the_row(lively: Any, context: Any) -> None:
    one = mixed_prompts(lively)[1]
    (first,) = reference_greedy(lively, one, 1)
    result = generate(with_end_tokens(lively, first), [one], GenerateOptions(3, 9, GREEDY), context)
    assert rows_of(result) == [[first]] * 3
    assert result.finish.tolist() == [STOP] * 3
    assert result.decode_steps == 0


def fresh_logprobs(loaded: Any, one: PromptInput, completion: list[int], options: SamplingOptions) -> list[float]:
    """By one forward over prompt and completion, as transformers does it."""
    with torch.no_grad():
        logits_LV = loaded.model(**model_inputs(loaded, one, completion)).logits[0, len(one.ids) - 1 : -1]
    logprobs = []
    for step, token in enumerate(completion):
        seen = torch.zeros(1, loaded.vocab_size, dtype=torch.bool)
        seen[0, [*one.ids, *completion[:step]]] = True
        logprobs.append(sampling_logprobs(logits_LV[step : step + 1], options, seen)[0, token].item())
    return logprobs


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingOptions(),
        SamplingOptions(temperature=0.7, top_p=0.8, top_k=20),
        SamplingOptions(temperature=1.4, min_p=0.05, repetition_penalty=1.3),
    ],
)
def test_logprobs_equal_a_fresh_forward(loaded: Any, lively: Any, context: Any, sampling: SamplingOptions) -> None:
    for model, tolerance in ((loaded, 1e-4), (lively, 1e-5)):
        prompts = mixed_prompts(model)
        result = generate(model, prompts, GenerateOptions(2, 10, sampling), context)
        logprobs = np.split(result.logprobs, np.cumsum(result.lengths)[:-1])
        for row, (tokens, ours) in enumerate(zip(rows_of(result), logprobs, strict=True)):
            expected = fresh_logprobs(model, prompts[row // 2], tokens, sampling)
            assert np.abs(ours - np.array(expected)).max() < tolerance


def test_a_sample_does_not_depend_on_the_batch(lively: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = mixed_prompts(lively)
    options = GenerateOptions(4, 24, SamplingOptions(temperature=1.2, top_p=0.95))
    first = rows_of(generate(with_end_tokens(lively, -1), prompts, options, context))
    ending = with_end_tokens(lively, first[0][6], first[5][3], first[10][12], first[19][20])
    together = generate(ending, prompts, options, context)
    rows, logprobs = rows_of(together), np.split(together.logprobs, np.cumsum(together.lengths)[:-1])
    assert len(set(together.lengths.tolist())) > 3

    backwards = rows_of(generate(ending, prompts[::-1], options, context))
    for number, one in enumerate(prompts):
        own = slice(4 * number, 4 * number + 4)
        alone = generate(ending, [one], options, context)
        assert rows_of(alone) == rows[own]
        assert np.allclose(alone.logprobs, np.concatenate(logprobs[own]), atol=1e-9)
        assert backwards[4 * (4 - number) : 4 * (4 - number) + 4] == rows[own]

    fewer = generate(ending, prompts, dataclasses.replace(options, samples=2), context)
    assert rows_of(fewer) == [row for number in range(5) for row in rows[4 * number : 4 * number + 2]]

    monkeypatch.setattr(generation, "FIRST_ROOM", 3)
    monkeypatch.setattr(generation, "FINISHED_SHARE", 1.0)
    monkeypatch.setattr(generation, "TOKENS_PER_PREFILL", 1)
    monkeypatch.setattr(vision, "PATCHES_PER_PASS", 1)
    assert rows_of(generate(ending, prompts, options, context)) == rows


@pytest.mark.parametrize("behind", [1, 3, 100])
def test_reading_behind_the_device_changes_nothing(
    lively: Any, context: Any, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    prompts = mixed_prompts(lively)
    options = GenerateOptions(4, 24, SamplingOptions(temperature=1.2, top_p=0.95, repetition_penalty=1.1))
    first = rows_of(generate(with_end_tokens(lively, -1), prompts, options, context))
    ending = with_end_tokens(lively, first[0][6], first[5][3], first[10][12], first[19][20])
    at_once = generate(ending, prompts, options, context)
    monkeypatch.setitem(generation.READ_BEHIND, "cpu", behind)
    later = generate(ending, prompts, options, context)
    assert rows_of(later) == rows_of(at_once)
    assert len(set(later.lengths.tolist())) > 3
    assert np.array_equal(later.finish, at_once.finish)
    assert np.allclose(later.logprobs, at_once.logprobs, atol=1e-9)

    nothing_runs_on = with_end_tokens(lively, *(row[2] for row in first))
    steps = generate(nothing_runs_on, prompts, options, context).decode_steps
    monkeypatch.setitem(generation.READ_BEHIND, "cpu", 0)
    assert steps <= generate(nothing_runs_on, prompts, options, context).decode_steps + behind


def test_the_same_keys_give_the_same_tokens_and_other_keys_others(lively: Any, context: Any) -> None:
    (one, *_) = mixed_prompts(lively)
    options = GenerateOptions(6, 10)
    torch.manual_seed(1)
    first = rows_of(generate(lively, [one], options, context))
    torch.manual_seed(2)
    assert rows_of(generate(lively, [one], options, context)) == first
    assert len({tuple(row) for row in first}) == 6
    other = rows_of(generate(lively, [dataclasses.replace(one, key=one.key + 1000)], options, context))
    assert all(row not in first for row in other)


def test_another_attempt_draws_others_and_each_the_same_again(lively: Any, context: Any) -> None:
    prompts = mixed_prompts(lively)
    options = GenerateOptions(3, 10)
    first, second, third = (
        rows_of(generate(lively, prompts, dataclasses.replace(options, attempt=attempt), context))
        for attempt in range(3)
    )
    assert rows_of(generate(lively, prompts, options, context)) == first
    assert len({tuple(row) for row in [*first, *second, *third]}) == 45
    again = generate(lively, prompts[3:1:-1], dataclasses.replace(options, attempt=1), context)
    assert rows_of(again) == [*second[9:12], *second[6:9]]


def test_top_k_one_is_greedy(lively: Any, context: Any) -> None:
    prompts = mixed_prompts(lively)
    greedy = generate(lively, prompts, GenerateOptions(1, 12, GREEDY), context)
    sampled = generate(lively, prompts, GenerateOptions(2, 12, SamplingOptions(top_k=1)), context)
    assert rows_of(sampled)[::2] == rows_of(greedy) == rows_of(sampled)[1::2]
    assert np.array_equal(sampled.logprobs, np.zeros(120, dtype=np.float32))


def test_each_picture_and_each_prompt_runs_once(loaded: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    forwards: list[tuple[int, ...]] = []
    family = loaded.family
    encode, forward = type(family).encode_images, type(family).forward_hidden

    def counting_encode(self: Any, model: Any, images: Any) -> Any:
        encoded.append(len(images))
        return encode(self, model, images)

    def counting_forward(self: Any, model: Any, ids: Any, positions: Any, **more: Any) -> Any:
        forwards.append(tuple(ids.shape))
        return forward(self, model, ids, positions, **more)

    monkeypatch.setattr(type(family), "encode_images", counting_encode)
    monkeypatch.setattr(type(family), "forward_hidden", counting_forward)
    shared = picture(56, 56, 5)
    prompts = [prompt(key, shared, key, loaded=loaded) for key in (1, 2, 3)]
    generate(loaded, prompts, GenerateOptions(5, 4), context)
    assert encoded == [1]
    assert forwards == [(1, 21), (1, 15), (1, 15), (1, 15)]


def test_ended_rows_leave_the_batch(lively: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = mixed_prompts(lively)[:3]
    free = [reference_greedy(lively, one, 12) for one in prompts]
    ending = with_end_tokens(lively, free[0][2])
    expected = [reference_greedy(ending, one, 12) for one in prompts]
    rows: list[int] = []
    forward = type(lively.family).forward_hidden

    def watching(self: Any, model: Any, ids: Any, positions: Any, **more: Any) -> Any:
        rows.append(ids.shape[1])
        return forward(self, model, ids, positions, **more)

    monkeypatch.setattr(type(lively.family), "forward_hidden", watching)
    generate(ending, prompts, GenerateOptions(1, 12, GREEDY), context)
    lengths = [len(row) for row in expected]
    alive = [sum(length > step for length in lengths) for step in range(1, 12)]
    assert rows[-sum(count > 0 for count in alive) :] == [count for count in alive if count]


def test_reports_progress_and_phases(loaded: Any, context: Any) -> None:
    generate(loaded, mixed_prompts(loaded), GenerateOptions(2, 20), context)
    assert context.phases == ["prefill", "decode"]
    assert context.events == [{"tokens": 10, "finished": 0}, {"tokens": 170, "finished": 0}]
    assert context.ticks >= 18


def test_stops_between_steps_when_cancelled(loaded: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel() -> None:
        if context.ticks >= 8:
            raise CancelledError

    monkeypatch.setattr(context, "check_cancelled", cancel)
    with pytest.raises(CancelledError):
        generate(loaded, mixed_prompts(loaded), GenerateOptions(2, 1000), context)
    assert context.ticks == 8


def test_bfloat16_compute_over_float32_weights_runs(tiny_checkpoint: Any, context: Any) -> None:
    trained = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="bfloat16", train=True)
    result = generate(trained, mixed_prompts(trained), GenerateOptions(2, 6), context)
    assert result.lengths.sum() == len(result.tokens) == len(result.logprobs)
    assert np.isfinite(result.logprobs).all()
    assert all(parameter.grad is None for parameter in trained.model.parameters())


def test_refuses_a_prompt_that_cannot_fit(loaded: Any, context: Any) -> None:
    short = dataclasses.replace(loaded, max_position_embeddings=12)
    with pytest.raises(EngineError, match="has 10 tokens; with 3 new ones that is 13") as caught:
        generate(short, [PromptInput([1] * 10, 0)], GenerateOptions(1, 3), context)
    assert caught.value.code == "prompt_too_long"
    assert generate(short, [PromptInput([1] * 10, 0)], GenerateOptions(1, 2), context).lengths.tolist() == [2]


@pytest.mark.parametrize("ids", [[], [-1], [512]])
def test_refuses_ids_that_the_model_does_not_have(loaded: Any, context: Any, ids: list[int]) -> None:
    with pytest.raises(EngineError) as caught:
        generate(loaded, [PromptInput([1], 0), PromptInput(ids, 0)], GenerateOptions(), context)
    assert caught.value.code == "bad_argument"


def test_no_prompts_give_nothing_and_no_samples_are_refused(loaded: Any, context: Any) -> None:
    result = generate(loaded, [], GenerateOptions(), context)
    assert [len(array) for array in (result.tokens, result.lengths, result.logprobs, result.finish)] == [0, 0, 0, 0]
    for setting in ({"samples": 0}, {"max_new_tokens": 0}):
        with pytest.raises(EngineError, match="expected an integer >= 1"):
            GenerateOptions(**setting)


def test_refuses_placeholders_without_a_picture(loaded: Any, context: Any) -> None:
    with pytest.raises(EngineError) as caught:
        generate(loaded, [PromptInput([1, loaded.family.image_token_id, 2], 0)], GenerateOptions(), context)
    assert caught.value.code == "image_token_mismatch"


def test_weights_that_have_diverged_are_named(tiny_checkpoint: Any, context: Any) -> None:
    broken = load_model(str(tiny_checkpoint), device="cpu")
    with torch.no_grad():
        broken.model.lm_head.weight[3, 0] = torch.nan
    with pytest.raises(EngineError) as caught:
        generate(broken, [PromptInput([1, 2], 0)], GenerateOptions(1, 4), context)
    assert caught.value.code == "non_finite_logits"
