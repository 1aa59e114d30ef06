/**
 * One run through every fault of a worker, one after the other, always gone on with in the same way: it must give what an
 * undisturbed run gives. `npm run bench -- faults` takes a run of its own for each, and measures.
 *
 * @module
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { areGone, digestsOf, faultsOf, OUTCOMES, runWithFault, variedReward } from "../../bench/support/fault-runs.js";
import { startNursery } from "../../bench/support/worker-nursery.js";
import type { WorkerNursery } from "../../bench/support/worker-nursery.js";
import { train } from "../../src/index.js";
import type { ConfigInput } from "../../src/index.js";
import { once, runTrain } from "./run-cli.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
let nursery: WorkerNursery;
beforeAll(async () => {
  workspace = await createWorkspace();
});
beforeAll(async () => {
  nursery = await startNursery();
});
afterAll(async () => {
  await nursery[Symbol.asyncDispose]();
  workspace.remove();
});

const auto = { resume_from_checkpoint: "auto", device: "cpu" } as const;
const named = (name: string, more: Partial<ConfigInput> = {}): ConfigInput =>
  workspace.config(name, { ...auto, ...more });

/** With workers that come from the nursery and meet with nothing. */
const sound = (config: ConfigInput): ConfigInput => ({
  ...config,
  python_bin: nursery.python(null, join(workspace.folder, "workers")),
});

async function undisturbed(name: string): Promise<Readonly<Record<string, string>>> {
  const config = sound(named(name));
  await train(config, { rewards: { varied: variedReward } }).result;
  return digestsOf(config.output_dir!);
}

describe("one run, gone on with after every fault", () => {
  // Without the clock, behind which the run is finished.
  const [first, ...others] = faultsOf(1).filter(({ kind, at }) => kind !== "clock" && at !== "load");
  const whileLoading = faultsOf(1).filter(({ at }) => at === "load");
  // Behind the first, which comes behind the first checkpoint, every run begins there.
  const faults = [first!, ...[...others, ...whileLoading].map((fault) => ({ ...fault, times: 1 }))];

  it.each(faults)("$kind in $at is found and named, and leaves no process", async (fault) => {
    const { outcome, message, workers } = await runWithFault(nursery, named("faulty"), fault);
    expect(OUTCOMES[fault.kind]).toContain(outcome);
    if (fault.at !== "load") expect(message).toContain("The run can be resumed from step 2 (resume_from_checkpoint).");
    expect(workers).toHaveLength(1);
    expect(await areGone(workers)).toBe(true);
  });

  it("is the undisturbed one in the end, also when the clock is set", async () => {
    expect(await runWithFault(nursery, named("faulty"), { kind: "clock", at: "generate", times: 1 })).toMatchObject({
      outcome: "finished",
    });
    expect(digestsOf(named("faulty").output_dir!)).toEqual(await undisturbed("whole"));
  });
});

it("SIGTERM ends the command in order, which is then given again", async () => {
  const more = { max_steps: 8, save_steps: 100, max_completion_length: 48 };
  const config = sound(named("terminated", more));
  const file = join(workspace.folder, "terminated.yaml");
  writeFileSync(file, JSON.stringify({ ...config, resume_from_checkpoint: null }));
  const first = await runTrain(
    [file, "--requeue"],
    once("step 1/8", (pid) => process.kill(pid, "SIGTERM")),
  );
  expect(first.stderr).toContain("SIGTERM: saving within 30 s");
  expect(first.stdout).toMatch(/^stopped after step [1-7] of 8$/m);
  expect(first.code).toBe(0);
  expect(existsSync(join(config.output_dir!, "model"))).toBe(false);

  const second = await runTrain([file, "--requeue"]);
  expect(second.stdout).toContain("finished after step 8 of 8");
  expect(second.code).toBe(0);

  const whole = sound(named("never-terminated", more));
  await train(whole).result;
  expect(digestsOf(config.output_dir!, 8)).toEqual(digestsOf(whole.output_dir!, 8));
});
