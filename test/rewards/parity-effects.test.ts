/**
 * The numbers of docs/parity.md: what each way of the reference does, computed, and found in the page as it is computed here.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { groupAdvantages } from "../../src/advantages/index.js";
import { resolveConfig } from "../../src/config/index.js";
import { createSampler } from "../../src/data/index.js";
import { tokenWeights } from "../../src/losses/index.js";
import { fidelity, formatReward, parseScore, referenceQuirks, type RatedGroup } from "../../src/rewards/index.js";
import { foldKey, plcc, uniform } from "../../src/stats/index.js";
import { readGolden } from "../golden/read.js";
import { rateImages } from "../support/raters.js";

const page = readFileSync(new URL("../../docs/parity.md", import.meta.url), "utf8").replaceAll(/\s+/g, " ");
const BATCHES = 200;

const says = (text: string): void => expect(page).toContain(text);
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Batches of images whose mean scores correlate .8 with their labels. */
function batches(images: number): RatedGroup[][] {
  return Array.from({ length: BATCHES }, (_, seed) => rateImages({ images, correlation: 0.8, seed }));
}

it("1: what a made-up score earns", () => {
  const made: { reward: number; advantage: number }[] = [];
  for (const [batch, images] of batches(8).entries()) {
    const draw = (...place: number[]): number => uniform(foldKey(2, batch, ...place));
    const lost = images.map(({ scores }, image) => scores.map((_, sample) => draw(image, sample, 0) < 1 / 20));
    const read = images.map((image, at) => ({
      ...image,
      scores: image.scores.map((score, sample) =>
        lost[at]![sample]! ? 1 + Math.floor(5 * draw(at, sample, 1)) : score,
      ),
    }));
    const rewards = fidelity(read, { referenceParity: true }) as number[][];
    const advantages = groupAdvantages(rewards);
    for (const [image, marks] of lost.entries()) {
      for (const [sample, mark] of marks.entries()) {
        if (mark) made.push({ reward: rewards[image]![sample]!, advantage: advantages[image]![sample]! });
      }
    }
  }
  says(`earns ${mean(made.map(({ reward }) => reward)).toFixed(2)} of fidelity on average`);
  says(`${percent(mean(made.map(({ advantage }) => (advantage > 0 ? 1 : 0))))} of them have a positive advantage`);
});

it("2 and 10: what is read, and what is paid for", () => {
  const { cases } = readGolden<{ cases: { text: string; score: number | "random"; format: number }[] }>("parse");
  const read = cases.filter(({ score }) => score !== "random");
  const refused = read.filter(({ text }) => parseScore(text).status === "failed");
  const paid = cases.filter(({ format }) => format === 1);
  const unpaid = paid.filter(({ text }) => formatReward(text) === 0);
  says(`reads ${read.length} of the ${cases.length}; ${refused.length} of these are failures here`);
  says(`pays for ${paid.length} of the same ${cases.length}, ${unpaid.length} of which earn nothing here`);
});

it("3: how sure a group that agrees is", () => {
  const agreeing = (gap: number): RatedGroup[] => [
    { dataset: "a", mos: 4, scores: Array<number>(6).fill(3 + gap) },
    { dataset: "a", mos: 2, scores: Array<number>(6).fill(3) },
  ];
  const reference = fidelity(agreeing(0.01), { referenceParity: true })[0]![0]!;
  const ours = fidelity(agreeing(0.01))[0]![0]!;
  says(`a gap of 0.01 earns ${reference.toFixed(3)} in the right direction, with the floor ${ours.toFixed(3)}`);
});

it("4: how alike advantages are when 8 or 64 images are compared", () => {
  const pairs = batches(64)
    .slice(0, 50)
    .flatMap((images) => {
      const [all, eight] = [undefined, 8].map((comparisonSet) =>
        groupAdvantages(fidelity(images, { ...(comparisonSet !== undefined && { comparisonSet }) })).flat(),
      );
      return all!.map((advantage, index) => [advantage, eight![index]!] as const);
    });
  const correlation = plcc(
    pairs.map(([all]) => all),
    pairs.map(([, eight]) => eight),
  );
  says(`correlate ${correlation!.toFixed(2)} with those among all 64`);
});

it("7: how far the roots go", () => {
  const { rootEpsilon } = referenceQuirks;
  const root = Math.sqrt(rootEpsilon);
  says(`up to ${(Math.sqrt(1 + rootEpsilon) + root).toFixed(7)} and at least ${(2 * root).toFixed(4)}`);
});

it("25: how a small difference is blown up", () => {
  const [advantages] = groupAdvantages([[0.701, 0.7, 0.7, 0.7, 0.7, 0.7]]);
  const [clear] = groupAdvantages([[0.8, 0.7, 0.7, 0.7, 0.7, 0.7]]);
  says(`one reward of .701 among five of .700 has the advantage ${advantages![0]!.toFixed(2)}`);
  says(`one of .800 has ${clear![0]!.toFixed(2)}`);
});

it("26: what a token weighs", () => {
  const [short, long] = tokenWeights([20, 256]);
  says(`${(short! / long!).toFixed(1)} times as much as one of 256`);
});

it("29: how many steps the flagship recipe has", () => {
  const row = (id: number) => ({
    id: `${id}`,
    dataset: "K",
    images: [],
    messages: [],
    source: { file: 0, line: id },
    extra: {},
  });
  const rows = Array.from({ length: 6125 }, (_, id) => row(id + 1));
  const config = resolveConfig({ model_name_or_path: "m", prompts_per_step: 128, num_train_epochs: 10 });
  const { batches: steps, leftOver } = createSampler(rows, config);
  says(`${steps} steps`);
  says(`leaves ${leftOver["K"]} of 61250 rows`);
  const dropped = [8, 64, 128].map((prompts_per_step) => {
    const sampler = createSampler(rows, { prompts_per_step, num_train_epochs: 10, dataloader_drop_last: true });
    return sampler.batches;
  });
  says(`${dropped[0]} steps of 8, ${dropped[1]} of 64 and ${dropped[2]} of 128`);
});
