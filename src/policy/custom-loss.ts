/**
 * A custom loss between the worker's two passes: log-probabilities in, weights of a plain sum of log-probabilities out.
 *
 * @module
 */
import { LossError, ThurstoneError } from "../errors.js";
import type { CustomLoss, CustomLossInput, CustomLossResult, Segments } from "../losses/index.js";
import type { KeptLogprobs } from "./kept-logprobs.js";
import type {
  CustomLossOptions,
  LossSpec,
  ModelDescription,
  Policy,
  TrainBatch,
  TrainGroup,
  TrainSequence,
} from "./types.js";

/** Log-probabilities as the verb `logprobs` returns them: [group][completion][token]. */
type Rows = readonly (readonly Float32Array[])[];

/** The gradient of sum over tokens of weight * logprob, when every advantage is -1. */
export const DERIVATIVE_LOSS: LossSpec = { surrogate: "nll" };

/** Dropout would draw other values in the second pass than in the first, and the gradient would be that of neither. */
function refuseDropout({ dropout }: ModelDescription): void {
  if (dropout === 0) return;
  throw new LossError(
    "LOSS_DROPOUT",
    `the model drops values with probability ${dropout} in training, and a custom loss takes two passes, which would ` +
      "drop different ones: its gradient would not be exact. Train without dropout, or use a built-in loss.",
    { fields: { dropout } },
  );
}

/**
 * Asks the worker for what the loss is a function of, in the parts in which the second pass will see it, and the loss for
 * its derivative.
 *
 * @returns the loss, and the batch whose `DERIVATIVE_LOSS` has the loss's gradient
 * @throws LossError, as `Policy.forwardBackward` lists it
 */
export async function differentiate(
  policy: Pick<Policy, "description" | "logprobs">,
  kept: KeptLogprobs,
  batch: TrainBatch,
  loss: CustomLoss,
  { old = "detach", reference = false, signal }: CustomLossOptions,
): Promise<{ readonly loss: number; readonly batch: TrainBatch }> {
  refuseDropout(policy.description);
  const stored = old === "stored" ? needOld(kept, batch) : undefined;
  const abortable = signal && { signal };
  const now = await policy.logprobs(batch, { ...abortable });
  const frozen = reference
    ? (kept.find("reference", batch) ?? (await policy.logprobs(batch, { of: "reference", store: true, ...abortable })))
    : undefined;
  const input = inputOf(batch.groups, now, stored ?? now, frozen);
  const result = checkResult(await run(loss, input), batch.groups);
  let at = 0;
  const weigh = ({ tokenIds }: TrainSequence): TrainSequence => ({
    tokenIds,
    advantages: new Float32Array(tokenIds.length).fill(-1),
    weights: result.derivative.slice(at, (at += tokenIds.length)),
  });
  const groups = batch.groups.map((group) => ({ ...group, sequences: group.sequences.map(weigh) }));
  return { loss: result.loss, batch: { id: batch.id, groups } };
}

function needOld(kept: KeptLogprobs, batch: TrainBatch): Rows {
  const found = kept.find("policy", batch);
  if (found !== undefined) return found;
  throw new LossError(
    "LOSS_NO_OLD",
    `the loss asks for stored log-probabilities, but batch "${batch.id}" has none for all of its completions; call ` +
      "logprobs with store true before the batch's first update.",
    { fields: { batch: batch.id } },
  );
}

function inputOf(groups: readonly TrainGroup[], policy: Rows, old: Rows, reference: Rows | undefined): CustomLossInput {
  const sequences = groups.flatMap((group) => group.sequences);
  const frozen = reference && join(reference.flat());
  return {
    policy: join(policy.flat()),
    old: join(old.flat()),
    get reference(): Float64Array {
      if (frozen !== undefined) return frozen;
      throw new LossError(
        "LOSS_NO_REFERENCE",
        "the loss reads reference log-probabilities, which were not asked for. Give forwardBackward the option " +
          "`reference: true`; the policy can compute them where `beta` is above 0 in its configuration.",
      );
    },
    advantages: join(sequences.map((sequence) => sequence.advantages)),
    weights: join(sequences.map((sequence) => sequence.weights)),
    completions: offsets(sequences.map(({ tokenIds }) => tokenIds.length)),
    groups: offsets(groups.map((group) => group.sequences.length)),
    positions: Int32Array.from(
      groups.flatMap(({ firstIndex, sequences: own }) => own.map((_, sample) => firstIndex + sample)),
    ),
  };
}

function join(pieces: readonly Float32Array[]): Float64Array {
  const joined = new Float64Array(pieces.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

function offsets(lengths: readonly number[]): Segments {
  const found = new Int32Array(lengths.length + 1);
  for (const [index, length] of lengths.entries()) found[index + 1] = found[index]! + length;
  return found;
}

async function run(loss: CustomLoss, input: CustomLossInput): Promise<CustomLossResult> {
  try {
    return await loss(input);
  } catch (cause) {
    if (ThurstoneError.isInstance(cause) || (cause instanceof Error && cause.name === "AbortError")) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LossError("LOSS_FAILED", `the loss failed: ${reason}`, { cause });
  }
}

/** The derivative in the precision that travels. */
function checkResult(
  result: CustomLossResult,
  groups: readonly TrainGroup[],
): { readonly loss: number; readonly derivative: Float32Array } {
  const { loss, derivative } = (result ?? {}) as Partial<CustomLossResult>;
  if (typeof loss !== "number" || !(derivative instanceof Float64Array)) {
    throw new LossError(
      "LOSS_RESULT",
      "the loss must return { loss, derivative }: a number, and a Float64Array with its derivative by each of `policy`.",
    );
  }
  const lengths = groups.map((group) => group.sequences.map(({ tokenIds }) => tokenIds.length));
  const tokens = lengths.flat().reduce((total, length) => total + length, 0);
  if (derivative.length !== tokens) {
    throw new LossError(
      "LOSS_LENGTH",
      `the loss returned a derivative of ${derivative.length} values for ${tokens} tokens; it must have one for each of \`policy\`.`,
      { fields: { length: derivative.length, tokens } },
    );
  }
  if (!Number.isFinite(loss)) {
    throw new LossError("LOSS_NOT_FINITE", `the loss is ${loss}; it must be finite.`, { fields: { loss } });
  }
  const sent = Float32Array.from(derivative);
  const index = sent.findIndex((value) => !Number.isFinite(value));
  if (index >= 0) {
    const place = placeOf(index, lengths);
    throw new LossError(
      "LOSS_NOT_FINITE",
      `the loss's derivative is ${derivative[index]} for token ${place.token} of completion ${place.completion} of group ` +
        `${place.group} (all counted from 0); it must be finite, also as a 32-bit number.`,
      { fields: place },
    );
  }
  return { loss, derivative: sent };
}

/** Where a token of the flat array stands; it must be within it. */
function placeOf(
  index: number,
  lengths: readonly (readonly number[])[],
): Record<"group" | "completion" | "token", number> {
  let token = index;
  for (const [group, own] of lengths.entries()) {
    for (const [completion, length] of own.entries()) {
      if (token < length) return { group, completion, token };
      token -= length;
    }
  }
  throw new RangeError(`there is no token ${index}.`);
}
