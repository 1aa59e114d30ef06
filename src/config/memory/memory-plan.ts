/**
 * The memory plan: what one rank needs at each stage of a step, from the configuration and the model's shape, before anything
 * is loaded.
 *
 * The stages are those of the worker. Within `train` the moments at which memory can be highest are told apart: where the
 * logits are there, where the backward pass enters the layers, where it enters the vision tower, and its end; the highest
 * stands for the stage. docs/memory.md explains every part, and how it was held against real workers.
 *
 * @module
 */
import { keptPerPatch, keptPerToken } from "./activations.js";
import { featureBytes, isSharded, passKind } from "./options.js";
import type { MemoryOptions, MemoryParts } from "./options.js";
import { countParameters } from "./parameters.js";
import { largestPass, LOGITS, toldPerToken } from "./passes.js";
import type { Pass } from "./passes.js";
import { samplingMoments } from "./sampling.js";
import { storageOf } from "./storage.js";
import type { Storage } from "./storage.js";

/** The stages of a step in which memory differs. */
export type MemoryStage = "generate" | "train" | "update";

export interface MemoryPlan {
  /** Tensors on the device, by stage. */
  readonly stages: Readonly<Record<MemoryStage, MemoryParts>>;
  /** The stage that needs most. */
  readonly peak: MemoryStage;
  /** Bytes of tensors then. */
  readonly tensors: number;
  /** Bytes that a rank takes on its device, or on a CPU as a process, with libraries and what allocators waste. */
  readonly needed: number;
  /** Bytes that a rank on CUDA takes in the machine's memory besides; 0 on a CPU. */
  readonly host: number;
  /** Bytes that the first rank alone takes in the machine's memory to read a model that is cut into pieces; 0 where none is. */
  readonly loading: number;
}

/** Resident memory of a worker on a CPU that has loaded its libraries and no model yet. */
export const CPU_LIBRARIES = 480 * 2 ** 20;
/** Share that the C library's allocator keeps beyond what is in use. */
export const CPU_SLACK = 0.1;
/** The same with an adapter, whose passes free many tensors between those that they keep. */
export const CPU_ADAPTER_SLACK = 1;
/** CUDA's context and the libraries' workspaces, and the share lost to fragments: assumed, not measured. */
export const CUDA_CONTEXT = 1.5 * 2 ** 30;
export const CUDA_SLACK = 0.05;
/** A worker on CUDA without what is told apart. */
const CUDA_PROCESS = 4 * 2 ** 30;

/** @returns bytes; see `MemoryPlan` */
export function planMemory(options: MemoryOptions): MemoryPlan {
  const held = storageOf(options);
  const fixed = fixedParts(options, held);
  const stages = {
    generate: highest([fixed, ...samplingMoments(options, held).map((moment) => ({ ...fixed, ...moment }))]),
    train: highest(training(options, held, fixed)),
    update: {
      ...fixed,
      gradients: held.gradients,
      "gathered weights": bucket(options, held),
      activations: scratch(options, held),
    },
  };
  const peak = (["train", "generate", "update"] as const).reduce((best, stage) =>
    sum(stages[stage]) > sum(stages[best]) ? stage : best,
  );
  const tensors = sum(stages[peak]);
  return {
    stages,
    peak,
    tensors,
    needed: neededFor(options, tensors),
    host: options.device === "cpu" ? 0 : inMachine(options, held),
    loading: isSharded(options) ? wholeModel(options) : 0,
  };
}

/** With the copy that becomes the reference, which is rounded only when it is there. */
function wholeModel(options: MemoryOptions): number {
  const { weights } = storageOf({ ...options, strategy: "single", ranks: 1 });
  return options.reference && options.adapter === null ? 2 * weights : weights;
}

/** What a rank on CUDA has in the machine's memory. */
function inMachine(options: MemoryOptions, held: Storage): number {
  return CUDA_PROCESS + held.offloaded + pictures(options) + copyToSave(options, held) + inputsMoved(options);
}

/** Bytes of all parts together. */
export function sum(parts: MemoryParts): number {
  return Object.values(parts).reduce((total, bytes) => total + bytes, 0);
}

/**
 * How weights in pieces are best sampled from: put together where that fits, which is faster by far, else layer by layer.
 *
 * @param available bytes of the device
 */
