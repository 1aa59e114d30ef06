"""How a model in training is spread over devices: `base` says what each strategy does, the rest are the strategies."""

from typing import Any

from ..errors import EngineError
from ..families import Whereabouts
from ..ranks import Ranks
from .base import Held, Strategy
from .ddp import DdpStrategy
from .fsdp2 import Fsdp2Strategy
from .single import SingleStrategy
from .zero import ZeroStrategy
from .zero_settings import in_pieces

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


def first_place(name: str, ranks: Ranks, deepspeed: dict[str, Any] | None) -> Whereabouts:
    """Where this rank's weights are to be when the strategy takes them over: where it cuts them into pieces, with the
    first rank alone, and not on its device."""
    if name != "fsdp2" and (deepspeed is None or not in_pieces(deepspeed)):
        return "device"
    return "memory" if ranks.rank == 0 else "absent"


__all__ = ["STRATEGIES", "Held", "SingleStrategy", "Strategy", "first_place", "make_strategy"]
