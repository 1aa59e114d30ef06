"""Opens a Hugging Face checkpoint, from a folder or the hub, without running any code that comes with it.

transformers' AutoProcessor is not used: it needs torchvision. The image constants are read from the checkpoint's own
preprocessor_config.json, and pictures are prepared by `images` and the family.
"""

from __future__ import annotations

import importlib.util
import logging
from contextlib import suppress
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils.logging import disable_progress_bar

from ..attention import ATTENTION
from ..errors import EngineError
from .absent import without_weights
from .base import Family, ImageConstants, LoadedModel
from .quantization import four_bit_config, has_bitsandbytes
from .qwen_vl import MODEL_TYPES, QwenVlFamily
from .storage import store_as_multiplied

logger = logging.getLogger(__name__)

# transformers' class defaults, for a preprocessor_config.json that leaves a field out.
DEFAULT_MIN_PIXELS = 56 * 56
DEFAULT_MAX_PIXELS = 28 * 28 * 1280
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
PILLOW_BICUBIC = 3

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
UNREADABLE = (OSError, ValueError, KeyError, StrictDataclassError, SafetensorError)
"""What transformers raises over files that are absent, cut off or of another form."""
ATTENTIONS = ("auto", "sdpa", "eager", "flash_attention_2")

Whereabouts = Literal["device", "memory", "absent"]
"""Where a model's weights are once it is opened: on its device; in the machine's memory; or nowhere (`absent`)."""


def load_model(
    path_or_id: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    torch_dtype: str = "auto",
    attention: str = "auto",
    train: bool = False,
    frozen: bool = False,
    four_bit: bool = False,
    weights: Whereabouts = "device",
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> LoadedModel:
    """Reads config, weights (safetensors only), tokenizer and image constants of one checkpoint.

    `train` keeps float32 weights and leaves the compute type to `LoadedModel.autocast`; otherwise the weights are in
    the compute type. With `frozen` they are not trained themselves: those that only matrix products read are then kept
    as `autocast` would hand them over, which computes the same bits in less memory, or, with `four_bit`, those of the
    language model in 4 bits each (`quantization`). The model is in eval mode in any
    case (these families have no dropout to switch on), and its parameters require gradients exactly when they are
    trained. HF_HUB_OFFLINE is respected. `weights` other than "device" are for a strategy that brings them there.

    Raises EngineError: `unsupported_model`, `checkpoint_invalid`, `device_unavailable`, `attention_unavailable`,
    `bad_argument`, `package_missing`.
    """
    chosen_device = take_device(device)
    config = _read("config", lambda: AutoConfig.from_pretrained(path_or_id, revision=revision, trust_remote_code=False))
    _check_supported(config, path_or_id)
    source_dtype = _source_dtype(config)
    compute_dtype = choose_dtype(torch_dtype, chosen_device.type, source_dtype)
    chosen_attention = choose_attention(
        attention,
        device_type=chosen_device.type,
        dtype=compute_dtype,
        flash_installed=importlib.util.find_spec("flash_attn") is not None,
    )
    processor: dict[str, Any] = _read(
        "preprocessor_config.json",
        lambda: ImageProcessingMixin.get_image_processor_dict(path_or_id, revision=revision)[0],
    )
    constants = read_image_constants(processor, min_pixels=min_pixels, max_pixels=max_pixels)
    _check_tower(constants, config.vision_config)
    tokenizer: PreTrainedTokenizerBase = _read(
        "tokenizer", lambda: AutoTokenizer.from_pretrained(path_or_id, revision=revision, trust_remote_code=False)
    )
    as_stored = not train or (frozen and source_dtype == compute_dtype)
    dtype = compute_dtype if as_stored else torch.float32
    if four_bit:
        bits = four_bit_config(chosen_device.type, compute_dtype, installed=has_bitsandbytes())
        placed = {"quantization_config": bits, "device_map": {"": chosen_device}}
        model = _read_weights(path_or_id, revision, dtype, chosen_attention, **placed)
    elif weights == "absent":
        model = _without_weights(config, path_or_id, revision, dtype, chosen_attention)
    else:
        model = _read_weights(path_or_id, revision, dtype, chosen_attention)
    if train and frozen:
        store_as_multiplied(model, compute_dtype)
    if weights == "device" and not four_bit:
        model.to(chosen_device)  # pyright: ignore[reportArgumentType]
    model.eval()
    model.requires_grad_(train and not frozen)

    eos_token_ids = end_token_ids(model.generation_config, tokenizer)
    end_of_turn_id = tokenizer.eos_token_id if isinstance(tokenizer.eos_token_id, int) else eos_token_ids[0]
    pad_token_id = tokenizer.pad_token_id if isinstance(tokenizer.pad_token_id, int) else end_of_turn_id
    family: Family = QwenVlFamily(config.model_type, constants, config.image_token_id)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        family=family,
        device=chosen_device,
        compute_dtype=compute_dtype,
        attention=chosen_attention,
        source_dtype=source_dtype,
        vocab_size=config.text_config.vocab_size,
        max_position_embeddings=config.text_config.max_position_embeddings,
        eos_token_ids=eos_token_ids,
        end_of_turn_id=end_of_turn_id,
        pad_token_id=pad_token_id,
        chat_template=tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None,
    )


