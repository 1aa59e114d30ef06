"""How a model in training is spread over devices: `base` says what each strategy does, the rest are the strategies."""

from typing import Any

from ..errors import EngineError
from ..ranks import Ranks
from .base import Held, Strategy
from .ddp import DdpStrategy
from .fsdp2 import Fsdp2Strategy
from .single import SingleStrategy
from .zero import ZeroStrategy

STRATEGIES = ("single", "ddp", "fsdp2", "deepspeed")


def make_strategy(name: str, ranks: Ranks, deepspeed: dict[str, Any] | None, *, gathers: bool) -> Strategy:
    """The strategy of this rank; `gathers` as in `Strategy`.

    Raises `bad_argument` unless DeepSpeed's settings and its strategy are both there.
    """
    if (name == "deepspeed") != (deepspeed is not None):
        raise EngineError("bad_argument", f'load: strategy is "{name}", and deepspeed is {deepspeed}.')
    if deepspeed is not None:
        return ZeroStrategy(ranks, deepspeed, gathers=gathers)
    return {"single": SingleStrategy, "ddp": DdpStrategy, "fsdp2": Fsdp2Strategy}[name](ranks, gathers=gathers)


__all__ = ["STRATEGIES", "Held", "SingleStrategy", "Strategy", "make_strategy"]
