"""How a model in training is spread over devices: `base` says what each strategy does, the rest are the strategies."""

from .base import Strategy
from .single import SingleStrategy

STRATEGIES: dict[str, type[SingleStrategy]] = {"single": SingleStrategy}

__all__ = ["STRATEGIES", "SingleStrategy", "Strategy"]
