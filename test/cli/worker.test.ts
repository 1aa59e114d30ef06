/** `thurstone worker` in a process of its own, whose Python has the selftest's methods instead of a model's. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { freeAddress, keyFolder, listen } from "../bridge/dialling.js";
import { eventually, isAlive, PYTHON } from "../bridge/selftest-worker.js";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** The command, its workers, and their control plane. */
async function joined(worldSize: number, ...torchrun: string[]) {
  const { folder, control, fileOf } = await keyFolder("node1");
  const address = await freeAddress("127.0.0.2");
  const python = join(folder, "python");
  writeFileSync(python, `#!/bin/sh\nexec "${PYTHON}" "$@" --engine selftest\n`, { mode: 0o755 });
  const { RANK: _rank, WORLD_SIZE: _size, MASTER_ADDR: _host, ...env } = process.env;
  const flags = ["worker", "--connect", address, "--key", fileOf("node1"), ...torchrun];
  const command = spawn(process.execPath, ["--import", "tsx", MAIN, ...flags], {
    env: { ...env, PYTHON_BIN: python, OMP_NUM_THREADS: "1" },
    stdio: "ignore",
  });
  onTestFinished(() => void command.kill("SIGKILL"));
  const ended = new Promise<number | NodeJS.Signals | null>((done) =>
    command.on("close", (code, signal) => done(code ?? signal)),
  );
  const [, joining] = listen({ address, keyFile: control, worldSize });
  const workers = await joining;
  return { command, ended, workers, pids: workers.hellos.map(({ pid }) => pid) };
}

describe("thurstone worker", () => {
  it("is killed, and its worker with it", async () => {
    const { command, workers, pids } = await joined(1);
    const call = workers.callers[0]!.call("spin", { seconds: 60 });
    command.kill("SIGKILL");
    await expect(call).rejects.toMatchObject({ code: "WORKER_LOST", fields: { rank: 0, method: "spin" } });
    expect(await eventually(() => !pids.some(isAlive), 20_000)).toBe(true);
  });

  it("is killed, and all workers that torchrun started with it", async () => {
    const { command, workers, pids } = await joined(2, "--", "--standalone", "--nproc-per-node", "2");
    const calls = workers.callers.map((caller) => caller.call("sleep", { seconds: 60, steps: 1 }));
    command.kill("SIGKILL");
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "WORKER_LOST" });
    expect(await eventually(() => !pids.some(isAlive), 20_000)).toBe(true);
  });

  it("hands Ctrl-C and the worker's exit status on", async () => {
    const { command, ended, workers } = await joined(1);
    const call = workers.callers[0]!.call("sleep", { seconds: 60, steps: 1 });
    command.kill("SIGINT");
    await expect(call).rejects.toMatchObject({ code: "WORKER_LOST" });
    expect(await ended).toBe(143);
  });
});
