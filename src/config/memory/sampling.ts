/**
 * The moments at which memory can be highest while nothing is trained: completions are sampled, for a rollout batch or of
 * held-out rows, and expected scores are read.
 *
 * @module
 */
import { passingPerPatch, passingPerToken } from "./activations.js";
import { featureBytes, isSharded, passKind } from "./options.js";
import type { MemoryOptions, MemoryParts } from "./options.js";
import { countParameters, keyValueSize } from "./parameters.js";
import { LOGITS, promptsPerCall, sampledBatches } from "./passes.js";
import type { SampledBatch } from "./passes.js";
import type { Storage } from "./storage.js";

/** @returns none where nothing is asked of the model but to be trained; what a rank holds in any case comes to them */
export function samplingMoments(options: MemoryOptions, held: Storage): MemoryParts[] {
  const from = sampledFrom(options, held);
  const moments = [
    ...sampledBatches(options.work).flatMap((batch) => sampling(options, batch)),
    ...readingScores(options),
  ];
  return moments.map((moment) => ({ ...moment, ...from }));
}

/** What is sampled from, besides the weights that a rank holds. */
function sampledFrom(options: MemoryOptions, held: Storage): MemoryParts {
  if (!isSharded(options)) return { "cast weights": held.cast };
  const whole = options.adapter === null;
  // Whole weights have the type of the computation already, but for an adapter's.
  if (options.generation === "gather") {
    return { "cast weights": whole ? 0 : held.cast, "gathered weights": held.gathered };
  }
  const { embedding, head, textLayer } = countParameters(options.architecture);
  const headCast = whole || head === 0 ? 2 * embedding : 0;
  return {
    "cast weights": held.cast === 0 ? 0 : headCast + (whole ? 2 * textLayer : 0),
    "gathered weights": held.root + held.layers,
  };
}

/** Prompts of one pass when sampling begins; `generation.TOKENS_PER_PREFILL`. */
const PREFILL_TOKENS = 16_384;
/** Patches of one pass of the tower; `vision.PATCHES_PER_PASS`. */
const TOWER_PATCHES = 32_768;
/** Room for so many tokens at first; `generation.FIRST_ROOM`. */
const FIRST_ROOM = 256;
/** Rows that have ended leave when they are an eighth: the others are copied. */
const COPIED = 1 + 7 / 8;
/** The room grows by half, while the old one is still there. */
const GROWTH = 2.5;
/** Rows x vocabulary that are drawn from at a time, in three tensors of float64; `sampling.ROWS_TIMES_VOCABULARY`. */
const DRAWN = 2 ** 24;

/** Moments of sampling a batch of completions: its pictures, its prompts, its tokens. */
function sampling(options: MemoryOptions, batch: SampledBatch): MemoryParts[] {
  const { architecture, work } = options;
  const { text, vision } = architecture;
  const kind = passKind(options);
  const { bytes } = kind;
  const prompts = promptsPerCall(batch, work.promptTokens, options.ranks);
  const rows = prompts * batch.samples;
  const frozen = options.freezeVision || options.adapter !== null;
  const promptTokens = prompts * work.promptTokens;
  const prefilled = Math.min(promptTokens, Math.max(PREFILL_TOKENS, work.promptTokens));
  const patches = frozen ? work.patches : Math.min(prompts * work.patches, Math.max(TOWER_PATCHES, work.patches));
  const pixels = 4 * vision.patchValues * (frozen ? 2 * work.patches : prompts * work.patches + patches);

  const perToken = 2 * keyValueSize(text) * text.layers * bytes;
  const grown = batch.completionTokens > FIRST_ROOM;
  const own = Math.min(FIRST_ROOM, batch.completionTokens) * (grown ? GROWTH : COPIED);
  const grownOwn = grown ? Math.max(own, batch.completionTokens * COPIED) : own;

  const promptLogits = prompts * text.vocabulary * bytes;
  const drawn = 3 * 8 * Math.min(Math.max(DRAWN, text.vocabulary), rows * text.vocabulary);
  return [
    {
      activations: pixels + patches * passingPerPatch(vision, bytes),
      "vision features": featureBytes(options, prompts * work.imageTokens),
    },
    {
      activations: prefilled * passingPerToken(text, kind),
      "vision features": 2 * featureBytes(options, prompts * work.imageTokens),
      logits: promptLogits,
      "keys and values": promptTokens * perToken,
    },
    {
      activations: rows * passingPerToken(text, kind),
      logits: promptLogits + 2 * rows * text.vocabulary * bytes + drawn,
      "keys and values": (promptTokens + rows * grownOwn) * perToken,
    },
  ];
}

/** Tokens behind which, and of which, the distribution of a score is read; `expected-score.branches`. */
const BRANCH_TOKENS = 50 * 4;

/** A group at a time: its prompt, the text ahead of the answer, and all beginnings of answers. */
function readingScores(options: MemoryOptions): MemoryParts[] {
  const { architecture, work } = options;
  const ahead = work.evaluation?.tokensAheadOfScore ?? null;
  if (ahead === null) return [];
  const { text } = architecture;
  const kind = passKind(options);
  const atOnce = Math.max(1, Math.floor(LOGITS / (4 * text.vocabulary)));
  // As they come, in float32, and divided by the temperature.
  const perLogit = kind.bytes === 2 ? 2 + 4 + 4 : 4 + 4;
  return [
    {
      activations: (work.promptTokens + ahead + BRANCH_TOKENS) * passingPerToken(text, kind),
      "vision features": 2 * featureBytes(options, work.imageTokens),
      logits: Math.min(atOnce, BRANCH_TOKENS) * text.vocabulary * perLogit,
    },
  ];
}
