"""What `load` makes: the model as the strategy spreads it over the ranks, and everything that works with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .adapters import Adapter, open_adapted
from .batches import GroupBatch, read_group_batch
from .checkpoints import allowed_path
from .context import CallContext
from .description import describe_model, set_up_torch
from .errors import EngineError
from .exports import export_model, held_weights
from .families import LoadedModel
from .images import ImageStore, Picture
from .joining import own_roots
from .layers import enable_checkpointing
from .logprob_store import LogprobStore
from .optim import ADAMW_8BIT, AdamWSettings
from .optim_8bit import check_8bit
from .ranks import ALONE, Ranks, join, naming_lost_ranks, rank_device
from .reference import Reference, freeze
from .scorer import Scorer
from .self_check import packing_warning
from .snapshots import Snapshots
from .state_files import Content, state_contents
from .strategies import first_place, make_strategy
from .trainer import Trainer
from .vision import VisionTower


@dataclass(frozen=True)
class Session:
    """What `load` makes."""

    loaded: LoadedModel
    adapter: Adapter | None
    images: ImageStore
    joined: Ranks
    """All ranks of the run, whether or not they pass together."""
    scorer: Scorer
    trainer: Trainer | None
    snapshots: Snapshots
    settings: dict[str, Any]
    """The parameters of `load`."""
    description: dict[str, Any]

    @property
    def version(self) -> int:
        return self.trainer.applied if self.trainer else 0

    @property
    def ranks(self) -> Ranks:
        """Those that make every pass with this one; alone where each has all weights."""
        return self.loaded.ranks

    @contextmanager
    def sampling(self) -> Iterator[tuple[LoadedModel, VisionTower]]:
        """What to sample from and to score with without a gradient; see `Strategy.sampling`."""
        if self.trainer is None:
            yield self.loaded, self.scorer.tower
            return
        with self.trainer.strategy.sampling() as loaded:
            yield loaded, self.scorer.tower.within(loaded)

    def in_training(self) -> Trainer:
        if self.trainer is None:
            raise EngineError("bad_argument", "the model was loaded for inference; load it with train true.")
        return self.trainer

    def check_version(self, version: int) -> None:
        if version != self.version:
            raise EngineError(
                "policy_version_mismatch",
                f"the call is meant for version {version} of the weights; these are version {self.version}.",
            )

    def pictures(self, keys: list[list[str]]) -> list[list[Picture]]:
        """Per prompt; all of them must be held, which is checked before any work."""
        held = iter(self.images.get([key for prompt in keys for key in prompt]))
        return [[next(held) for _ in prompt] for prompt in keys]

    def group_batch(self, images: list[list[str]], tensors: dict[str, np.ndarray]) -> GroupBatch:
        loaded = self.loaded
        return read_group_batch(
            images, tensors, vocab_size=loaded.vocab_size, max_positions=loaded.max_position_embeddings
        )

    def unchanging(self, tick: Callable[[], None]) -> dict[str, Any]:
        """What training state belongs to: the weights that are not trained, the adapter's settings, the optimizer."""
        return {
            "frozen": self.in_training().frozen_digests(tick),
            "adapter": self.adapter and self.adapter.settings(),
            "optim": self.settings["optimizer"]["optim"],
        }

    def state_contents(self, tick: Callable[[], None]) -> dict[str, Content]:
        """The files of the training state as it is now. All ranks call it together."""
        trainer = self.in_training()
        state = {
            "step": trainer.applied,
            "policy_version": self.version,
            "family": self.loaded.family.name,
            "optimizer": self.settings["optimizer"],
            "versions": self.description["versions"],
            **self.unchanging(tick),
        }
        return state_contents(trainer.trained(), trainer.strategy.optimizer_state(), state, self.joined)

    def allowed(self, path: str) -> Path:
        resolved = allowed_path(path, self.settings["allowed_roots"])
        own = own_roots()
        return resolved if own is None else allowed_path(path, own, "--allow of thurstone worker")

    def export(self, path: Path, dtype: torch.dtype, tick: Callable[[], None], *, merge: bool) -> None:
        """Writes the model as others read it; see `exports.export_model` and `Adapter.export`."""
        model, ranks = self.loaded.model, self.joined
        held = held_weights(model) if self.trainer is None else self.trainer.strategy.weights()
        if self.adapter is not None:
            self.adapter.export(model, held, path, dtype, ranks, tick, merge=merge)
        elif merge:
            raise EngineError("bad_argument", "export: merge is true, and the model has no adapter; leave merge out.")
        else:
            export_model(model, held, path, dtype, self.settings["model"], self.settings["revision"], ranks, tick)


