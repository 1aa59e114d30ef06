import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openRun, replayRewards, train } from "../../src/index.js";
import { pythoniasOf } from "../support/python-rewards.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const PYTHON = fileURLToPath(new URL("../../examples/python_rewards.py", import.meta.url));

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

it("what a worker sampled is scored again bit for bit: fidelity, a module and Python functions", async () => {
  const module = join(workspace.folder, "own.ts");
  writeFileSync(
    module,
    `import { defineReward } from "thurstone/rewards";
     export const varied = defineReward({
       name: "varied",
       score: ({ completion }) => new Set(Array.from(completion.tokenIds)).size / completion.tokenIds.length,
     });`,
  );
  const config = workspace.config("recorded", {
    max_steps: 3,
    rewards: module,
    python_reward: [`${PYTHON}:near`, `${PYTHON}:short`],
    reward_funcs: ["fidelity", "varied", "near", "short"],
    reward_weights: [1, 0.7, 1, 0.3],
  });
  await train(config).result;
  expect(pythoniasOf(process.pid)).toEqual([]);

  const records = await (await openRun(config.output_dir!)).rollouts(3);
  expect(new Set(records.map(({ reward }) => reward)).size).toBeGreaterThan(3);
  expect(records.some(({ advantage }) => advantage !== 0)).toBe(true);

  const replay = await replayRewards(config.output_dir!);
  expect(replay).toMatchObject({ identical: true, total: { completions: 36, flipped: 0 } });
  const other = await replayRewards(config.output_dir!, { config: { reward_funcs: ["short"] } });
  expect(other.identical).toBe(false);
});
