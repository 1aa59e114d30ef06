/**
 * Does it learn? From a start that only knows the layout of an answer, over several seeds: fidelity and format must
 * raise the format rate, an own reward must rise, and with rewards shuffled among the completions nothing may move.
 *
 *   npx tsx bench/learning.ts [--seeds 3] [--max_steps 100] [--only fidelity] [--json]
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { defineReward, parseScore } from "../src/rewards/index.js";
import type { RewardRecord } from "../src/rewards/index.js";
import { mean, standardDeviation } from "../src/stats/index.js";
import { byEstimator, train } from "../src/trainer/index.js";
import type { RunResult } from "../src/trainer/index.js";
import { permutedRewards } from "./support/controls.js";
import { layoutConfig, makeLayoutStart } from "./support/layout-start.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "3" },
    max_steps: { type: "string", default: "100" },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
/** Steps averaged at either end of a run. */
const ENDS = 5;
/** What an answer without a score earns: as much as the worst answer. */
const NO_SCORE = -3;

const nearTwo = defineReward({
  name: "near_two",
  score: ({ completion }) => {
    const { score } = parseScore(completion.text);
    return score === null ? NO_SCORE : -Math.abs(score - 2);
  },
});

interface Row {
  readonly condition: string;
  readonly seed: number;
  readonly formatBefore: number;
  readonly formatAfter: number;
  readonly rewardBefore: number;
  readonly rewardAfter: number;
  readonly secondsPerStep: number;
}

function formatRate(evaluation: RunResult["evaluations"][number] | undefined): number {
  const [result] = evaluation!.results;
  return byEstimator(result!)[0]![1].formatRate!;
}

async function runCondition(
  folder: string,
  condition: string,
  seed: number,
  rewards: RewardRecord | undefined,
): Promise<Row> {
  const config = await layoutConfig(folder, {
    seed,
    max_steps: Number(values.max_steps),
    output_dir: join(folder, condition.replaceAll(/\W+/g, "-")),
    save_only_model: true,
    // The conditions run side by side.
    worker_threads: 1,
  });
  // Weight 0: measured, without a say.
  const watched = { near_two: { reward: nearTwo, weight: 0 } };
  const run = train(config, {
    rewards: { ...(rewards ?? { fidelity: 1, format: 1 }), ...(rewards?.["near_two"] ? {} : watched) },
  });
  const rates: number[] = [];
  for await (const event of run) if (event.type === "step-end") rates.push(event.metrics["rewards/near_two/mean"]!);
  const { evaluations, secondsPerStep } = await run.result;
  const row = {
    condition,
    seed,
    formatBefore: formatRate(evaluations[0]),
    formatAfter: formatRate(evaluations.at(-1)),
    rewardBefore: mean(rates.slice(0, ENDS))!,
    rewardAfter: mean(rates.slice(-ENDS))!,
    secondsPerStep,
  };
  process.stderr.write(`${JSON.stringify(row)}\n`);
  return row;
}

const rows: Row[] = [];
for (let seed = 0; seed < Number(values.seeds); seed += 1) {
  const folder = await mkdtemp(join(tmpdir(), "thurstone-learning-"));
  await makeLayoutStart(folder, seed, (line) => process.stderr.write(`seed ${seed}: ${line}\n`));
  const conditions: readonly (readonly [string, RewardRecord | undefined])[] = [
    ["fidelity 1, format 1", undefined],
    ["own reward: -|score - 2|", { near_two: { reward: nearTwo, weight: 1 } }],
    ["control: shuffled", { shuffled: permutedRewards({ name: "shuffled", seed, rewards: { near_two: nearTwo } }) }],
  ];
  const chosen = conditions.filter(([name]) => name.startsWith(values.only));
  if (chosen.length === 0) {
    const known = conditions.map(([name]) => `"${name}"`).join(", ");
    throw new Error(`learning: no condition begins with "${values.only}"; there are ${known}.`);
  }
  rows.push(...(await Promise.all(chosen.map(([name, rewards]) => runCondition(folder, name, seed, rewards)))));
  await rm(folder, { recursive: true });
}

if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`);
else {
  const conditions = [...new Set(rows.map((row) => row.condition))];
  const cell = (condition: string, pick: (row: Row) => number): string => {
    const found = rows.filter((row) => row.condition === condition).map(pick);
    return `${mean(found)!.toFixed(3)} +- ${(standardDeviation(found) ?? 0).toFixed(3)}`;
  };
  const lines = conditions.map((condition) => [
    condition,
    cell(condition, (row) => row.formatBefore),
    cell(condition, (row) => row.formatAfter),
    cell(condition, (row) => row.rewardBefore),
    cell(condition, (row) => row.rewardAfter),
  ]);
  const header = ["rewards", "format before", "format after", "-|score - 2| first steps", "last steps"];
  process.stdout.write(
    `${table(header, lines).join("\n")}\nmean and standard deviation over ${values.seeds} seeds, ${values.max_steps} steps each\n`,
  );
}
