"""One measured GRPO step of TRL's GRPOTrainer: see bench/step.ts. Runs in TRL's own environment, by trl_start.py.

One argument: a `StepJob` of bench/support/step-shapes.ts as JSON. Prints a `StepMeasurement` as its last line.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import transformers
import trl.trainer.utils
from peft import LoraConfig
from transformers import AutoProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


class Spans:
    """Processor seconds by name, and a measurement of one step."""

    def __init__(self, measured_step: int) -> None:
        self.measured: dict[str, float] = {}
        self._measured_step = measured_step
        self._seconds: dict[str, float] = defaultdict(float)
        self._began = self._now()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                self._seconds[name] += time.process_time() - began

        return timed

    def end_step(self, step: int) -> None:
        """Keeps what was measured since the last step ended, if this is the step."""
        cpu, wall = self._now()
        if step == self._measured_step:
            sampling, reference, before_loss = (self._seconds[name] for name in ("sampling", "reference", "rollout"))
            total = cpu - self._began[0]
            loss = total - before_loss + reference
            self.measured = {
                "cpu": total,
                "wall": wall - self._began[1],
                "generation": sampling,
                "loss": loss,
                "rest": total - sampling - loss,
            }
        self._seconds.clear()
        self._began = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()


class StepEnd(TrainerCallback):
    """Tells the spans."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After every optimizer step."""
        self._spans.end_step(state.global_step)


def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
    """From 0 to 5, a hash of the answer: bench/support/step-ours.ts gives the same."""
    return [
        5 * int.from_bytes(hashlib.sha256(",".join(map(str, ids)).encode()).digest()[:4], "big") / 2**32
        for ids in completion_ids
    ]


def adapter_config(rank: int) -> LoraConfig:
    """All linear layers of the language model, scaled as thurstone does by default."""
    layers = r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
    return LoraConfig(r=rank, lora_alpha=32, lora_dropout=0.0, target_modules=layers, task_type="CAUSAL_LM")


def make_trainer(job: dict[str, Any], output: str, spans: Spans) -> GRPOTrainer:
    """The trainer, with the settings that thurstone has."""
    rollout = job["prompts"] * job["generations"]
    rows = datasets.Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": job["question"]}] for _ in job["pictures"]],
            "image": job["pictures"],
        }
    ).cast_column("image", datasets.Image())
    settings = GRPOConfig(
        output_dir=output,
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=rollout,
        gradient_accumulation_steps=1,
        steps_per_generation=1,
        num_generations=job["generations"],
        max_completion_length=job["tokens"],
        beta=job["beta"],
        loss_type="grpo",
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        learning_rate=job["learning_rate"],
        lr_scheduler_type="constant",
        max_steps=job["measured_step"],
        shuffle_dataset=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
        model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
    )
    trainer = GRPOTrainer(
        model=job["model"],
        reward_funcs=reward,
        args=settings,
        train_dataset=rows,
        processing_class=AutoProcessor.from_pretrained(job["model"]),
        callbacks=[StepEnd(spans)],
        peft_config=None if job["lora_rank"] is None else adapter_config(job["lora_rank"]),
    )
    # Beneath an adapter nothing else is trained.
    if job["frozen_tower"] and job["lora_rank"] is None:
        trainer.model.model.visual.requires_grad_(False)
    return trainer


def watch(trainer: GRPOTrainer, spans: Spans) -> dict[str, int]:
    """Puts the spans around the trainer's stations; returns where the tokens of the last rollout will be counted."""
    tokens: dict[str, int] = {}
    rolling_out = False
    scores = trainer._get_per_token_logps_and_entropies
    of_reference = spans.around("reference", scores)
    rollout = spans.around("rollout", trainer._generate_and_score_completions)

    def either_scores(model: Any, *arguments: Any, **keywords: Any) -> Any:
        # With an adapter there is no second model: what is scored along with the rollout is the reference.
        is_reference = rolling_out if trainer.ref_model is None else model is trainer.ref_model
        return (of_reference if is_reference else scores)(model, *arguments, **keywords)

    def counted_rollout(inputs: Any) -> Any:
        nonlocal rolling_out
        rolling_out = True
        made = rollout(inputs)
        rolling_out = False
        tokens["prompt_tokens"] = int(made["prompt_mask"][0].sum())
        tokens["completion_tokens"] = int(made["completion_mask"].sum())
        return made

    trainer._get_per_token_logps_and_entropies = either_scores
    trainer._generate_single_turn = spans.around("sampling", trainer._generate_single_turn)
    trainer._generate_and_score_completions = counted_rollout
    return tokens


def peak_bytes() -> int:
    """The most memory this process has had."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    """The command line."""
    job = json.loads(sys.argv[1])
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    if job["compact"]:
        # What decides there whether the head is applied to completion positions alone; the kernel itself stays torch's.
        trl.trainer.utils._use_triton = lambda _device: True
    spans = Spans(job["measured_step"])
    with tempfile.TemporaryDirectory(prefix="thurstone-trl-") as output:
        trainer = make_trainer(job, output, spans)
        tokens = watch(trainer, spans)
        trainer.train()
    print(json.dumps({**spans.measured, **tokens, "peak": peak_bytes(), "control": 0}))
