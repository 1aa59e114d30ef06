/**
 * A reward replay as people read it.
 *
 * @module
 */
import type { ReplayCounts, RewardReplay } from "../trainer/index.js";
import { formatNumber, table } from "./table.js";

const HEADER = [
  "step",
  "completions",
  "reward then",
  "reward now",
  "rewards changed",
  "advantages changed",
  "sign flips",
  "now 0",
  "no longer 0",
  "correlation",
];

/** @param limit how many of the advantages with another sign are shown, those that changed most first */
export function replayText({ folder, weights, steps, total, identical }: RewardReplay, limit: number): string[] {
  const flips = steps
    .flatMap(({ step, flips: ofStep }) => ofStep.map((flip) => ({ step, ...flip })))
    .toSorted((a, b) => change(b.advantage) - change(a.advantage));
  const shown = flips.slice(0, limit);
  const rows = shown.map(({ step, row, sample, advantage, reward }) => [
    String(step),
    row,
    String(sample),
    formatNumber(advantage.before),
    formatNumber(advantage.after),
    formatNumber(reward.before),
    formatNumber(reward.after),
  ]);
  return [
    `${folder}: ${total.completions} completions of ${steps.length} steps, scored again`,
    `rewards then: ${weightsText(weights.before)}`,
    `rewards now:  ${weightsText(weights.after)}`,
    "",
    ...table(HEADER, [...steps.map((step) => counts(String(step.step), step)), counts("all", total)]),
    "",
    ...(identical ? ["Rewards and advantages are those of the record, bit for bit."] : []),
    ...(flips.length === 0
      ? ["No advantage changed its sign."]
      : [
          `Advantages that changed their sign, the largest changes first (${shown.length} of ${flips.length}):`,
          ...table(["step", "row", "sample", "advantage then", "now", "reward then", "now"], rows),
        ]),
  ];
}

function counts(name: string, one: ReplayCounts): string[] {
  return [
    name,
    ...[
      one.completions,
      one.reward.before,
      one.reward.after,
      one.rewardsChanged,
      one.advantagesChanged,
      one.flipped,
      one.silenced,
      one.awakened,
      one.correlation,
    ].map(formatNumber),
  ];
}

function change({ before, after }: { readonly before: number; readonly after: number }): number {
  return Math.abs(after - before);
}

function weightsText(weights: Readonly<Record<string, number>>): string {
  return Object.entries(weights)
    .map(([name, weight]) => `${name} x ${formatNumber(weight)}`)
    .join(", ");
}
