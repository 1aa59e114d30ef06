"""transformers' `save_pretrained` without DeepSpeed, which it would import to ask whether the model is one of its
engines.

accelerate does that for transformers wherever DeepSpeed is installed, used or not. It takes seconds, and on a machine
without a GPU DeepSpeed's logger writes to standard output, which belongs to the answer of our programs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

_PACKAGE = "deepspeed"


def save_model(model: PreTrainedModel, folder: Path, **options: Any) -> None:
    """`model.save_pretrained(folder, **options)`."""
    if _PACKAGE in sys.modules:
        model.save_pretrained(folder, **options)
        return
    # What Python calls a package that is not there, whatever is installed.
    sys.modules[_PACKAGE] = None  # type: ignore[assignment]
    try:
        model.save_pretrained(folder, **options)
    finally:
        del sys.modules[_PACKAGE]
