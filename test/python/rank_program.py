"""One of several ranks, as a program: runs the script of `steps` in each case and leaves what it saw in files.

    python rank_program.py RANK WORLD FOLDER CASE...

A case is a strategy, or a file of DeepSpeed's in configs/, with what else there is: lora, dora (with lora), vision (its
own learning rate), frozen (vision), checkpointing, offload (what DeepSpeed moves to the CPU), 8bit (moments), bfloat16.

`test_ranks.py` starts the ranks and holds what they leave against a single process that runs the same script.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist

from thurstone_runtime import session
from thurstone_runtime.strategies.zero_settings import check_values
from training_task import Part, Worker, load_parameters, make_part, refused

CONFIGS = Path(__file__).parents[2] / "configs"
CUT_ANOTHER_WAY = {
    2: {"overlap_comm": True, "reduce_scatter": False, "contiguous_gradients": False},
    3: {"overlap_comm": True, "sub_group_size": 2000, "stage3_param_persistence_threshold": 0},
}
"""What users may edit, and what moves pieces to other places."""
MAX_GRAD_NORMS = (None, 0.5)
"""Of each update: the first shows the gradient itself, the second is clipped."""
MAKES_NO_DIFFERENCE = ("checkpointing", "offload")
"""To any number: one process is asked for neither."""
TRAINED_ONLY = ("vision", "frozen")
"""What sampling does not know of: cases of these do not sample, unless DeepSpeed moves weights to the CPU."""
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


def shares(image_token: int, world: int) -> list[list[list[Part | None]]]:
    """[update][rank][part]; None is a part without groups. Uneven, with pictures at some ranks only, and in the last
    part of an update with more ranks than groups. The second has pictures when a gradient is there already."""
    first = make_part(image_token, keys=("a", "", "bc", "a"), seed=1).split()
    second = make_part(image_token, keys=("", "", "c"), seed=2).split()
    return [dealt(parts, world) for parts in (first, second)]


def dealt(parts: list[Part], world: int) -> list[list[Part | None]]:
    """One part after the other to each rank in turn; all ranks have as many."""
    padded = [*parts, *[None] * (-len(parts) % world)]
    return [padded[rank::world] for rank in range(world)]


def alone(case: str) -> str:
    """The case of one process."""
    return " ".join(["single", *(kind for kind in case.split(" ")[1:] if kind not in MAKES_NO_DIFFERENCE)])


def in_pieces(case: str) -> bool:
    """Whether no rank has all weights."""
    return case.startswith(("fsdp2", "zero3"))


def samples(case: str) -> bool:
    """Whether a case samples."""
    return case.startswith("zero3") or not any(kind in case for kind in TRAINED_ONLY)


def sampling(case: str, worker: Worker, rank: int, world: int) -> dict[str, Any]:
    """What is sampled and scored, with all weights at each rank and, where they lie in pieces, layer by layer."""
    seen = {}
    for gathers in (True, False)[: 1 + in_pieces(case)]:
        worker.engine._session.trainer.strategy.gathers = gathers
        found = {"tokens": sampled(worker, rank, world), "candidates": candidates(worker, rank)}
        seen["gathered" if gathers else "layerwise"] = found
    return seen


def steps(case: str, worker: Worker, rank: int, world: int, folder: Path) -> dict[str, Any]:
    """Samples, trains two updates against a reference, saves, exports; returns what was answered. A snapshot taken
    behind the first update is written behind the second."""
    seen: dict[str, Any] = {"sums": [], "norms": [], "scores": []}
    if world == 1 or samples(case):
        seen |= sampling(case, worker, rank, world)
    for number, update in enumerate(shares(worker.description["image_token_id"], world)):
        sums, norm = trained(worker, update[rank], number)
        seen["sums"] += sums
        seen["norms"].append(norm)
        save(worker, folder / f"step {number + 1}")
        seen["scores"].append(scores(worker))
        if number == 0:
            worker.engine.snapshot({}, {}, worker.context)
    (folder / "snapshot").mkdir(exist_ok=True)
    worker.engine.write_snapshot({"path": str(folder / "snapshot")}, {}, worker.context)
    merge = worker.engine._session.adapter is not None
    worker.engine.export({"path": str(folder / "export"), "dtype": "float32", "merge": merge}, {}, worker.context)
    # Back to the first update, from files that all ranks have written, and the second once more.
    worker.engine.restore({"path": str(folder / "step 1")}, {}, worker.context)
    seen["restored"] = worker.version
    seen["scores"].append(scores(worker))
    trained(worker, shares(worker.description["image_token_id"], world)[1][rank], 1)
    save(worker, folder / "step 2 again")
    return seen


def trained(worker: Worker, parts: list[Part | None], number: int) -> tuple[list[dict[str, Any]], float]:
    """One update; the sums of its parts and the norm of the gradient, before it is clipped."""
    batch = f"batch {number}"
    for part in parts:
        worker.logprobs(part or EMPTY, batch_id=batch, store=True)
    sums = []
    for index, part in enumerate(parts):
        loss = {"beta": 0.1, "old": "stored"}
        sums.append(worker.forward_backward(part or EMPTY, loss=loss, number=index, batch_id=batch)[0])
    done = worker.optim_step(parts=len(parts), learning_rate=1e-4, max_grad_norm=MAX_GRAD_NORMS[number])
    return sums, done["grad_norm"]


def save(worker: Worker, folder: Path) -> None:
    """Training state into a new folder, which all ranks make."""
    folder.mkdir(exist_ok=True)
    worker.engine.save({"path": str(folder)}, {}, worker.context)


def settings_of(case: str) -> dict[str, Any]:
    """Parameters of `load` but for the ranks."""
    strategy, *kinds = case.split(" ")
    zero = None
    if strategy.startswith("zero"):
        zero = {"zero_optimization": zero_of(strategy, kinds)}
        strategy = "deepspeed"
    optimizer = {
        **load_parameters(Path())["optimizer"],
        "optim": "adamw_bnb_8bit" if "8bit" in kinds else "adamw_torch",
        "vision_rate": 0.25 if "vision" in kinds else 1.0,
    }
    return {
        "strategy": strategy,
        "optimizer": optimizer,
        "torch_dtype": "bfloat16" if "bfloat16" in kinds else "float32",
        "deepspeed": zero,
        "reference": True,
        "freeze_vision": "frozen" in kinds,
        "gradient_checkpointing": "checkpointing" in kinds,
        "lora": {"seed": 1, "r": 4, "use_dora": "dora" in kinds} if "lora" in kinds else None,
    }


def zero_of(file: str, kinds: list[str]) -> dict[str, Any]:
    """`zero_optimization` of a file in configs/, with what the kinds change in it."""
    found = json.loads((CONFIGS / f"{file}.json").read_text())["zero_optimization"]
    if "lora" in kinds:
        found |= CUT_ANOTHER_WAY[found["stage"]]
    if "offload" in kinds:
        offloaded = zero_of("zero3_offload", [])
        # Stage 2 has all weights at every rank.
        names = ("offload_optimizer", "offload_param")[: found["stage"] - 1]
        found |= {name: offloaded[name] for name in names}
    return found


EMPTY = Part([], [], [], advantages=[np.zeros(0)], weights=[np.zeros(0)])


def sampled(worker: Worker, rank: int, world: int) -> dict[str, list[int]]:
    """Tokens by prompt, each prompt in a call of its own, so that batches have the same shape everywhere."""
    part = worker.part(keys=("a", "", "bc"))
    found = {}
    for number in range(len(part.keys)) if world == 1 else range(0, len(part.keys), world):
        own = number + rank
        there = own < len(part.keys)
        one = Part(part.keys[own : own + 1], part.prompts[own : own + 1], [[[0]]] * there)
        tensors = {name: array for name, array in one.tensors().items() if name in ("prompt_ids", "prompt_lengths")}
        params = {"policy_version": 0, "images": [list(keys) for keys in one.keys], "samples": 2, "max_new_tokens": 7}
        _, answer = worker.engine.generate(
            {**params, **SAMPLING}, {**tensors, "keys": np.arange(own, own + there)}, worker.context
        )
        if there:
            found[str(own)] = answer["tokens"].tolist()
    return found


def candidates(worker: Worker, rank: int) -> list[list[float]]:
    """Scores of two tokens, of one group more at the first rank than at the others."""
    part = worker.part(keys=("a", "bc")[rank:])
    tensors = {name: array for name, array in part.tensors().items() if name not in ("advantages", "weights")}
    params = {"policy_version": worker.version, "images": [list(keys) for keys in part.keys], "temperature": 1.0}
    tensors["candidate_ids"] = np.array([17, 399], np.int32)
    return worker.engine.candidates(params, tensors, worker.context)[1]["logprobs"].tolist()


def scores(worker: Worker) -> list[float]:
    """Log-probabilities of the same completions, without a gradient."""
    return worker.logprobs(worker.part(keys=("a",)))["logprobs"].tolist()


def broken(worker: Worker, rank: int) -> None:
    """A gradient that is not finite, at one rank, moves no bit at any."""
    before = worker.bits()
    part = worker.part(keys=("a",))
    part.weights = [np.full_like(weights, np.float32(3e38) * (rank == 0)) for weights in part.weights]
    part.advantages = [np.full_like(advantages, 1e6) for advantages in part.advantages]
    worker.forward_backward(part)
    done = worker.optim_step(learning_rate=1e-2)
    assert done["skipped"], done
    assert not np.isfinite(done["grad_norm"])
    assert worker.bits() == before


def without_pictures(worker: Worker) -> None:
    """An update that no picture takes part in leaves the vision tower and its moments alone."""
    before = worker.bits()
    worker.step(worker.part(keys=("",)))
    changed = {name for name, bits in worker.bits().items() if before.get(name) != bits}
    assert changed
    assert not any("visual" in name for name in changed), changed


def refusals(worker: Worker, rank: int) -> None:
    """What one rank fails at, the others do not wait for."""
    part = worker.part(keys=("a",))
    code = "step_mismatch" if rank == 0 else "other_rank_failed"
    refused(code, worker.forward_backward, part, step=worker.version + (3 if rank == 0 else 1))


def before(case: str, cases: list[str]) -> str | None:
    """The case in front of it in `cases` with the same model, but another strategy."""
    same = [other for other in cases if alone(other) == alone(case)]
    return None if case == same[0] else same[same.index(case) - 1]


def offloads(worker: Worker) -> None:
    """DeepSpeed does move what it is told to, on a machine without another device as well."""
    zero = worker.engine._session.trainer.strategy._engine.optimizer
    assert zero.cpu_offload if hasattr(zero, "cpu_offload") else zero.offload_optimizer and zero.offload_param


def own_version_and_values(worker: Worker) -> None:
    """A run's record names DeepSpeed, and a value that it does not take is refused in its words."""
    assert worker.description["versions"]["deepspeed"] == "0.19.8"
    wrong = {"stage": 3, "sub_group_size": "large"}
    assert "sub_group_size" in refused("bad_argument", check_values, {"zero_optimization": wrong})


