/**
 * Every loss type, as surrogate, weights and factors on the advantages, against other people's code; and that no split of
 * an update changes it.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupAdvantages } from "../../src/advantages/index.js";
import { ConfigError } from "../../src/errors.js";
import { entropyMask, objectiveOf, tokenWeights } from "../../src/losses/index.js";
import type { LossType, Objective, ObjectiveOptions, RatioLevel } from "../../src/losses/index.js";
import { readGolden } from "../golden/read.js";
import { weightedLoss } from "./weighted-loss.js";
import type { Token } from "./weighted-loss.js";

type Table = number[][];

interface Case {
  epsilon_high: number;
  beta: number;
  logp_new: Table;
  logp_old: Table | null;
  logp_ref: Table | null;
  entropy?: Table;
  mask: Table;
}

interface GrpoCase extends Case {
  name: string;
  epsilon_low: number;
  rewards: Table;
  expected_f64: { total_loss: number; grad_logp_new: Table };
}

interface TrlCase extends Case {
  loss_type: LossType;
  seed: number;
  epsilon: number;
  delta: number | null;
  quantile: number;
  sapo: [number, number];
  level: RatioLevel;
  max_completion_length: number;
  entropy_coef?: number;
  entropy: Table;
  advantages: number[];
  loss: number;
  grad_logp_new: Table;
}

const trl = ["trl_losses", "trl_more_losses"].flatMap((name) => readGolden<{ cases: TrlCase[] }>(name).cases);
const grpo = readGolden<{ cases: GrpoCase[] }>("grpo").cases;

/** The tokens of the golden file that count, by completion. */
function masked(table: Table, mask: Table): Table {
  return table.map((row, sequence) => row.filter((_, position) => mask[sequence]![position] !== 0));
}

function tokensOf(
  given: Case,
  advantages: readonly number[],
  weights: readonly number[],
  factors?: Float64Array[],
): Token[] {
  const old = given.logp_old && masked(given.logp_old, given.mask);
  const reference = given.logp_ref && masked(given.logp_ref, given.mask);
  const entropy = given.entropy && masked(given.entropy, given.mask);
  return masked(given.logp_new, given.mask).flatMap((row, sequence) =>
    row.map((logprob, position) => ({
      sequence,
      weight: weights[sequence]!,
      advantage: advantages[sequence]! * (factors?.[sequence]![position] ?? 1),
      logprob,
      old: old?.[sequence]![position],
      reference: reference?.[sequence]![position],
      entropy: entropy?.[sequence]![position],
    })),
  );
}

function expectClose(values: readonly number[], expected: readonly number[]): void {
  expect(values.length).toBe(expected.length);
  values.forEach((value, index) => expect(Math.abs(value - expected[index]!)).toBeLessThan(1e-9));
}

/** A case has numbers for every loss type; this is what its own uses. */
function boundsOf({ loss_type, epsilon, epsilon_high: epsilonHigh, sapo }: TrlCase): ObjectiveOptions {
  if (loss_type === "sapo") return { tauPositive: sapo[0], tauNegative: sapo[1] };
  return loss_type === "cispo" ? { epsilonHigh } : { epsilon, epsilonHigh };
}

const lengthsOf = (mask: Table): number[] => masked(mask, mask).map(({ length }) => length);

describe("an objective", () => {
  it.each(grpo)("is the reference's loss and gradient on $name", (given) => {
    const { loss: spec, normaliser } = objectiveOf({
      epsilon: given.epsilon_low,
      epsilonHigh: given.epsilon_high,
      beta: given.beta,
    });
    const weights = tokenWeights(lengthsOf(given.mask), { normaliser });
    const { loss, gradient } = weightedLoss(tokensOf(given, groupAdvantages(given.rewards).flat(), weights), spec);
    expectClose([loss], [given.expected_f64.total_loss]);
    expectClose(gradient, masked(given.expected_f64.grad_logp_new, given.mask).flat());
  });

  it.each(trl)("is TRL's loss and gradient for $loss_type per $level (seed $seed)", (given) => {
    const { loss: spec, normaliser } = objectiveOf({
      lossType: given.loss_type,
      ratioLevel: given.level,
      ...boundsOf(given),
      delta: given.delta,
      beta: given.beta,
      entropyCoefficient: given.entropy_coef ?? 0,
    });
    const weights = tokenWeights(lengthsOf(given.mask), {
      normaliser,
      maxCompletionLength: given.max_completion_length,
    });
    const { factors } = entropyMask(masked(given.entropy, given.mask), given.quantile);
    const { loss, gradient } = weightedLoss(tokensOf(given, given.advantages, weights, [...factors]), spec);
    expectClose([loss], [given.loss]);
    expectClose(gradient, masked(given.grad_logp_new, given.mask).flat());
  });

  it("covers TRL's loss types, the dual clip, ratios of sequences, the entropy mask and the entropy bonus that way", () => {
    const types = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo"];
    expect(new Set(trl.map(({ loss_type }) => loss_type))).toEqual(new Set(types));
    for (const has of [
      ({ delta }: TrlCase) => delta !== null,
      ({ level }: TrlCase) => level === "sequence",
      ({ quantile }: TrlCase) => quantile < 1,
      ({ entropy_coef }: TrlCase) => entropy_coef !== undefined && entropy_coef !== 0,
    ])
      expect(trl.some(has)).toBe(true);
  });

  it("is gspo where grpo has ratios of sequences, and bnpo is dapo", () => {
    expect(objectiveOf({ lossType: "gspo" })).toEqual(objectiveOf({ lossType: "grpo", ratioLevel: "sequence" }));
    expect(objectiveOf({ lossType: "bnpo" })).toEqual(objectiveOf({ lossType: "dapo" }));
    expect(objectiveOf({ lossType: "luspo" }).loss.surrogate).toBe("sequence_clip");
  });

  it("leaves to the worker what nothing is said of", () => {
    expect(objectiveOf().loss).toEqual({ surrogate: "clip" });
    expect(objectiveOf({ lossType: "cispo", epsilon: 0.3 }).loss).toEqual({ surrogate: "cispo", epsilon: 0.3 });
  });

  it.each<[LossType, object, string]>([
    ["gspo", { ratioLevel: "token" }, "gspo has one for each sequence; use grpo"],
    ["cispo", { ratioLevel: "sequence" }, "cispo has a ratio for each token"],
    ["sapo", { ratioLevel: "sequence" }, "sapo has a ratio for each token"],
    ["sapo", { delta: 2 }, "delta is 2, and the loss is sapo, which has no dual clip"],
    ["gspo", { delta: 2 }, "delta is 2, and the loss is gspo, which has no dual clip"],
    ["sapo", { epsilon: 0.2 }, "epsilon is 0.2, and the loss is sapo, which has no clip"],
    ["sapo", { epsilonHigh: 0.28 }, "epsilonHigh is 0.28, and the loss is sapo, which has no clip"],
    [
      "cispo",
      { epsilon: 0.3, epsilonHigh: 5 },
      "epsilon is 0.3, and the loss is cispo, whose cap is epsilonHigh alone",
    ],
    ["dapo", { tauPositive: 1 }, "tauPositive is 1, and the loss is dapo, which has no gate"],
    ["cispo", { tauNegative: 1.05 }, "tauNegative is 1.05, and the loss is cispo, which has no gate"],
    ["grpo", { delta: 1.2 }, "delta is 1.2, which is not above 1 + epsilonHigh = 1.2"],
    ["dapo", { delta: 1.2, epsilonHigh: 0.28 }, "delta is 1.2, which is not above 1 + epsilonHigh = 1.28"],
  ])("of %s refuses %j", (lossType, options, message) => {
    const make = (): Objective => objectiveOf({ lossType, ...options });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(message);
  });
});

