/**
 * run_scripts/KADID-10K/multi_run_kadid.sh as it is, with a real worker under torchrun: stopped by SIGTERM.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { makeKeys } from "../../src/bridge/index.js";
import { findPython } from "../../src/python/index.js";
import { freeAddress } from "../bridge/dialling.js";
import { eventually, isAlive } from "../bridge/selftest-worker.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const ROOT = resolve(import.meta.dirname, "../..");

it("a run under the script is saved when SIGTERM comes to all that is in its group, and its workers end with it", async () => {
  const workspace = await createWorkspace();
  onTestFinished(() => workspace.remove());
  const clone = await cloneOf(workspace);
  const [port, rendezvous] = await Promise.all([freeAddress("0.0.0.0"), freeAddress("0.0.0.0")]);
  const environment = {
    NNODES: "1",
    NODE_RANK: "0",
    GPUS: "1",
    MASTER_ADDR: "127.0.0.2",
    PORT: new URL(port).port,
    RENDEZVOUS_PORT: new URL(rendezvous).port,
    PYTHON_BIN: findPython().python,
    MODEL: workspace.model,
    IMAGE_FOLDER: workspace.images,
    DATA_FILE: workspace.data,
    RUN_NAME: "mine",
  };
  const flags = (
    "--dataset_name tiny --deepspeed none --bf16 false --torch_dtype float32 --attn_implementation sdpa --device cpu --worker_threads 1 " +
    "--max_completion_length 12 --max_steps 1000 --save_steps 1000 --save_only_model false --requeue"
  ).split(" ");
  const run = join(clone, "output/mine");
  const metrics = join(run, "metrics.jsonl");
  const steps = (): number => (existsSync(metrics) ? readFileSync(metrics, "utf8").split("\n").length - 1 : 0);

  const script = runScript(clone, environment, flags);
  await script.until(() => steps() >= 3);
  process.kill(-script.pid, "SIGTERM");
  expect(await script.ended, script.said).toBe(0);
  expect(script.said).toContain("SIGTERM: saving within 30 s");
  expect(readdirSync(join(run, "checkpoints"))).toEqual([`step_${String(steps()).padStart(6, "0")}`]);
  expect(existsSync(join(run, "model"))).toBe(false);
  const worker = /rank 0 on .* \(process (\d+)\) has joined/.exec(script.said)!;
  expect(isAlive(Number(worker[1]))).toBe(false);
});

/** The scripts beside a build that is the source. */
async function cloneOf({ folder }: Workspace): Promise<string> {
  const clone = join(folder, "clone");
  mkdirSync(join(clone, "dist/cli"), { recursive: true });
  const [tsx, main] = [import.meta.resolve("tsx"), pathToFileURL(join(ROOT, "src/cli/main.ts")).href];
  writeFileSync(
    join(clone, "dist/cli/main.js"),
    `import(${JSON.stringify(tsx)}).then(() => import(${JSON.stringify(main)}));\n`,
  );
  cpSync(join(ROOT, "run_scripts/KADID-10K"), join(clone, "run_scripts/KADID-10K"), { recursive: true });
  await makeKeys(join(clone, "keys"), ["node0"]);
  return clone;
}

function runScript(clone: string, environment: Readonly<Record<string, string>>, flags: readonly string[]) {
  const process_ = spawn("bash", [join(clone, "run_scripts/KADID-10K/multi_run_kadid.sh"), ...flags], {
    cwd: clone,
    env: { ...process.env, OMP_NUM_THREADS: "1", ...environment },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const script = {
    pid: process_.pid!,
    said: "",
    ended: new Promise<number | NodeJS.Signals | null>((done) =>
      process_.on("close", (code, signal) => done(code ?? signal)),
    ),
    async until(condition: () => boolean): Promise<void> {
      await eventually(() => condition() || process_.exitCode !== null, 60_000);
      expect(condition(), script.said).toBe(true);
    },
  };
  for (const output of [process_.stdout, process_.stderr]) {
    output.on("data", (text: Buffer) => (script.said += text.toString()));
  }
  // The workers, which have a session of their own, end with the control plane.
  onTestFinished(() => {
    if (process_.exitCode === null && process_.signalCode === null) process.kill(-script.pid, "SIGKILL");
  });
  return script;
}
