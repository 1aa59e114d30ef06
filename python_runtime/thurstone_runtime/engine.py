"""The verbs of a policy (docs/protocol.md section 3): each checks what came, delegates, and words the answer."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from . import chat, generation, verb_tables
from .arguments import read
from .batches import read_ids, read_vector
from .candidates import check_candidates, score_candidates
from .checkpoints import open_state
from .context import CallContext
from .description import describe_memory
from .errors import EngineError
from .families import LoadedModel
from .full_memory import reports_full_memory
from .images import ImageRequest
from .losses import read_spec
from .sampling import SamplingOptions
from .session import Session, open_session
from .shared_folder import check_shared
from .state_files import write_state
from .tensors import tensors_to_texts, texts_to_tensors, to_torch
from .trainer import Objective

Params = dict[str, Any]
Tensors = dict[str, np.ndarray]
Answer = tuple[dict[str, Any], dict[str, Any]]


class Engine:
    """One method per verb; see `verbs`. One model per engine and process."""

    def __init__(self) -> None:
        self._session: Session | None = None

    def check_folder(self, params: Params, _tensors: Tensors, _context: CallContext) -> Answer:
        """Whether this machine sees and writes a folder of the control plane's; before `load` as well."""
        check_shared(**read("checkFolder", params, verb_tables.CHECK_FOLDER))
        return {}, {}

    @reports_full_memory
    def load(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Opens the checkpoint and everything that is needed to work with it."""
        if self._session is not None:
            raise EngineError(
                "already_loaded", "this worker holds a model already; start another worker for another one."
            )
        settings = read("load", params, verb_tables.LOAD)
        context.set_phase("loading")
        self._session, warnings = open_session(settings, context)
        return {**self._session.description, "policy_version": 0, "warnings": warnings}, {}

    def images(self, params: Params, tensors: Tensors, _context: CallContext) -> Answer:
        """Takes in pictures, and answers which are missing."""
        session = self._ready()
        asked = read("images", params, verb_tables.IMAGES)
        wrong = [name for name in tensors if not name.isdecimal()]
        if wrong:
            raise EngineError("bad_argument", f'images: tensor "{wrong[0]}" must be named by the index of its picture.')
        requests = [
            ImageRequest(**{name: value for name, value in image.items() if name != "hash"})
            for image in asked["images"]
        ]
        pixels = {int(name): array for name, array in tensors.items()}
        missing = session.images.receive(requests, pixels, step=asked["step"], release_before=asked["release_before"])
        return {"missing": missing}, {}

    def encode(self, params: Params, _tensors: Tensors, _context: CallContext) -> Answer:
        """Chat messages to prompt ids."""
        session = self._ready()
        prompts = read("encode", params, verb_tables.ENCODE)["prompts"]
        encoded = [
            chat.encode_prompt(
                session.loaded.tokenizer,
                session.loaded.family,
                prompt["messages"],
                [_height_width(size) for size in prompt["images"]],
                prompt["prefill"],
            )
            for prompt in prompts
        ]
        return {}, {
            **_ragged([ids for ids, _ in encoded]),
            **texts_to_tensors([rendered for _, rendered in encoded]),
        }

    def decode(self, params: Params, tensors: Tensors, _context: CallContext) -> Answer:
        """Ids to text."""
        session = self._ready()
        read("decode", params, verb_tables.NOTHING)
        sequences = read_ids(tensors, "ids", "lengths", session.loaded.vocab_size)
        return {}, texts_to_tensors(_texts(session.loaded, sequences))

    def tokenize(self, params: Params, tensors: Tensors, _context: CallContext) -> Answer:
        """Plain text to ids."""
        session = self._ready()
        append_eos = read("tokenize", params, verb_tables.TOKENIZE)["append_eos"]
        end = session.loaded.end_of_turn_id if append_eos else None
        return {}, _ragged(chat.tokenize(session.loaded.tokenizer, tensors_to_texts(tensors), end))

    @reports_full_memory
    def generate(self, params: Params, tensors: Tensors, context: CallContext) -> Answer:
        """Samples completions."""
        session = self._ready()
        with session.ranks.together(context.tick):
            asked = read("generate", params, verb_tables.GENERATE)
            session.check_version(asked["policy_version"])
            ids = read_ids(tensors, "prompt_ids", "prompt_lengths", session.loaded.vocab_size)
            keys = read_vector(tensors, "keys", np.int64, len(ids))
            _check_images_per_prompt(asked["images"], len(ids))
            pictures = session.pictures(asked["images"])
            sampling = SamplingOptions(
                **{name: asked[name] for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
            )
        with session.sampling() as (loaded, tower):
            result = generation.generate(
                loaded,
                tower,
                [
                    generation.PromptInput(own.tolist(), int(key), images)
                    for own, key, images in zip(ids, keys, pictures, strict=True)
                ],
                generation.GenerateOptions(asked["samples"], asked["max_new_tokens"], sampling, asked["attempt"]),
                context,
            )
        rows = np.split(result.tokens, np.cumsum(result.lengths)[:-1])
        answer = {
            "policy_version": session.version,
            "decode_steps": result.decode_steps,
            "seconds": {"prefill": result.prefill_seconds, "decode": result.decode_seconds},
        }
        return answer, {
            "tokens": result.tokens,
            "lengths": result.lengths,
            "logprobs": result.logprobs,
            "finish": result.finish,
            **texts_to_tensors(_texts(session.loaded, rows)),
        }

    @reports_full_memory
    def logprobs(self, params: Params, tensors: Tensors, context: CallContext) -> Answer:
        """Log-probabilities of given completions, kept on the worker when asked to."""
        session = self._ready()
        with session.ranks.together():
            asked = read("logprobs", params, verb_tables.LOGPROBS)
            session.check_version(asked["policy_version"])
            batch = session.group_batch(asked["images"], tensors)
            pictures = session.pictures(asked["images"])
            context.check_cancelled()
        context.set_phase("logprobs")
        score = session.scorer.policy if asked["of"] == "policy" else session.scorer.frozen
        kind = "old" if asked["of"] == "policy" else "ref"
        with torch.no_grad():
            scores = score(batch.groups, pictures, asked["temperature"], context, entropy=asked["entropy"])
        if asked["store"]:
            for group in batch.groups:
                session.scorer.stored.put(
                    kind, asked["batch_id"], asked["temperature"], group, scores.logprobs[group.tokens]
                )
        answer = {"logprobs": scores.logprobs, **({} if scores.entropy is None else {"entropy": scores.entropy})}
        return {}, {name: values.float().cpu().numpy() for name, values in answer.items()}

    @reports_full_memory
    def candidates(self, params: Params, tensors: Tensors, context: CallContext) -> Answer:
        """Log-probabilities of a few given tokens at every position of given completions."""
        session = self._ready()
        with session.ranks.together(context.tick):
            asked = read("candidates", params, verb_tables.CANDIDATES)
            session.check_version(asked["policy_version"])
            batch = session.group_batch(asked["images"], tensors)
            candidates = read_vector(tensors, "candidate_ids", np.int32)
            check_candidates(candidates, session.loaded.vocab_size)
            pictures = session.pictures(asked["images"])
        context.set_phase("candidates")
        ids = to_torch(candidates).long()
        with session.sampling() as (loaded, tower):
            found = score_candidates(
                loaded, tower, batch, pictures, ids, temperature=asked["temperature"], watcher=context
            )
        return {}, {"logprobs": found}

    @reports_full_memory
    def forward_backward(self, params: Params, tensors: Tensors, context: CallContext) -> Answer:
        """Adds the gradient of one part of a step; whatever fails, the step's gradients are dropped."""
        session = self._ready()
        trainer = session.in_training()
        started = time.perf_counter()
        try:
            with session.ranks.together():
                asked = read("forwardBackward", params, verb_tables.FORWARD_BACKWARD)
                session.check_version(asked["policy_version"])
                batch = session.group_batch(asked["images"], tensors)
                advantages = to_torch(read_vector(tensors, "advantages", np.float32, batch.token_count))
                weights = to_torch(read_vector(tensors, "weights", np.float32, batch.token_count))
                spec = read_spec({name: value for name, value in asked["loss"].items() if name != "old"})
                pictures = session.pictures(asked["images"])
        except BaseException:
            trainer.discard()
            raise
        objective = Objective(spec, asked["loss"]["old"] == "stored", asked["temperature"], asked["batch_id"])
        sums, logprobs = trainer.forward_backward(
            asked["step"], asked["part"], batch, pictures, advantages, weights, objective, context
        )
        answer = {**sums, "seconds": time.perf_counter() - started}
        return answer, {"logprobs": logprobs} if asked["return_logprobs"] else {}

    def discard(self, params: Params, _tensors: Tensors, _context: CallContext) -> Answer:
        """Drops half-accumulated gradients of a step; those of another step are not there to be dropped."""
        trainer = self._ready().in_training()
        if read("discard", params, verb_tables.DISCARD)["step"] == trainer.applied + 1:
            trainer.discard()
        return {}, {}

    @reports_full_memory
    def optim_step(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Applies the accumulated gradients."""
        session = self._ready()
        asked = read("optimStep", params, verb_tables.OPTIM_STEP)
        trainer = session.in_training()
        session.check_version(asked["policy_version"])
        context.set_phase("update")
        result = trainer.update(asked["step"], asked["parts"], asked["learning_rate"], asked["max_grad_norm"])
        return {**result._asdict(), "passes": session.ranks.passes, "policy_version": session.version}, {}

    def save(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Writes the training state into an existing folder."""
        session = self._ready()
        folder = session.allowed(read("save", params, verb_tables.PATH)["path"])
        context.set_phase("saving")
        contents = session.state_contents(context.tick)
        files = write_state(folder, contents, context.tick, session.joined)
        return {"files": files, "step": session.version}, {}

    def snapshot(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Copies the training state into the machine's memory, from which `write_snapshot` writes it."""
        session = self._ready()
        read("snapshot", params, verb_tables.NOTHING)
        context.set_phase("copying")
        contents = session.state_contents(context.tick)
        size = session.snapshots.take(contents, context.tick, session.joined)
        return {"step": session.version, "bytes": size}, {}

    def write_snapshot(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Writes the snapshot into an existing folder, while the model may be at work."""
        session = self._ready()
        folder = session.allowed(read("writeSnapshot", params, verb_tables.PATH)["path"])
        context.set_phase("saving")

        def tick() -> None:
            context.check_cancelled()
            context.tick()

        return {"files": session.snapshots.write(folder, tick)}, {}

    @reports_full_memory
    def restore(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Reads the training state back; what does not fit is refused before anything changes."""
        session = self._ready()
        folder = session.allowed(read("restore", params, verb_tables.PATH)["path"])
        trainer = session.in_training()
        context.set_phase("restoring")
        same = session.unchanging(context.tick)
        with ExitStack() as files:
            with session.joined.together(context.tick):
                opened = open_state(folder, trainer.trained(), same, context.tick)
                state, weights, optimizer = files.enter_context(opened)
            trainer.strategy.load(weights, optimizer)
        trainer.resume_at(state["step"])
        session.scorer.stored.clear()
        return {"step": state["step"], "policy_version": session.version}, {}

    @reports_full_memory
    def export(self, params: Params, _tensors: Tensors, context: CallContext) -> Answer:
        """Writes a Hugging Face checkpoint folder, or a PEFT adapter folder where an adapter is not to be merged."""
        session = self._ready()
        asked = read("export", params, verb_tables.EXPORT)
        path = session.allowed(asked["path"])
        context.set_phase("exporting")
        dtype = session.loaded.source_dtype if asked["dtype"] == "source" else getattr(torch, asked["dtype"])
        session.export(path, dtype, context.tick, merge=asked["merge"])
        return {}, {}

    def describe(self, params: Params, _tensors: Tensors, _context: CallContext) -> Answer:
        """What is loaded, and what it takes."""
        read("describe", params, verb_tables.NOTHING)
        session = self._session
        if session is None:
            cache = {"count": 0, "bytes": 0, "pinned": 0}
            return {"loaded": False, "memory": describe_memory(None), "image_cache": cache}, {}
        return {
            "loaded": True,
            **session.description,
            "policy_version": session.version,
            "memory": describe_memory(session.loaded.device),
            "image_cache": session.images.describe(),
        }, {}

    def _ready(self) -> Session:
        if self._session is None:
            raise EngineError("not_loaded", "no model is loaded; call load first.")
        return self._session


def _height_width(size: list[int]) -> tuple[int, int]:
    if len(size) != 2:
        raise EngineError("bad_argument", f"encode: an image size must be [height, width], not {size}.")
    return size[0], size[1]


def _check_images_per_prompt(images: list[list[str]], prompts: int) -> None:
    if len(images) != prompts:
        raise EngineError("bad_argument", f"images lists pictures of {len(images)} prompts; there are {prompts}.")


def _texts(loaded: LoadedModel, sequences: Any) -> list[str]:
    return chat.decode(loaded.tokenizer, [ids.tolist() for ids in sequences])


def _ragged(sequences: list[list[int]]) -> dict[str, np.ndarray]:
    return {
        "ids": np.array([token for ids in sequences for token in ids], np.int32),
        "lengths": np.array([len(ids) for ids in sequences], np.int32),
    }