def open_session(settings: dict[str, Any], context: CallContext) -> tuple[Session, list[str]]:
    """Meets the other ranks, opens the model of the parameters of `load` and prepares it; the session, and warnings."""
    set_up_torch(threads=settings["threads"], deterministic=settings["deterministic"])
    ranks = join(**settings["ranks"]) if settings["ranks"] else ALONE
    if (settings["strategy"] == "single") != (ranks is ALONE):
        raise EngineError(
            "bad_argument", f'load: strategy "{settings["strategy"]}" and ranks {settings["ranks"]} do not go together.'
        )
    optim = settings["optimizer"]["optim"] if settings["train"] else None
    if optim == ADAMW_8BIT:
        check_8bit(settings["strategy"])
    device = rank_device(settings["device"], torch.cuda.device_count(), os.environ)
    with ranks.together(context.tick):
        weights = first_place(settings["strategy"], ranks, settings["deepspeed"]) if settings["train"] else "device"
        loaded, adapter = open_adapted({**settings, "device": device}, weights)
    images = ImageStore(settings["image_cache_bytes"])
    context.set_phase("preparing")
    scorer, trainer, warning = _spread(loaded, adapter, settings, ranks, context)
    loaded = scorer.loaded
    snapshots = Snapshots(loaded.device)
    described = describe_model(loaded, settings["strategy"], optim)
    session = Session(loaded, adapter, images, ranks, scorer, trainer, snapshots, settings, described)
    return session, [] if warning is None else [warning]


def _spread(
    loaded: LoadedModel, adapter: Adapter | None, settings: dict[str, Any], ranks: Ranks, context: CallContext
) -> tuple[Scorer, Trainer | None, str | None]:
    """The model, and its frozen copy where one is needed, as the strategy spreads them; and what is to be warned of."""
    # An adapter is never part of the vision tower, and nothing else is trained with it.
    frozen = settings["freeze_vision"] or adapter is not None
    copied = freeze(loaded, share_tower=frozen) if settings["reference"] and adapter is None else None
    strategy = None
    with naming_lost_ranks(ranks.rank):
        if settings["train"]:
            if settings["freeze_vision"]:
                loaded.family.vision_tower(loaded.model).requires_grad_(False)
            if settings["gradient_checkpointing"]:
                enable_checkpointing(loaded.model, offload=settings["activation_offloading"])
            strategy = make_strategy(
                settings["strategy"], ranks, settings["deepspeed"], gathers=settings["gather_for_generation"]
            )
            loaded = strategy.prepare(loaded, AdamWSettings(**settings["optimizer"], vision=_vision_names(loaded)))
            copied = copied and strategy.place(copied)
        warning = packing_warning(loaded, context, None if strategy is None else strategy.sampling)
    tower = VisionTower(loaded, settings["image_cache_bytes"] if frozen else None)
    reference = copied and Reference.beside(tower, copied)
    if settings["reference"] and copied is None:
        reference = Reference.without_adapter(loaded, tower)
    scorer = Scorer(loaded, tower, reference, LogprobStore(), packed=warning is None)
    seed = (settings["lora"] or {"seed": 0})["seed"]
    trainer = None if strategy is None else Trainer(scorer, strategy, seed=seed, rank=ranks.rank)
    return scorer, trainer, warning


def _vision_names(loaded: LoadedModel) -> frozenset[str]:
    vision = set(loaded.family.vision_parameters(loaded.model))
    return frozenset(name for name, parameter in loaded.model.named_parameters() if parameter in vision)
