import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordOf, runChild } from "./run-child.js";
import type { RunRecord } from "./run-child.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

describe("a resumed run equals the uninterrupted one, bit for bit", () => {
  // 8 rows, 3 a batch: the third batch begins the second epoch, where the uninterrupted run's caches are warm.
  let whole: RunRecord;
  beforeAll(async () => {
    const config = workspace.config("whole");
    expect(await runChild(config)).toMatchObject({ code: 0 });
    whole = recordOf(config.output_dir!);
  });

  it("when it is killed a step after the checkpoint", async () => {
    const config = workspace.config("killed-later");
    expect(await runChild(config, "step-end:3")).toMatchObject({ signal: "SIGKILL" });
    expect(readFileSync(join(config.output_dir!, "metrics.jsonl"), "utf8").split("\n").length).toBe(4);

    expect(await runChild({ ...config, resume_from_checkpoint: true })).toMatchObject({ code: 0 });
    expect(recordOf(config.output_dir!)).toEqual(whole);
  });

  it("when it is killed while a checkpoint is written, with redrawn groups, dropped groups and two updates a batch", async () => {
    const more = {
      num_generations: 2,
      dynamic_sampling: true,
      dynamic_sampling_tries: 2,
      drop_zero_variance_groups: true,
      num_iterations: 2,
    };
    const uninterrupted = workspace.config("redrawn", more);
    expect(await runChild(uninterrupted)).toMatchObject({ code: 0 });
    const record = recordOf(uninterrupted.output_dir!);
    const lines = record.metrics.trim().split("\n");
    const tries = lines.map((line) => (JSON.parse(line) as Record<string, number>)["dynamic_sampling/tries"]!);
    expect(Math.max(...tries)).toBeGreaterThan(0);

    const config = workspace.config("killed-in-save", more);
    expect(await runChild(config, "save:2")).toMatchObject({ signal: "SIGKILL" });
    const checkpoints = join(config.output_dir!, "checkpoints");
    expect(readdirSync(checkpoints).sort()).toEqual(["step_000002", "step_000004.partial"]);

    expect(await runChild({ ...config, resume_from_checkpoint: true })).toMatchObject({ code: 0 });
    expect(recordOf(config.output_dir!)).toEqual(record);
    expect(existsSync(join(checkpoints, "step_000004.partial"))).toBe(false);
  });

  it("and refuses to go on with other settings", async () => {
    const config = { ...workspace.config("whole"), resume_from_checkpoint: true, learning_rate: 2e-3 };
    const { code, stderr } = await runChild(config);
    expect(code).toBe(1);
    expect(stderr).toContain("RESUME_MISMATCH");
    expect(stderr).toContain("config.learning_rate was 0.001 and is 0.002");
  });
});