export function chooseGeneration(options: MemoryOptions, available: number): MemoryOptions["generation"] {
  if (!isSharded(options)) return "gather";
  const { stages } = planMemory({ ...options, generation: "gather" });
  return neededFor(options, sum(stages.generate)) <= available ? "gather" : "layerwise";
}

function neededFor({ device, adapter }: MemoryOptions, tensors: number): number {
  if (device === "cuda") return CUDA_CONTEXT + tensors * (1 + CUDA_SLACK);
  return CPU_LIBRARIES + tensors * (1 + (adapter === null ? CPU_SLACK : CPU_ADAPTER_SLACK));
}

function highest(moments: readonly MemoryParts[]): MemoryParts {
  return moments.reduce((best, moment) => (sum(moment) > sum(best) ? moment : best));
}

/** What is there at every stage. */
function fixedParts(options: MemoryOptions, held: Storage): MemoryParts {
  const { weights, optimizer, reference } = held;
  const ofTheMachine = { pictures: pictures(options), "copy to be saved": copyToSave(options, held) };
  return { weights, optimizer, reference, ...(options.device === "cpu" && ofTheMachine) };
}

/** Kept from one checkpoint to the next. */
function copyToSave({ asyncSave = false }: MemoryOptions, { saved }: Storage): number {
  return asyncSave ? saved : 0;
}

/** Pictures, and with a frozen tower what it makes of them, as many as the worker keeps. */
function pictures(options: MemoryOptions): number {
  const { pictureBytes, pictureLimit, imageTokens, patches } = options.work;
  const { patchSize } = options.architecture.vision;
  const frozen = options.freezeVision || options.adapter !== null;
  const feature = featureBytes(options, imageTokens);
  const shown = patches === 0 ? 0 : pictureBytes / (patches * patchSize ** 2 * 3);
  return Math.min(pictureLimit, pictureBytes) + (frozen ? Math.min(pictureLimit, shown * feature) : 0);
}

/** Rows of exponentials that are made at a time; `token_logprobs.BYTES_AT_A_TIME`. */
const EXPONENTIALS = 2 ** 24;

/** The largest pass with a gradient, what of a token and of a patch it keeps, and whether the vision tower is trained. */
function largest(options: MemoryOptions): {
  readonly pass: Pass;
  readonly kept: ReturnType<typeof keptPerToken>;
  readonly seen: ReturnType<typeof keptPerPatch>;
  readonly live: boolean;
} {
  const { text, vision } = options.architecture;
  const kind = passKind(options);
  return {
    pass: largestPass(options.work, options.ranks, toldPerToken(text, kind.bytes, options.gradientCheckpointing)),
    kept: keptPerToken(text, kind),
    seen: keptPerPatch(vision, kind),
    live: !(options.freezeVision || options.adapter !== null),
  };
}

/** Whether the inputs of layers leave the device; on a CPU there is nowhere to go. */
function movesInputs({ gradientCheckpointing, activationOffloading = false, device }: MemoryOptions): boolean {
  return gradientCheckpointing && activationOffloading && device === "cuda";
}

/** Bytes of the inputs that leave it. */
function inputsMoved(options: MemoryOptions): number {
  if (!movesInputs(options)) return 0;
  const { text, vision } = options.architecture;
  const { pass, kept, seen, live } = largest(options);
  return pass.tokens * text.layers * kept.input + (live ? pass.patches * vision.depth * seen.input : 0);
}

