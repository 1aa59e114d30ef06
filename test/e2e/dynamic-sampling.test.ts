import { afterAll, beforeAll, expect, it } from "vitest";
import { createSampler, defineReward, loadRows, openPolicy, openRun, resolveConfig, train } from "../../src/index.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

/** Random weights begin an answer with any token, so half of the groups of two are paid the same. */
const isLow = (first: number): number => (first < 256 ? 1 : 0);
const low = defineReward({ name: "low", score: ({ completion }) => isLow(completion.tokenIds[0]!) });

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

it("a step draws its flat groups again on a real worker, and they are what that draw gives by itself", async () => {
  const config = workspace.config("run", {
    prompts_per_step: 8,
    num_generations: 2,
    max_steps: 1,
    dynamic_sampling: true,
    dynamic_sampling_tries: 2,
  });
  const { metrics } = await train(config, { rewards: { low } }).result;
  const recorded = await (await openRun(config.output_dir!)).rollouts(1);

  const resolved = resolveConfig({ ...config, reward_funcs: "low" }, { customRewards: ["low"] });
  await using policy = await openPolicy(resolved, { customRewards: ["low"] });
  const rows = createSampler(await loadRows(resolved), resolved).at(1);
  const prompts = await policy.encode(rows, { step: 1 });
  const drawn = await Promise.all(
    [0, 1, 2].map((attempt) => policy.generate(prompts, { samples: 2, step: 1, attempt })),
  );
  const flat = drawn.map((groups) =>
    groups.map(({ completions: [a, b] }) => isLow(a!.tokenIds[0]!) === isLow(b!.tokenIds[0]!)),
  );
  const used = rows.map((_, prompt) => (!flat[0]![prompt] ? 0 : !flat[1]![prompt] ? 1 : 2));
  // Worth something only where the draws are needed.
  expect(new Set(used)).toEqual(new Set([0, 1, 2]));

  const expected = used.flatMap((attempt, prompt) => drawn[attempt]![prompt]!.completions.map(({ text }) => text));
  expect(recorded.map(({ text }) => text)).toEqual(expected);
  expect(metrics).toMatchObject({
    "dynamic_sampling/tries": 2,
    "dynamic_sampling/redrawn": flat[0]!.filter(Boolean).length + used.filter((attempt) => attempt === 2).length,
    "dynamic_sampling/flat": used.filter((attempt, prompt) => attempt === 2 && flat[2]![prompt]).length,
  });
});
