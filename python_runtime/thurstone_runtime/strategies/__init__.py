"""How a model in training is spread over devices: `base` says what each strategy does, the rest are the strategies."""

from .base import Held, Strategy, StrategyOf
from .ddp import DdpStrategy
from .fsdp2 import Fsdp2Strategy
from .single import SingleStrategy

STRATEGIES: dict[str, StrategyOf] = {"single": SingleStrategy, "ddp": DdpStrategy, "fsdp2": Fsdp2Strategy}

__all__ = ["STRATEGIES", "DdpStrategy", "Fsdp2Strategy", "Held", "SingleStrategy", "Strategy", "StrategyOf"]
