"""`python -m thurstone_runtime.compile`: imports what a worker imports, so that Python keeps its byte code.

pip would compile every installed file, four times as many, which takes as long as everything else it does.
"""

from __future__ import annotations

import importlib.util
import logging

from .importing import large_imports

OPTIONAL = ("deepspeed", "bitsandbytes")
"""What a worker loads where it is installed and asked for."""


def main() -> None:
    """Imports the engine, the class of the models, which transformers loads with the first of them, and adapters."""
    # They tell that there is no GPU.
    logging.disable()
    with large_imports():
        import peft  # noqa: F401
        from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2VLForConditionalGeneration  # noqa: F401

        from . import engine  # noqa: F401

        for name in OPTIONAL:
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)


if __name__ == "__main__":
    main()
