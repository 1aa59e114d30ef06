import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { commandIo } from "../cli/outputs.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-quickstart-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("the quickstart", () => {
  it("starts from the bundled checkpoint, whose scores mean nothing, and ends with one line of figures", async () => {
    const io = commandIo(folder);
    const args = ["quickstart", "--folder", folder, "--json", "--max_steps", "2", "--warmup_steps", "1"];
    // The other two estimators take minutes, and test/e2e/evaluate.test.ts has them.
    const small = ["--prompts_per_step", "8", "--eval_bootstrap", "50", "--eval_estimators", "greedy"];
    expect(await runCommandLine([...args, ...small], io)).toBe(0);

    const lines = io.stdout.text().trimEnd().split("\n");
    const summary = JSON.parse(lines.at(-1)!) as {
      before: Record<string, number | null>;
      after: Record<string, number | null>;
      seconds: number;
      run: string;
    };
    expect(Object.keys(summary.before)).toEqual(["greedy"]);
    expect(Object.keys(summary.after)).toEqual(["greedy"]);
    // The scores it was taught were drawn at random: there is no order in them but by chance.
    expect(Math.abs(summary.before["greedy"] ?? 0)).toBeLessThan(0.25);
    expect(summary.run).toBe(join(folder, "run"));

    const [evaluation] = (await readFile(join(folder, "run/evals/step_000000.jsonl"), "utf8")).trimEnd().split("\n");
    const { n, groups, estimators } = JSON.parse(evaluation!) as {
      n: number;
      groups: number;
      estimators: { greedy: { formatRate: number } };
    };
    expect({ n, groups }).toEqual({ n: 396, groups: 12 });
    expect(estimators.greedy.formatRate).toBeGreaterThan(0.9);
    expect(await readFile(join(folder, "run/quickstart.svg"), "utf8")).toContain("<polyline");
  }, 400_000);
});
