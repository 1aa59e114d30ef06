"""Starts step_trl.py: what must be settled before torch and transformers are imported.

One argument: a `StepJob` of bench/support/step-shapes.ts as JSON.
"""

from __future__ import annotations

import os
import warnings

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: idle threads would spin, and their time be counted
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch


def torchvision_names() -> torch.library.Library:
    """transformers wants torchvision for its resize alone. Its compiled operators were made for another torch than the
    CPU one; all that the import asks of them is that their names are known, for as long as the result lives."""
    names = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        names.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return names


def main() -> None:
    """One thread, and a torchvision that can be imported."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    names = torchvision_names()

    import step_trl

    step_trl.main()
    del names


if __name__ == "__main__":
    main()