def watch_reading() -> list[int]:
    """Bytes of each opened model's own weights, before a strategy takes it over."""
    read: list[int] = []
    opened = session.open_adapted

    def watched(*args: Any) -> Any:
        loaded, adapter = opened(*args)
        own = (weight for name, weight in loaded.model.named_parameters() if "lora_" not in name)
        read.append(sum(weight.untyped_storage().nbytes() for weight in own))
        return loaded, adapter

    session.open_adapted = watched
    return read


def part(strategy: str) -> None:
    """Ends the meeting. DeepSpeed keeps a group of the first one of its process."""
    dist.destroy_process_group()
    if strategy == "deepspeed":
        from deepspeed.utils import groups

        groups._WORLD_GROUP = None


def main() -> None:
    """Every case in turn, with a meeting of its own."""
    read = watch_reading()
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    cases = sys.argv[4:]
    for case in cases:
        own = folder / case
        worker = Worker(
            folder / "checkpoint",
            **settings_of(case),
            allowed_roots=[str(folder)],
            ranks={"rank": rank, "world_size": world, "rendezvous": str(own / "meeting"), "timeout": 60},
        )
        seen = {**steps(case, worker, rank, world, own), "read": read[-1]}
        other = before(case, cases)
        if other is not None:
            worker.engine.restore({"path": str(folder / other / "step 1")}, {}, worker.context)
            save(worker, own / "taken over")
        if worker.engine._session.ranks.in_step:
            refusals(worker, rank)
            broken(worker, rank)
            without_pictures(worker)
        if settings_of(case)["strategy"] == "deepspeed":
            own_version_and_values(worker)
        if "offload" in case:
            offloads(worker)
        (own / f"rank {rank}.json").write_text(json.dumps(seen))
        dist.barrier()
        part(settings_of(case)["strategy"])


if __name__ == "__main__":
    main()