def take_device(name: str) -> torch.device:
    """auto: the first of cuda, mps, cpu that is there. A device that is named and absent is `device_unavailable`.

    One of several of CUDA is its current device from now on: `fully_shard` moves weights to whichever that is, and sets
    one itself only while nothing has touched CUDA yet.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise EngineError("bad_argument", f'unknown device "{name}"; expected auto, cpu, cuda, cuda:N or mps.')
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise EngineError(
            "device_unavailable",
            f'device "{name}" was asked for, but PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA '
            'devices; install the CUDA build of PyTorch, or use device "auto".',
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise EngineError("device_unavailable", 'device "mps" was asked for, but PyTorch does not see one here.')
    device = torch.device(name)
    if kind == "cuda" and index:
        torch.cuda.set_device(device)
    return device


def choose_dtype(name: str, device_type: str, source: torch.dtype) -> torch.dtype:
    """auto: on CUDA the checkpoint's own type (float16 becomes bfloat16, which needs no loss scaling), elsewhere
    float32, because few CPUs multiply bfloat16 faster."""
    if name == "auto":
        return torch.float32 if device_type != "cuda" or source == torch.float32 else torch.bfloat16
    if name not in DTYPES:
        raise EngineError("bad_argument", f'unknown torch_dtype "{name}"; expected auto, float32 or bfloat16.')
    return DTYPES[name]


def choose_attention(name: str, *, device_type: str, dtype: torch.dtype, flash_installed: bool) -> str:
    """auto: flash_attention_2 where it can run (installed, CUDA, bfloat16), else sdpa. Asked for and unable to run is
    `attention_unavailable`, never a silent replacement."""
    if name not in ATTENTIONS:
        raise EngineError("bad_argument", f'unknown attention "{name}"; expected one of {", ".join(ATTENTIONS)}.')
    flash_runs = flash_installed and device_type == "cuda" and dtype == torch.bfloat16
    if name == "auto":
        return "flash_attention_2" if flash_runs else "sdpa"
    if name == "flash_attention_2" and not flash_runs:
        raise EngineError(
            "attention_unavailable",
            f"flash_attention_2 needs the flash-attn package ({'' if flash_installed else 'not '}installed), a CUDA "
            f"device (this is {device_type}) and bfloat16 (this is {str(dtype).removeprefix('torch.')}); "
            'use attention "auto" or "sdpa".',
        )
    return name


def read_image_constants(
    processor: dict[str, Any], *, min_pixels: int | None = None, max_pixels: int | None = None
) -> ImageConstants:
    """From the content of a preprocessor_config.json; the arguments override the checkpoint's pixel limits.

    The limits stand either in `min_pixels` / `max_pixels` or in `size`; where both are given the first are used, as
    transformers does. A preparation that the worker does not do (another filter, no normalisation) is
    `unsupported_model`.
    """
    size = processor.get("size") or {}
    for switch in ("do_resize", "do_rescale", "do_normalize"):
        if processor.get(switch) is False:
            raise EngineError(
                "unsupported_model", f"preprocessor_config.json switches {switch} off; the worker always does it."
            )
    if processor.get("resample", PILLOW_BICUBIC) != PILLOW_BICUBIC:
        raise EngineError(
            "unsupported_model",
            f"preprocessor_config.json asks for Pillow's filter {processor['resample']}; "
            "the worker resizes with bicubic (3).",
        )
    low = min_pixels or processor.get("min_pixels") or size.get("shortest_edge") or DEFAULT_MIN_PIXELS
    high = max_pixels or processor.get("max_pixels") or size.get("longest_edge") or DEFAULT_MAX_PIXELS
    if low > high:
        raise EngineError("bad_argument", f"min_pixels {low} is larger than max_pixels {high}.")
    return ImageConstants(
        patch_size=int(processor.get("patch_size", 14)),
        merge_size=int(processor.get("merge_size", 2)),
        temporal_patch_size=int(processor.get("temporal_patch_size", 2)),
        min_pixels=int(low),
        max_pixels=int(high),
        mean=_triple(processor.get("image_mean", CLIP_MEAN)),
        std=_triple(processor.get("image_std", CLIP_STD)),
        rescale_factor=float(processor.get("rescale_factor", 1 / 255)),
    )


def end_token_ids(generation: GenerationConfig | None, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Every id that ends a completion, ascending; a checkpoint without any is `checkpoint_invalid`."""
    sources: list[Any] = [generation.eos_token_id if generation else None, tokenizer.eos_token_id]
    found: set[int] = set()
    for source in sources:
        found.update([source] if isinstance(source, int) else source or [])
    if not found:
        raise EngineError(
            "checkpoint_invalid",
            "neither generation_config.json nor the tokenizer names an end token, so no answer could end.",
        )
    return tuple(sorted(found))


