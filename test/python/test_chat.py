"""Prompts come out as the golden strings, placeholders expand to the tokens of their images, text survives."""

from __future__ import annotations

import json
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thurstone_runtime.chat import decode, encode_prompt, render, tokenize
from thurstone_runtime.errors import EngineError

PROMPT = json.loads((Path(__file__).parents[1] / "golden" / "prompt_golden.json").read_text())


def user(text: str, images: int = 1) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}]


def test_renders_the_golden_training_prompts(loaded: Any) -> None:
    rendered = PROMPT["rendered"]
    assert render(loaded.tokenizer, user(PROMPT["user_text_think"])) == rendered["train_think"]
    assert render(loaded.tokenizer, user(PROMPT["user_text_non_think"])) == rendered["train_style_non_think"]


def test_the_checkpoint_counts_pictures_where_asked(loaded: Any) -> None:
    text = loaded.tokenizer.apply_chat_template(
        user(PROMPT["user_text_think"]), tokenize=False, add_generation_prompt=True, add_vision_id=True
    )
    assert text == PROMPT["rendered"]["readme_inference_think"]


def test_keeps_a_given_system_turn_and_earlier_answers(loaded: Any) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": [{"type": "text", "text": "Bye"}]},
    ]
    assert render(loaded.tokenizer, messages, prefill="<think>") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n<think>"
    )


def test_expands_each_placeholder_to_the_tokens_of_its_image(loaded: Any) -> None:
    ids, text = encode_prompt(loaded.tokenizer, loaded.family, user("Which?", images=2), [(56, 84), (28, 112)], "A:")
    plain = loaded.tokenizer(text, add_special_tokens=False).input_ids
    image_id = loaded.family.image_token_id
    first, second = (index for index, token in enumerate(plain) if token == image_id)
    assert ids == plain[:first] + [image_id] * 6 + plain[first + 1 : second] + [image_id] * 4 + plain[second + 1 :]
    assert text.endswith("<|im_start|>assistant\nA:")


@pytest.mark.parametrize("sizes", [[], [(56, 56), (56, 56)]])
def test_refuses_another_number_of_images(loaded: Any, sizes: list[tuple[int, int]]) -> None:
    with pytest.raises(EngineError, match="1 image placeholders") as caught:
        encode_prompt(loaded.tokenizer, loaded.family, user("?"), sizes)
    assert caught.value.code == "image_count_mismatch"


def test_a_placeholder_written_in_the_text_is_noticed(loaded: Any) -> None:
    with pytest.raises(EngineError) as caught:
        encode_prompt(loaded.tokenizer, loaded.family, user("see <|image_pad|>"), [(56, 56)])
    assert caught.value.code == "image_count_mismatch"


@pytest.mark.parametrize("size", [(0, 28), (28, 29), (14, 28)])
def test_refuses_a_size_that_is_not_final(loaded: Any, size: tuple[int, int]) -> None:
    with pytest.raises(EngineError, match="multiples of 28"):
        encode_prompt(loaded.tokenizer, loaded.family, user("?"), [size])


@pytest.mark.parametrize(
    "message",
    [{"role": "user"}, {"content": "x"}, {"role": "user", "content": [{"type": "audio"}]}, {"role": 1, "content": ""}],
)
def test_refuses_a_message_of_another_form(loaded: Any, message: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="a message needs a role and a content") as caught:
        render(loaded.tokenizer, [message])
    assert caught.value.code == "bad_argument"


def test_a_checkpoint_without_template_is_named(tiny_checkpoint: Path) -> None:
    from transformers import AutoTokenizer

    bare = AutoTokenizer.from_pretrained(tiny_checkpoint)
    bare.chat_template = None
    with pytest.raises(EngineError) as caught:
        render(bare, user("?"))
    assert caught.value.code == "no_chat_template"


def test_a_template_that_raises_is_reported(tiny_checkpoint: Path) -> None:
    from transformers import AutoTokenizer

    strict = AutoTokenizer.from_pretrained(tiny_checkpoint)
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(EngineError, match="roles must alternate") as caught:
        render(strict, user("?"))
    assert caught.value.code == "bad_argument"


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40))
def test_text_comes_back_from_its_ids(loaded: Any, text: str) -> None:
    # Hypothesis also draws strings from the code it finds, where special tokens stand; those leave no text.
    assume(not any(token in text for token in loaded.tokenizer.all_special_tokens))
    composed = unicodedata.normalize("NFC", text)
    (ids,) = tokenize(loaded.tokenizer, [text])
    assert ids == loaded.tokenizer(text, add_special_tokens=False).input_ids
    assert decode(loaded.tokenizer, [ids]) == [composed]


def test_answer_tags_survive_decoding_and_special_tokens_do_not(loaded: Any) -> None:
    answer = "<think>a little noise</think><answer>3.25</answer>"
    (ids,) = tokenize(loaded.tokenizer, [answer], loaded.end_of_turn_id)
    assert ids[-1] == loaded.end_of_turn_id
    assert decode(loaded.tokenizer, [ids, []]) == [answer, ""]


def test_ids_beyond_the_tokenizer_decode_to_nothing(loaded: Any) -> None:
    (ids,) = tokenize(loaded.tokenizer, ["ok"])
    assert decode(loaded.tokenizer, [[*ids, 151_000]]) == ["ok"]


def test_runs_beside_another_thread(loaded: Any) -> None:
    texts = [f"picture {number} is rated {number / 7:.2f}" for number in range(200)]
    expected = tokenize(loaded.tokenizer, texts)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                assert tokenize(loaded.tokenizer, texts) == expected
                assert decode(loaded.tokenizer, expected) == texts
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
