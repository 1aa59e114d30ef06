import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import type { RewardReplay } from "../../src/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { runFake } from "../support/fake-run.js";
import { commandIo } from "./outputs.js";

let set: DataSet;
let module: string;
beforeAll(async () => {
  set = await createDataSet();
  await runFake(set.config("run", { max_steps: 2 }));
  module = join(set.folder, "new.ts");
  writeFileSync(
    module,
    `import { defineReward } from "thurstone/rewards";
     export const early = defineReward({ name: "early", score: ({ completion }) => -completion.index });`,
  );
});
afterAll(() => set.remove());

async function replay(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(set.folder);
  const code = await runCommandLine(["rewards", "replay", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

describe("thurstone rewards replay", () => {
  it("says that the run's own rewards give the record", async () => {
    const { code, out } = await replay("run");
    expect(code).toBe(0);
    const lines = out.split("\n");
    expect(lines[0]).toMatch(/run: 24 completions of 2 steps, scored again$/);
    expect(lines).toContain("rewards now:  fidelity x 1, format x 1");
    expect(lines.filter((line) => /^ *(1|2|all) /.test(line))).toHaveLength(3);
    expect(out).toContain(
      "Rewards and advantages are those of the record, bit for bit.\nNo advantage changed its sign.\n",
    );
  });

  it("shows which advantages other rewards turn round, as many as are asked for", async () => {
    const { code, out } = await replay("run", "--rewards", module, "--limit", "2");
    expect(code).toBe(0);
    expect(out).toContain("rewards then: fidelity x 1, format x 1\nrewards now:  early x 1\n");
    const [, shown, all] = /changed their sign, the largest changes first \((\d+) of (\d+)\):/.exec(out)!;
    expect([Number(shown), Number(all) > 2]).toEqual([2, true]);
    expect(out.trimEnd().split("\n").slice(-3)[0]).toMatch(/^step +row +sample +advantage then/);
  });

  it("gives programs all of it", async () => {
    const { out } = await replay("run", "--json", "--rewards", module, "--reward_funcs", "early", "format");
    const result = JSON.parse(out) as RewardReplay;
    expect(result.weights.after).toEqual({ early: 1, format: 1 });
    expect(result.steps.reduce((sum, { flips }) => sum + flips.length, 0)).toBe(result.total.flipped);
    expect(result.identical).toBe(false);
  });

  it("refuses keys that cannot matter, and folders without a run", async () => {
    const { code, err } = await replay("run", "--temperature", "2");
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^ConfigError CONFIG_FLAG {2}--temperature cannot matter here/),
    ]);
    expect((await replay("nowhere")).err).toMatch(/^RunError RUN_NOT_FOUND/);
    expect((await replay()).code).toBe(2);
  });

  it("explains itself with --help", async () => {
    const { code, out } = await replay("--help");
    expect(code).toBe(0);
    for (const word of ["--rewards FILE", "--python_reward FILE:FUNCTION", "--json", "--limit"])
      expect(out).toContain(word);
  });
});
