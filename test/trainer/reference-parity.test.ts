/**
 * The preset `reference_parity` from the configuration to loss and gradient, against numbers of the reference's own code.
 *
 * @module
 */
import { describe, expect, it } from "vitest";
import { groupAdvantages } from "../../src/advantages/index.js";
import { resolveConfig } from "../../src/config/index.js";
import { tokenWeights } from "../../src/losses/index.js";
import { combineRewards, scoreRewards, type RewardGroup } from "../../src/rewards/index.js";
import { configuredObjective } from "../../src/trainer/objective.js";
import { rewardOptions } from "../../src/trainer/prepare.js";
import { readGolden } from "../golden/read.js";
import { weightedLoss } from "../losses/weighted-loss.js";

interface RewardCase {
  name: string;
  images: { dataset: string; mos: number; completions: string[] }[];
  expected: { format: number[][] };
  expected_f64: { accuracy: number[][] };
}

interface LossCase {
  name: string;
  epsilon_low: number;
  epsilon_high: number;
  beta: number;
  rewards: number[][];
  logp_new: number[][];
  logp_old: number[][] | null;
  logp_ref: number[][] | null;
  mask: number[][];
  expected_f64: { advantages: number[] | number[][]; total_loss: number; grad_logp_new: number[][] };
}

const rewards = readGolden<{ cases: RewardCase[]; mixed_dataset_cases: RewardCase[] }>("rewards");
const losses = readGolden<{ cases: LossCase[] }>("grpo").cases;
const parity = resolveConfig({ model_name_or_path: "m", reference_parity: true });

function groupsOf({ images }: RewardCase): RewardGroup[] {
  return images.map(({ dataset, mos, completions }, image) => ({
    prompt: { row: { id: `${image}`, dataset, mos } },
    completions: completions.map((text) => ({ text, tokenIds: new Int32Array(1), finishReason: "stop" })),
  }));
}

function expectClose(values: readonly (number | null)[], wanted: readonly number[]): void {
  expect(values).toHaveLength(wanted.length);
  values.forEach((value, index) => expect(Math.abs(value! - wanted[index]!)).toBeLessThan(1e-9));
}

describe("reference_parity", () => {
  it.each([...rewards.cases, ...rewards.mixed_dataset_cases])(
    "pays what the reference pays on $name",
    async (given) => {
      const set = combineRewards({ accuracy: 1, format: 1 }, rewardOptions(parity));
      const { totals, breakdown } = await scoreRewards(groupsOf(given), set);
      const { accuracy } = given.expected_f64;
      const { format } = given.expected;
      const wanted = accuracy.map((image, at) => image.map((earned, sample) => earned + format[at]![sample]!));
      expectClose(totals.flat(), wanted.flat());
      expectClose(breakdown["format"]!.flat(), format.flat());
    },
  );

  it.each(losses)("has the reference's advantages, loss and gradient on $name", (given) => {
    const { epsilon_low: epsilon, epsilon_high, beta } = given;
    const config = resolveConfig({ ...parity, epsilon, epsilon_high, beta });
    const advantages = groupAdvantages(given.rewards, { scale: config.scale_rewards }).flat();
    expectClose(advantages, given.expected_f64.advantages.flat());

    const lengths = given.mask.map((row) => row.reduce((sum, kept) => sum + kept, 0));
    const { loss: spec, normaliser, corrections } = configuredObjective(config);
    expect(corrections).toEqual({ importance: null, topEntropyQuantile: 1, maskTruncated: false, klInReward: null });
    const weights = tokenWeights(lengths, { normaliser });
    const kept = given.mask.flatMap((row, sequence) =>
      row.flatMap((mask, position) => (mask === 0 ? [] : [{ sequence, position }])),
    );
    expect(spec).toMatchObject({ surrogate: "clip", kl: "k3", epsilon, epsilonHigh: epsilon_high, beta });
    const { loss, gradient } = weightedLoss(
      kept.map(({ sequence, position }) => ({
        weight: weights[sequence]!,
        advantage: advantages[sequence]!,
        logprob: given.logp_new[sequence]![position]!,
        old: given.logp_old?.[sequence]![position],
        reference: given.logp_ref?.[sequence]![position],
      })),
      spec,
    );
    expectClose([loss], [given.expected_f64.total_loss]);
    expectClose(
      gradient,
      kept.map(({ sequence, position }) => given.expected_f64.grad_logp_new[sequence]![position]!),
    );
  });
});
