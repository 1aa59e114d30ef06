/** How workers end, and how their starts fail: each test with a process of its own, and nothing left behind. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { startWorker } from "../../src/bridge/index.js";
import { BridgeError, WorkerError } from "../../src/errors.js";
import { eventually, isAlive, ownTemporaryFolder, PYTHON, selftestAfter, startSelftest } from "./selftest-worker.js";

const temporary = ownTemporaryFolder();
afterEach(() => expect(temporary.workerFolders()).toEqual([]));
afterAll(() => temporary.remove());

/** What a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<WorkerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WorkerError);
  return error as WorkerError;
}

describe("a worker that", () => {
  it("is killed in a call rejects it, naming the method, the seconds and the end of its log; the rest as well", async () => {
    const worker = await startSelftest({ args: selftestAfter("import sys\nprint('last words', file=sys.stderr)") });
    const call = worker.caller.call("sleep", { seconds: 60, steps: 1 }, { timeout: 600_000 });
    const queued = Array.from({ length: 100 }, () => worker.caller.call("echo", {}));
    await eventually(() => worker.heartbeat?.method === "sleep", 20_000);
    process.kill(worker.pid, "SIGKILL");
    const error = await rejection(call);
    expect(error).toMatchObject({ code: "WORKER_DIED", fields: { how: "signal SIGKILL", method: "sleep" } });
    expect(error.message).toMatch(/ended with signal SIGKILL during sleep, after \d+\.\d s\. Out of memory/);
    expect(error.message).toContain("\n  | last words");
    for (const other of queued) expect((await rejection(other)).code).toBe("WORKER_DIED");
    expect((await rejection(worker.caller.call("echo", {}))).code).toBe("WORKER_DIED");
    await worker.ended;
    expect(isAlive(worker.pid)).toBe(false);
    await worker.stop();
  });

  it("ends by itself between calls rejects the next one with how it ended", async () => {
    const worker = await startSelftest();
    const last = await rejection(worker.caller.call("exit", { status: 3 }));
    expect(last).toMatchObject({ code: "WORKER_DIED", fields: { how: "exit code 3", method: "exit" } });
    await worker.ended;
    expect(await rejection(worker.caller.call("echo", {}))).toBe(last);
  });

  it("is frozen is found by its silence and killed", async () => {
    const worker = await startSelftest({ heartbeatInterval: 50, silenceTimeout: 2500 });
    const call = worker.caller.call("sleep", { seconds: 60, steps: 1 });
    await eventually(() => worker.heartbeat?.phase === "sleeping", 20_000);
    process.kill(worker.pid, "SIGSTOP");
    const error = await rejection(call);
    expect(error).toMatchObject({ code: "WORKER_UNRESPONSIVE", fields: { method: "sleep", phase: "sleeping" } });
    expect(error.message).toMatch(/no heartbeat for (2\.[5-9]|[3-9]\.\d|\d\d+\.\d) s during sleep/);
    await worker.ended;
    expect(isAlive(worker.pid)).toBe(false);
    expect((await rejection(worker.caller.call("echo", {}))).code).toBe("WORKER_UNRESPONSIVE");
  });

  it("beats but makes no progress is found stalled and killed", async () => {
    const worker = await startSelftest({ heartbeatInterval: 50, stallTimeouts: { spin: 500 } });
    const idle = worker.heartbeat?.progress;
    const error = await rejection(worker.caller.call("spin", { seconds: 60 }));
    expect(error).toMatchObject({ code: "WORKER_STALLED", fields: { method: "spin", phase: "running" } });
    expect(worker.heartbeat?.progress).not.toBe(idle);
    await worker.ended;
    expect(isAlive(worker.pid)).toBe(false);
  });

  it("ignores bye and SIGTERM is killed, with what it started itself", async () => {
    const deaf = `
import subprocess
from thurstone_runtime.server import Server
Server._stop = lambda self, status, grace: None
child = subprocess.Popen(["sleep", "600"])
print("child", child.pid, flush=True)
`;
    let child = 0;
    const worker = await startSelftest({
      args: selftestAfter(deaf),
      onStderr(line) {
        if (line.startsWith("child ")) child = Number(line.slice(6));
      },
    });
    const call = worker.caller.call("sleep", { seconds: 600, steps: 1 });
    call.catch(() => undefined);
    expect(await eventually(() => child > 0, 10_000)).toBe(true);
    expect(isAlive(child)).toBe(true);
    await Promise.all([worker.stop({ grace: 200 }), worker.stop()]);
    await expect(call).rejects.toMatchObject({ code: "BRIDGE_CLOSED" });
    expect(isAlive(worker.pid)).toBe(false);
    expect(await eventually(() => !isAlive(child), 2000)).toBe(true);
  });

  it("computes ends with its parent, however that ends: none is left 2 s after SIGKILL", async () => {
    const script = join(import.meta.dirname, "spin-forever.ts");
    const parent = spawn(process.execPath, ["--import", "tsx", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [said] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(said.toString());
    expect(isAlive(pid)).toBe(true);
    parent.kill("SIGKILL");
    expect(await eventually(() => !isAlive(pid), 2000)).toBe(true);
    // Nobody was left to remove it.
    temporary.clear();
  });
});

describe("a start fails, leaving neither process nor folder, when", () => {
  const shell = (script: string, startTimeout = 20_000) =>
    rejection(startWorker({ python: "/bin/sh", args: ["-c", script], startTimeout }));

  it("there is no such Python", async () => {
    const error = await rejection(startWorker({ python: "/nowhere/python" }));
    expect(error.code).toBe("WORKER_START_FAILED");
    expect(error.message).toContain("(/nowhere/python -m thurstone_runtime) did not start: it cannot be run");
    expect(error.cause).toMatchObject({ code: "ENOENT" });
  });

  it("the command cannot even be tried", async () => {
    const error = await rejection(startWorker({ python: "/bin/sh", args: ["a\0b"] }));
    expect(error.code).toBe("WORKER_START_FAILED");
  });

  it("Python ends at once; its last lines are told", async () => {
    const error = await shell("echo ignored; echo 'No module named torch' >&2; printf unfinished >&2; exit 7");
    expect(error.code).toBe("WORKER_START_FAILED");
    expect(error.message).toContain("it ended with exit code 7.");
    expect(error.message).toMatch(/\n {2}\| No module named torch\n {2}\| unfinished/);
  });

  it("Python ends at once, and a process that left its group holds its output open", async () => {
    const script =
      "import subprocess; subprocess.Popen(['sleep', '20'], start_new_session=True); raise SystemExit('gone')";
    const error = await rejection(startWorker({ python: PYTHON, args: ["-c", script] }));
    expect(error.message).toMatch(/ended with exit code 1[\s\S]*\| gone/);
  });

  it("nothing is said in time", async () => {
    let pid = 0;
    const options = { python: "/bin/sh", args: ["-c", "echo $$; exec sleep 600"], startTimeout: 2500 };
    const error = await rejection(startWorker({ ...options, onStderr: (line) => (pid = Number(line)) }));
    expect(error.code).toBe("WORKER_START_FAILED");
    expect(error.message).toContain("said nothing within 2.5 s");
    expect(pid).toBeGreaterThan(0);
    expect(isAlive(pid)).toBe(false);
  });

  it("the worker speaks another protocol", async () => {
    const error = await rejection(
      startSelftest({ args: selftestAfter("from thurstone_runtime import server\nserver.VERSION = (2, 0)") }),
    );
    expect(error.code).toBe("WORKER_MISMATCH");
    expect(error.message).toContain("says protocol 2.0, role ");
  });

  it("the path of its sockets would be too long", async () => {
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = temporary.makeFolder("long".repeat(25));
    await expect(startWorker({ python: "/bin/sh" })).rejects.toBeInstanceOf(BridgeError);
    await expect(startWorker({ python: "/bin/sh" })).rejects.toMatchObject({ code: "BRIDGE_FOLDER" });
    process.env["TMPDIR"] = before;
    temporary.clear();
  });
});
