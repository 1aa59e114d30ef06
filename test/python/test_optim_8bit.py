"""AdamW in 8 bits: close to AdamW, safe against broken gradients, resumable to the bit, refused where it must be."""

import json
import math
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from thurstone_runtime.optim import ADAMW, ADAMW_8BIT, AdamWSettings, MasterAdamW, state_layout
from thurstone_runtime.optim_8bit import check_8bit
from training_task import Worker, load_parameters, refused

SETTINGS = AdamWSettings(optim=ADAMW_8BIT, beta1=0.9, beta2=0.95, weight_decay=0.1)
SHAPES = {"below.weight": (63, 65), "least.weight": (64, 64), "uneven.weight": (73, 71), "norm.bias": (5000,)}
"""4,095, 4,096, 5,183 and 5,000 elements."""


def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()}


def step(named: dict[str, nn.Parameter], optimizer: MasterAdamW, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in named.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    assert not optimizer.step(1e-3, 1.0).skipped


def bits(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}


def test_it_keeps_a_byte_per_moment_of_all_but_small_parameters():
    named = parameters()
    optimizer = MasterAdamW(named, SETTINGS)
    step(named, optimizer, 0)
    kept = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in optimizer.state().items()}
    assert kept == {
        f"{name}.{field}": layout
        for name, shape in SHAPES.items()
        for field, layout in state_layout(ADAMW_8BIT, shape).items()
    }
    assert kept["below.weight.state1"] == (torch.float32, (63, 65))
    assert kept["least.weight.state1"] == (torch.uint8, (64, 64))
    assert kept["uneven.weight.absmax2"] == (torch.float32, (21,))


def test_it_goes_where_adamw_goes():
    ours, theirs = parameters(), parameters()
    start = {name: parameter.detach().clone() for name, parameter in ours.items()}
    eight = MasterAdamW(ours, SETTINGS)
    full = MasterAdamW(theirs, AdamWSettings(beta1=0.9, beta2=0.95, weight_decay=0.1))
    for seed in range(5):
        step(ours, eight, seed)
        step(theirs, full, seed)
    for name, parameter in ours.items():
        moved, apart = theirs[name] - start[name], parameter - theirs[name]
        # A small parameter is told apart by rounding alone, one in 8 bits by a few hundredths of its way.
        assert apart.norm() < (1e-4 if name == "below.weight" else 0.1) * moved.norm()


def test_restored_state_continues_to_the_bit():
    straight = parameters()
    optimizer = MasterAdamW(straight, SETTINGS)
    for seed in range(2):
        step(straight, optimizer, seed)
    resumed = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in straight.items()}
    other = MasterAdamW(resumed, SETTINGS)
    other.load_state(optimizer.state())
    for seed in range(2, 4):
        step(straight, optimizer, seed)
        step(resumed, other, seed)
    assert bits({**straight}) == bits({**resumed})
    assert bits(optimizer.state()) == bits(other.state())


def test_a_gradient_that_is_not_finite_leaves_weights_and_state_untouched():
    named = parameters()
    optimizer = MasterAdamW(named, SETTINGS)
    step(named, optimizer, 0)
    weights, state = bits({**named}), bits(optimizer.state())
    for parameter in named.values():
        parameter.grad = torch.full_like(parameter, math.nan)
    assert optimizer.step(1e-3, 1.0).skipped
    assert (bits({**named}), bits(optimizer.state())) == (weights, state)


def test_training_state_is_read_back_to_the_bit_and_never_by_the_other_optimizer(tiny_checkpoint: Path, tmp_path: Path):
    def open_worker(optim: str) -> Worker:
        optimizer = {**load_parameters(tiny_checkpoint)["optimizer"], "optim": optim}
        return Worker(tiny_checkpoint, optimizer=optimizer, allowed_roots=[str(tmp_path)])

    def save(worker: Worker, name: str) -> Path:
        (tmp_path / name).mkdir()
        worker.engine.save({"path": str(tmp_path / name)}, {}, worker.context)
        return tmp_path / name

    def restore(worker: Worker, folder: Path) -> None:
        worker.engine.restore({"path": str(folder)}, {}, worker.context)

    straight, resumed, other = open_worker(ADAMW_8BIT), open_worker(ADAMW_8BIT), open_worker(ADAMW)
    for worker in (straight, other):
        worker.step(worker.part(seed=1), batch_id="1")
    saved, of_other = save(straight, "saved"), save(other, "of other")
    with safe_open(saved / "optimizer.safetensors", framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"U8", "F32"}  # noqa: SIM118
    assert "bitsandbytes" in json.loads((saved / "state.json").read_text())["versions"]
    assert "bitsandbytes" not in other.description["versions"]

    for worker, folder in ((other, saved), (straight, of_other)):
        before = worker.bits()
        message = refused("checkpoint_invalid", restore, worker, folder)
        assert f'"{ADAMW_8BIT}"' in message
        assert f'"{ADAMW}"' in message
        assert worker.bits() == before

    restore(resumed, saved)
    assert resumed.bits() == straight.bits()
    updates = [one.step(one.part(seed=2), batch_id="2") for one in (straight, resumed)]
    assert updates[0] == updates[1]
    assert resumed.bits() == straight.bits()


def test_it_is_refused_without_bitsandbytes_and_for_parameters_in_pieces():
    assert "pip install bitsandbytes" in refused("package_missing", check_8bit, "single", installed=False)
    check_8bit("ddp", installed=True)
    for strategy in ("fsdp2", "deepspeed"):
        assert strategy in refused("bad_argument", check_8bit, strategy, installed=True)


def test_it_is_refused_on_a_device_without_kernels():
    refused("device_unavailable", MasterAdamW, {"weight": nn.Parameter(torch.ones(2, device="meta"))}, SETTINGS)