function training(options: MemoryOptions, held: Storage, fixed: MemoryParts): MemoryParts[] {
  const { architecture, gradientCheckpointing: saving } = options;
  const { text, vision } = architecture;
  const kind = passKind(options);
  const { pass, kept, seen, live } = largest(options);

  const moved = movesInputs(options);
  const textInputs = pass.tokens * (saving ? (moved ? 1 : text.layers) * kept.input : kept.layers);
  const towerInputs = saving ? (moved ? 1 : vision.depth) * seen.input : seen.layers;
  const towerKept = live ? pass.patches * (towerInputs + seen.ends) : 0;
  const textLayer = saving ? pass.tokens * kept.layer : 0;
  const towerLayer = live && saving ? pass.patches * seen.layer : 0;
  const working = pass.tokens * (4 * text.hiddenSize + 2 * kind.bytes * text.intermediateSize);

  const before = pass.several ? held.gradients : 0;
  const textGradients = held.gradients - (live ? held.visionGradients : 0);
  const cast = castMoments(options, held, saving);
  const tied = text.tied ? 2 : 1;
  const stolen = pass.several ? 0 : 1;
  const common = {
    ...fixed,
    ...(isSharded(options) && { "gathered weights": held.root + held.layers }),
    "vision features": 2 * featureBytes(options, pass.imageTokens),
  };
  const ends = pass.tokens * kept.ends;
  return [
    // The logits are there, and the gradient of the head is made of them.
    {
      ...common,
      "cast weights": cast.head,
      gradients: before,
      activations: ends + textInputs + towerKept,
      logits: logitBytes(pass, options, held),
    },
    // The last layer computes its gradients; that of the head waits for that of the embedding where they are one.
    {
      ...common,
      "cast weights": cast.layers,
      gradients: before + held.headGradient,
      activations: ends + textInputs + towerKept + textLayer + working,
    },
    // All gradients of the language model are made.
    {
      ...common,
      "cast weights": cast.tower,
      gradients: Math.max(before, textGradients) + held.headGradient * (tied - stolen),
      activations: towerKept + towerLayer,
    },
    {
      ...common,
      gradients: held.gradients + held.headGradient * (tied - stolen),
      activations: live ? pass.patches * (seen.layer + seen.ends) : 0,
    },
  ];
}

/** Weights cast for the computation while the head, the last layer and the vision tower are at work. */
function castMoments(
  options: MemoryOptions,
  held: Storage,
  saving: boolean,
): { readonly head: number; readonly layers: number; readonly tower: number } {
  const counts = countParameters(options.architecture);
  if (held.cast === 0) return { head: 0, layers: 0, tower: 0 };
  const layer = options.adapter === null ? 2 * counts.textLayer : 0;
  // Where each rank has all weights, the cast ones are kept until the pass forward is over; later those that are saved remain.
  const kept = !(saving && isSharded(options));
  const tower = options.freezeVision || options.adapter !== null ? 0 : 2 * counts.vision.products;
  return {
    head: kept ? held.cast : layer + 2 * counts.embedding,
    layers: saving ? layer : held.cast,
    tower: saving ? 0 : tower,
  };
}

/** Logits of a pass where they are largest, with what is made of them, the gradient of the head included. */
function logitBytes(pass: Pass, options: MemoryOptions, held: Storage): number {
  const { vocabulary, hiddenSize } = options.architecture.text;
  const atOnce = Math.max(1, Math.floor(LOGITS / (4 * vocabulary)));
  const chunks = Math.max(1, Math.ceil(pass.scored / atOnce));
  const logits = Math.ceil(pass.scored / chunks) * vocabulary;
  const hidden = 4 * 2 * pass.scored * hiddenSize;
  const head = held.headGradient * (chunks > 1 ? 2 : 1);
  const pieces = 2 * Math.min(EXPONENTIALS, 4 * logits);
  const twice = options.work.tempered ? 8 : 0;
  if (options.precision === "float32") {
    return hidden + Math.max(Math.max(twice, 4) * logits + pieces, Math.max(twice, 4) * logits + head);
  }
  const backward = Math.max(6 * logits, 2 * logits + head / 2, 1.5 * head);
  return hidden + Math.max(Math.max(twice, 6) * logits + pieces, backward);
}

/** Ranks that hold everything add gradients up in buckets; `ddp.BUCKET_BYTES`. */
const BUCKET = 64 * 2 ** 20;

function bucket({ strategy }: MemoryOptions, { gradients, headGradient }: Storage): number {
  return strategy === "ddp" ? Math.max(headGradient, Math.min(BUCKET, gradients)) : 0;
}

/**
 * On a CPU bitsandbytes makes float32 of a parameter's moments and goes on from there: five tensors of its size, for the
 * largest one. Its kernels for CUDA work in place.
 */
function scratch({ optimizer, device }: MemoryOptions, { headGradient }: Storage): number {
  return optimizer === "adamw_bnb_8bit" && device === "cpu" ? 5 * headGradient : 0;
}
