"""Makes `test/golden/trl_more_losses_golden.json`: losses and gradients as TRL computes them, in float64.

    npm run bench -- step --setup
    output/trl-environment/bin/python test/golden/make_trl_losses.py test/golden/trl_more_losses_golden.json

`GRPOTrainer._compute_loss` runs as it is, on log-probabilities and entropies that are given instead of computed: one
process, one batch, no accumulation. The cases are those that `trl_losses_golden.json` lacks. The same versions give the
same file.
"""

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "bench" / "support"))

from trl_start import torchvision_names  # noqa: E402 - stands in a folder of scripts, not in a package

TORCHVISION = torchvision_names()

import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from trl.trainer.grpo_trainer import GRPOTrainer  # noqa: E402

ROWS, COLUMNS = 6, 9

PLAIN: dict[str, Any] = {
    "level": "token",
    "epsilon": 0.2,
    "epsilon_high": 0.2,
    "delta": None,
    "sapo": [1.0, 1.05],
    "beta": 0.0,
    "quantile": 1.0,
    "entropy_coef": 0.0,
    "drift": 0.25,
    "max_completion_length": 16,
}
"""`drift` is how far old log-probabilities are from the new ones, 0 for none at all."""

CASES: list[dict[str, Any]] = [
    {"loss_type": "grpo", "delta": 1.5, "epsilon": 0.1, "epsilon_high": 0.28, "beta": 0.1, "drift": 0.5},
    {"loss_type": "dr_grpo", "delta": 2.0, "drift": 0.8},
    {"loss_type": "grpo", "level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
    {"loss_type": "grpo", "level": "sequence", "drift": 0.0, "beta": 0.04},
    {"loss_type": "grpo", "level": "sequence", "epsilon": 0.02, "quantile": 0.4},
    {"loss_type": "dapo", "level": "sequence", "epsilon": 0.05, "epsilon_high": 0.08, "delta": 1.1, "drift": 0.5},
    {"loss_type": "luspo", "level": "sequence", "epsilon": 2e-3, "epsilon_high": 2.5e-3},
    {"loss_type": "cispo", "epsilon_high": 5.0, "drift": 1.2},
    {"loss_type": "cispo", "epsilon_high": 1.0, "beta": 0.04},
    {"loss_type": "cispo", "epsilon_high": 2.0, "drift": 0.0},
    {"loss_type": "sapo", "sapo": [0.5, 3.0], "beta": 0.1, "drift": 0.6},
    {"loss_type": "sapo", "sapo": [2.0, 2.5], "quantile": 0.4},
    {"loss_type": "bnpo", "entropy_coef": 0.01},
    {"loss_type": "dapo", "level": "sequence", "entropy_coef": 0.05, "beta": 0.04},
    {"loss_type": "cispo", "epsilon_high": 1.2, "entropy_coef": -0.02},
]


def inputs_of(case: dict[str, Any], seed: int) -> dict[str, Any]:
    """Rounded numbers, so that the file holds exactly what was computed with."""
    draw = random.Random(seed)

    def matrix(value: Any) -> list[list[float]]:
        return [[round(value(row, column), 5) for column in range(COLUMNS)] for row in range(ROWS)]

    new = matrix(lambda *_: -abs(draw.gauss(0, 1.3)) - 0.01)
    old = matrix(lambda row, column: new[row][column] + draw.gauss(0, case["drift"]))
    ref = matrix(lambda row, column: new[row][column] + draw.gauss(0, 0.4))
    entropy = matrix(lambda *_: draw.uniform(0.2, 2.0))
    lengths = [COLUMNS, 1, *(draw.randint(2, COLUMNS) for _ in range(ROWS - 2))]
    return {
        "logp_new": new,
        "logp_old": old if case["drift"] > 0 else None,
        "logp_ref": ref,
        "entropy": entropy,
        "mask": [[float(column < length) for column in range(COLUMNS)] for length in lengths],
        "advantages": [round(draw.gauss(0, 1), 5) for _ in range(ROWS)],
    }


def tensor(values: Any, *, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def trainer_of(case: dict[str, Any], new: torch.Tensor, entropy: torch.Tensor) -> Any:
    """What `_compute_loss` reads of a trainer."""
    positive, negative = case["sapo"]
    trainer = SimpleNamespace(
        _entropy_bonus_enabled=case["entropy_coef"] != 0,
        _get_per_token_logps_and_entropies=lambda *_, **__: (new, entropy, None),
        _metrics=defaultdict(lambda: defaultdict(list)),
        accelerator=SimpleNamespace(
            gather=lambda value: value,
            num_processes=1,
            pad_across_processes=lambda value, **_: value,
            reduce=lambda value, **_: value,
            sync_gradients=True,
        ),
        args=SimpleNamespace(
            delta=case["delta"],
            sapo_temperature_neg=negative,
            sapo_temperature_pos=positive,
            steps_per_generation=1,
            use_bias_correction_kl=False,
        ),
        aux_loss_enabled=False,
        beta=case["beta"],
        current_gradient_accumulation_steps=1,
        entropy_coef=case["entropy_coef"],
        epsilon_high=case["epsilon_high"],
        epsilon_low=case["epsilon"],
        importance_sampling_level=case["level"],
        loss_type=case["loss_type"],
        max_completion_length=case["max_completion_length"],
        model=SimpleNamespace(training=True),
        off_policy_mask_threshold=None,
        top_entropy_quantile=case["quantile"],
        use_adaptive_entropy=False,
        use_vllm=False,
    )
    trainer.get_high_entropy_mask = partial(GRPOTrainer.get_high_entropy_mask, trainer)
    return trainer


def computed(number: int, changes: dict[str, Any]) -> dict[str, Any]:
    """The case with its inputs and what TRL makes of them."""
    case = {**PLAIN, **changes, "N": ROWS, "T": COLUMNS, "seed": 201 + 2 * number}
    case.update(inputs_of(case, case["seed"]))
    new, entropy, mask = tensor(case["logp_new"], grad=True), tensor(case["entropy"], grad=True), tensor(case["mask"])
    trainer = trainer_of(case, new, entropy)
    inputs = {
        "prompt_ids": torch.zeros(ROWS, 1),
        "prompt_mask": torch.ones(ROWS, 1),
        "completion_ids": torch.zeros(ROWS, COLUMNS),
        "completion_mask": mask,
        "advantages": tensor(case["advantages"]),
        "old_per_token_logps": None if case["logp_old"] is None else tensor(case["logp_old"]),
        "ref_per_token_logps": tensor(case["logp_ref"]),
        "num_items_in_batch": mask.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    loss.backward()
    ratios = {name: values[0] for name, values in trainer._metrics["train"].items() if name.endswith("_mean")}
    return {
        **case,
        "loss": loss.item(),
        "grad_logp_new": new.grad.tolist(),
        "grad_entropy": torch.zeros_like(entropy).tolist() if entropy.grad is None else entropy.grad.tolist(),
        "clip_ratios": {
            "low": ratios.get("clip_ratio/low_mean", 0.0),
            "high": ratios.get("clip_ratio/high_mean", trainer._metrics["train"].get("cispo_clip_ratio", [0.0])[0]),
        },
    }


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: trl_losses.py FILE (see the first lines of this script)")
    source = {
        "repo": "huggingface/trl",
        "version": trl.__version__,
        "path": "trl/trainer/grpo_trainer.py",
        "function": "GRPOTrainer._compute_loss, run by test/golden/make_trl_losses.py",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    cases = ",\n".join(json.dumps(computed(number, changes)) for number, changes in enumerate(CASES))
    Path(sys.argv[1]).write_text(f'{{"source": {json.dumps(source)},\n"cases": [\n{cases}\n]}}\n')


if __name__ == "__main__":
    main()