def _triple(value: Any) -> tuple[float, float, float]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise EngineError(
            "checkpoint_invalid", f"preprocessor_config.json: image_mean and image_std need 3 numbers, found {value!r}."
        )
    return float(value[0]), float(value[1]), float(value[2])


def _read(what: str, read: Any) -> Any:
    try:
        return read()
    except UNREADABLE as error:
        raise EngineError(
            "checkpoint_invalid",
            f"cannot read the {what}: {error} Expected a Hugging Face checkpoint folder or a hub id in reach.",
        ) from error


def _check_supported(config: PreTrainedConfig, path_or_id: str) -> None:
    if config.model_type not in MODEL_TYPES:
        raise EngineError(
            "unsupported_model",
            f'"{path_or_id}" is of model_type "{config.model_type}"; this worker runs {" and ".join(MODEL_TYPES)}.',
        )
    if "sliding_attention" in (config.text_config.layer_types or []):
        raise EngineError(
            "unsupported_model", f'"{path_or_id}" uses sliding window attention, which the worker does not.'
        )


def _check_tower(constants: ImageConstants, vision: Any) -> None:
    expected = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
    found = (constants.patch_size, constants.merge_size, constants.temporal_patch_size)
    if found != expected:
        raise EngineError(
            "checkpoint_invalid",
            f"preprocessor_config.json gives patch, merge and temporal patch sizes {found}, config.json {expected}.",
        )


def _source_dtype(config: PreTrainedConfig) -> torch.dtype:
    found = config.dtype or config.text_config.dtype or torch.float32
    return getattr(torch, found) if isinstance(found, str) else found


def _read_weights(
    path_or_id: str, revision: str | None, dtype: torch.dtype, attention: str, **placed: Any
) -> PreTrainedModel:
    disable_progress_bar()
    model, info = _read(
        "weights",
        lambda: AutoModelForImageTextToText.from_pretrained(
            path_or_id,
            revision=revision,
            dtype=dtype,
            attn_implementation=_kernels(attention),
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported below, with the missing ones
            trust_remote_code=False,
            output_loading_info=True,
            **placed,
        ),
    )
    absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if absent:
        raise EngineError(
            "checkpoint_invalid",
            f"{len(absent)} weights are missing or have another shape, {absent[0]} first; "
            "transformers would fill them with random numbers.",
        )
    if info["unexpected_keys"]:
        logger.warning("weights that the model does not have were left out: %s", sorted(info["unexpected_keys"])[:8])
    return model


def _without_weights(
    config: PreTrainedConfig, path_or_id: str, revision: str | None, dtype: torch.dtype, attention: str
) -> PreTrainedModel:
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation=_kernels(attention))
    # A checkpoint without the file has what its config says, as a model has that is read.
    with suppress(OSError):
        named: dict[str, Any] = {"revision": revision}
        model.generation_config = GenerationConfig.from_pretrained(path_or_id, **named)
    without_weights(model)
    return model


def _kernels(attention: str) -> dict[str, str]:
    """sdpa and eager: the kernels of `attention` for text, see `packed_attention`."""
    return {"": attention, "text_config": ATTENTION, "vision_config": attention}