const number = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const token = fc.record({
  advantage: number(-2, 2),
  logprob: number(-5, 0),
  old: fc.option(number(-5, 0), { nil: undefined }),
  reference: number(-5, 0),
  entropy: number(0, 3),
});
const completions = fc.array(fc.array(token, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 12 });

const TYPES: readonly LossType[] = ["grpo", "dapo", "bnpo", "dr_grpo", "gspo", "luspo", "cispo", "sapo"];

const withEverything = (lossType: LossType): Objective =>
  objectiveOf({
    lossType,
    ...(lossType !== "sapo" && { epsilonHigh: lossType === "cispo" ? 1.3 : 0.3 }),
    delta: lossType === "grpo" || lossType === "luspo" ? 1.5 : null,
    beta: 0.04,
    kl: "k2",
    entropyCoefficient: 0.01,
  });

function weigh(update: readonly Omit<Token, "weight">[][], { normaliser }: Objective): Token[][] {
  const weights = tokenWeights(
    update.map(({ length }) => length),
    { normaliser, maxCompletionLength: 8 },
  );
  return update.map((own, sequence) => own.map((one) => ({ ...one, sequence, weight: weights[sequence]! })));
}

it.each(TYPES)("%s is the same sum and gradient however its completions are split into parts", (lossType) => {
  const objective = withEverything(lossType);
  fc.assert(
    fc.property(completions, fc.array(fc.nat(3), { minLength: 12, maxLength: 12 }), (update, partOf) => {
      const weighed = weigh(update, objective);
      const whole = weightedLoss(weighed.flat(), objective.loss);
      const parts = [0, 1, 2, 3].map((part) => weighed.filter((_, sequence) => partOf[sequence] === part));
      const split = parts.map((part) => weightedLoss(part.flat(), objective.loss));
      const gradients = new Map(
        parts.flatMap((part, index) => part.flat().map((one, at) => [one, split[index]!.gradient[at]!] as const)),
      );
      expect(split.reduce((sum, { loss }) => sum + loss, 0)).toBeCloseTo(whole.loss, 9);
      weighed.flat().forEach((one, at) => expect(gradients.get(one)).toBeCloseTo(whole.gradient[at]!, 12));
    }),
  );
});

// The ratio of cispo counts as a constant, so its derivative is not that of its value.
it.each(TYPES.filter((type) => type !== "cispo"))("%s has the gradient that finite differences give", (lossType) => {
  const objective = withEverything(lossType);
  const drifts = fc.array(number(-1, 1), { minLength: 72, maxLength: 72 });
  fc.assert(
    fc.property(completions, drifts, fc.nat(), (update, drift, pick) => {
      const tokens = weigh(update, objective)
        .flat()
        .map((one, index) => ({ ...one, old: one.logprob + drift[index]! }));
      const at = pick % tokens.length;
      const lossAt = (shift: number): number =>
        weightedLoss(
          tokens.map((one, index) => (index === at ? { ...one, logprob: one.logprob + shift } : one)),
          objective.loss,
        ).loss;
      const [low, middle, high] = [lossAt(-1e-5), lossAt(0), lossAt(1e-5)];
      // Not across a corner, where the slopes of the two sides differ.
      fc.pre(Math.abs(high - 2 * middle + low) < 2e-9);
      expect((high - low) / 2e-5).toBeCloseTo(weightedLoss(tokens, objective.loss).gradient[at]!, 3);
    }),
  );
});
