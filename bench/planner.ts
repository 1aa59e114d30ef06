/**
 * How well the planner fills the parts of an update, and how long it takes.
 *
 *     npm run bench -- planner [--json]
 *
 * Rollout batches of pictures of mixed sizes with 6 completions of mixed lengths. The limit of a division is what no
 * planner can beat: all tokens, each prompt once, over what a part may hold. Its time stands beside that of a
 * pass over the same groups that only adds up their tokens. Exits with status 1 when a limit of the last column is missed.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { planParts } from "../src/policy/index.js";
import type { TrainGroup } from "../src/policy/index.js";
import { foldKey, uniform } from "../src/stats/index.js";
import { percentile } from "./support/measure.js";

const COMPLETIONS = 6;
const LONGEST = 256;
/** Tokens of a question, and of pictures between KADID-10k's and KonIQ-10k's size. */
const QUESTION = 110;
const PICTURE = { least: 252, most: 999 };
/** Tokens of a part: the default, and a small machine's. */
const BUDGETS = [32_768, 4096];
const PROMPTS = [24, 96, 512];
const REPEATS = 50;
/** Most parts over the least there can be, and most milliseconds for 100 groups. */
const PARTS_LIMIT = 1.25;
const TIME_LIMIT = 0.2;

function makeGroups(prompts: number): TrainGroup[] {
  const between = (least: number, most: number, ...parts: readonly number[]): number =>
    least + Math.floor((most - least + 1) * uniform(foldKey(1, ...parts)));
  return Array.from({ length: prompts }, (_, prompt) => ({
    promptIds: new Int32Array(QUESTION + between(PICTURE.least, PICTURE.most, prompt)),
    images: [],
    firstIndex: prompt * COMPLETIONS,
    sequences: Array.from({ length: COMPLETIONS }, (_completion, sample) => {
      const length = between(1, LONGEST, prompt, sample);
      return {
        tokenIds: new Int32Array(length),
        advantages: new Float32Array(length),
        weights: new Float32Array(length),
      };
    }),
  }));
}

/** Each prompt once, and all its completions. */
function tokensOf(groups: readonly TrainGroup[]): number {
  let total = 0;
  for (const { promptIds, sequences } of groups) {
    total += promptIds.length;
    for (const { tokenIds } of sequences) total += tokenIds.length;
  }
  return total;
}

/** Median microseconds. */
function time(work: () => unknown): number {
  const times = Array.from({ length: REPEATS }, () => {
    const began = performance.now();
    work();
    return 1000 * (performance.now() - began);
  });
  return percentile(times, 0.5);
}

interface Row {
  readonly prompts: number;
  readonly budget: number;
  readonly tokens: number;
  readonly parts: number;
  /** Tokens over the budget, rounded up. */
  readonly leastParts: number;
  /** Tokens that are computed over those that must be: prompts of groups that were cut are computed again. */
  readonly computedAgain: number;
  readonly microseconds: number;
  /** Of adding up the same groups' tokens. */
  readonly leastMicroseconds: number;
}

function measure(prompts: number, budget: number): Row {
  const groups = makeGroups(prompts);
  const parts = planParts(groups, { maxTokens: budget });
  const tokens = tokensOf(groups);
  return {
    prompts,
    budget,
    tokens,
    parts: parts.length,
    leastParts: Math.ceil(tokens / budget),
    computedAgain: tokensOf(parts.flat()) / tokens,
    microseconds: time(() => planParts(groups, { maxTokens: budget })),
    leastMicroseconds: time(() => tokensOf(groups)),
  };
}

/** A small batch needs one part whatever the planner does: one too many is no fault. */
function fills({ parts, leastParts }: Row): boolean {
  return parts <= Math.max(leastParts + 1, PARTS_LIMIT * leastParts);
}

function isFast({ microseconds, prompts }: Row): boolean {
  return microseconds / 1000 <= (TIME_LIMIT * prompts) / 100;
}

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const rows = BUDGETS.flatMap((budget) => PROMPTS.map((prompts) => measure(prompts, budget)));
const verdict = (met: boolean, limit: string): string => `${limit}: ${met ? "met" : "MISSED"}`;
const header = ["tokens of a part", "prompts", "tokens", "parts", "least", "computed", "us", "adding up, us", "limits"];
const cells = rows.map((row) => [
  String(row.budget),
  String(row.prompts),
  String(row.tokens),
  String(row.parts),
  String(row.leastParts),
  row.computedAgain.toFixed(3),
  row.microseconds.toFixed(0),
  row.leastMicroseconds.toFixed(1),
  `${verdict(fills(row), `parts <= ${PARTS_LIMIT} of the least`)}; ${verdict(isFast(row), `${TIME_LIMIT} ms per 100 prompts`)}`,
]);
process.stdout.write(`${table(header, cells).join("\n")}\n`);
if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
process.exitCode = rows.every((row) => fills(row) && isFast(row)) ? 0 : 1;
