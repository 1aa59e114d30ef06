"""Messages to prompt ids and ids to text, through the checkpoint's own chat template and tokenizer.

Plain functions without state: they run on the side thread while the model works on another, so they call the Rust
tokenizer directly; transformers' wrapper sets padding and truncation on it from call to call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from .errors import EngineError
from .families import Family
from .positions import Grid

Message = dict[str, Any]
"""{"role", "content"}; the content is a string, or a list of {"type": "text", "text"} and {"type": "image"}."""


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prefill: str | None = None) -> str:
    """The text of a prompt, one placeholder per image, up to where the assistant speaks; then `prefill`."""
    if not tokenizer.chat_template:
        raise EngineError(
            "no_chat_template",
            "the checkpoint has no chat template (chat_template.jinja or tokenizer_config.json); use an "
            "instruction-tuned checkpoint, or add the template file.",
        )
    for message in messages:
        _check_message(message)
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise EngineError("bad_argument", f"the checkpoint's chat template refuses these messages: {error}") from error
    return str(text) + (prefill or "")


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,
    family: Family,
    messages: Sequence[Message],
    image_sizes: Sequence[tuple[int, int]] = (),
    prefill: str | None = None,
) -> tuple[list[int], str]:
    """Ids with every image placeholder expanded, and the text before that.

    `image_sizes`: final (height, width) of each image, multiples of patch size x merge size. Raises
    `image_count_mismatch`, `no_chat_template`, `bad_argument`.
    """
    grids = [_grid(family, height, width) for height, width in image_sizes]
    text = render(tokenizer, messages, prefill)
    return family.expand_placeholders(_backend(tokenizer).encode(text, add_special_tokens=False).ids, grids), text


def decode(tokenizer: PreTrainedTokenizerBase, sequences: Sequence[Sequence[int]]) -> list[str]:
    """Texts without special tokens. Bytes that are no UTF-8, as when a completion was cut, become U+FFFD."""
    return _backend(tokenizer).decode_batch([list(ids) for ids in sequences], skip_special_tokens=True)


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], end_of_turn_id: int | None = None
) -> list[list[int]]:
    """Ids of plain texts, nothing added in front; `end_of_turn_id`, when given, closes each."""
    backend = _backend(tokenizer)
    closing = [] if end_of_turn_id is None else [end_of_turn_id]
    return [backend.encode(text, add_special_tokens=False).ids + closing for text in texts]


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    return tokenizer.backend_tokenizer  # pyright: ignore[reportAttributeAccessIssue]


def _check_message(message: Message) -> None:
    content = message.get("content")
    known = isinstance(message.get("role"), str) and (
        isinstance(content, str) or (isinstance(content, list) and all(_is_part(part) for part in content))
    )
    if not known:
        raise EngineError(
            "bad_argument",
            'a message needs a role and a content: a string, or a list of {type: "text", text} and {type: "image"}; '
            f"found {str(message)[:200]}.",
        )


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    return part.get("type") == "image" or (part.get("type") == "text" and isinstance(part.get("text"), str))


def _grid(family: Family, height: int, width: int) -> Grid:
    constants = family.image_constants
    factor = constants.patch_size * constants.merge_size
    if height < factor or width < factor or height % factor or width % factor:
        raise EngineError(
            "bad_argument", f"target size {height} x {width}: expected positive multiples of {factor} (smart resize)."
        )
    return height // constants.patch_size, width // constants.patch_size
