"""Model families: one contract (`base`), one module per family, and `load_model`, which picks the family."""

from .base import Family, ImageConstants, ImagePatches, LoadedModel
from .loading import Whereabouts, load_model

__all__ = ["Family", "ImageConstants", "ImagePatches", "LoadedModel", "Whereabouts", "load_model"]
