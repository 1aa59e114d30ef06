import { chmodSync, existsSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findPython } from "../../src/python/index.js";
import { verifyCheckpoint } from "../../src/runs/index.js";
import { both, once, runTrain } from "./run-cli.js";
import type { Ended } from "./run-cli.js";
import { workersOf } from "./run-child.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

/** Writes a configuration to a file. YAML holds JSON. */
function configFile(name: string): string {
  const path = join(workspace.folder, `${name}.yaml`);
  const config = workspace.config(name, {
    max_steps: 40,
    save_steps: 1,
    lr_scheduler_type: "constant",
    // Long enough that a signal meets a step under way.
    num_generations: 8,
    max_completion_length: 48,
  });
  writeFileSync(path, JSON.stringify(config, null, 2));
  return path;
}

const steps = (name: string): string[] => readdirSync(join(workspace.folder, name, "checkpoints")).sort();

describe("thurstone train", () => {
  it("finishes the step and saves on Ctrl-C, says so, and succeeds", async () => {
    const { code, stdout, stderr } = await runTrain(
      [configFile("once"), "--save_steps", "100"],
      once("step 1/40", (pid) => process.kill(pid, "SIGINT")),
    );
    expect(stderr).toContain("stopping: the step under way is finished and saved; Ctrl-C again stops now");
    const step = Number(/^stopped after step (\d+) of 40$/m.exec(stdout)![1]);
    expect(step).toBeLessThan(40);
    expect(stderr).toContain(`step ${step}/40`);
    expect(stderr).not.toContain(`step ${step + 1}/40`);
    expect(stderr).toMatch(new RegExp(`^step ${step} +saved .*step_0000\\d\\d$`, "m"));
    expect(steps("once")).toEqual([`step_${String(step).padStart(6, "0")}`]);
    await verifyCheckpoint(join(workspace.folder, "once/checkpoints", steps("once")[0]!));
    expect(existsSync(join(workspace.folder, "once/model/model.safetensors"))).toBe(true);
    expect(code).toBe(0);
  });

  it("stops at once on a second Ctrl-C, and fails", async () => {
    const { code, stdout, stderr } = await runTrain(
      [configFile("twice"), "--save_steps", "100", "--num_generations", "32", "--max_completion_length", "128"],
      both(
        once("step 1/40", (pid) => process.kill(pid, "SIGINT")),
        // Not before the first was seen: two signals that wait for a process are one.
        once("stopping: ", (pid) => process.kill(pid, "SIGINT")),
      ),
    );
    expect(stderr).toContain("stopping now: ");
    expect(stderr).toContain("RunError RUN_INTERRUPTED  interrupted twice: what was not saved is lost.");
    expect(existsSync(join(workspace.folder, "twice/checkpoints"))).toBe(false);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  describe("when its worker is killed", () => {
    let ended: Ended;
    let config: string;
    beforeAll(async () => {
      config = configFile("killed");
      ended = await runTrain(
        [config],
        once("step 3/40", (pid) => workersOf(pid).forEach((worker) => process.kill(worker, "SIGKILL"))),
      );
    });
    const checkpoint = (fromEnd: number): string =>
      join(workspace.folder, "killed/checkpoints", steps("killed").at(-fromEnd)!);

    it("fails with what happened, the likely cause, and the step to resume from", () => {
      expect(ended.code).toBe(1);
      // The signal comes when the step is printed; whether the next call has begun is a matter of milliseconds.
      expect(ended.stderr).toMatch(
        /^WorkerError WORKER_DIED {2}the worker ended with signal SIGKILL (while idle|during \w+)/m,
      );
      expect(ended.stderr).toContain("Out of memory is the usual cause");
      const last = Number(steps("killed").at(-1)!.slice("step_".length));
      expect(ended.stderr).toContain(`The run can be resumed from step ${last} (resume_from_checkpoint).`);
    });

    it("can be resumed from an earlier checkpoint when the last is damaged, which is refused by file", async () => {
      truncateSync(join(checkpoint(1), "weights.safetensors"), 1000);
      const refused = await runTrain([config, "--resume"]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(
        /^RunError RUN_CHECKPOINT_DAMAGED .*weights\.safetensors has 1000 bytes instead of \d+\. Resume from another checkpoint/m,
      );

      const before = Number(steps("killed").at(-2)!.slice("step_".length));
      const arguments_ = ["--resume_from_checkpoint", checkpoint(2), "--max_steps", String(before + 2)];
      const resumed = await runTrain([config, ...arguments_]);
      expect(resumed.stderr).toContain(`step ${before + 1}/${before + 2}`);
      expect(resumed.stdout).toContain(`finished after step ${before + 2} of ${before + 2}`);
      expect(resumed.code).toBe(0);
    });

    it("and keeps its last checkpoint when there is no room for another", async () => {
      // A limit on the size of files makes every write of the worker beyond it fail, as a full disk does.
      const { python } = findPython({ env: {} });
      const limited = join(workspace.folder, "limited-python");
      writeFileSync(limited, `#!/bin/sh\nulimit -f 8\nexec "${python}" "$@"\n`);
      chmodSync(limited, 0o755);
      const before = steps("killed");
      const last = checkpoint(1);
      const full = await runTrain([config, "--resume", "--python_bin", limited]);
      expect(full.stderr).toMatch(/^RunError RUN_WRITE_FAILED {2}cannot write .*step_\d+\.partial.*File too large/m);
      expect(full.code).toBe(1);
      expect(steps("killed")).toEqual(before);
      await verifyCheckpoint(last);
    });
  });
});
