/** Free ports, key files and the workers themselves for tests of workers that dial in. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { awaitWorkers, makeKeys } from "../../src/bridge/index.js";
import type { AwaitWorkersOptions, JoinedWorkers } from "../../src/bridge/index.js";
import { readControlKeys } from "../../src/bridge/curve-keys.js";
import { PYTHON, RUNTIME } from "./selftest-worker.js";

/**
 * An address of the loopback with two free ports. Where a worker dials in before anybody listens it must not be 127.0.0.1:
 * on that one a connection may be given the very port it looks for, and reaches itself.
 */
export async function freeAddress(host = "127.0.0.1"): Promise<string> {
  for (;;) {
    const port = await tryPort(host, 0);
    if (port !== null && port < 65_535 && (await tryPort(host, port + 1)) !== null) return `tcp://${host}:${port}`;
  }
}

function tryPort(host: string, port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen(port, host, () => {
      const { port: found } = server.address() as { port: number };
      server.close(() => resolve(found));
    });
  });
}

/** A folder of keys for these workers, which goes with the test. */
export async function keyFolder(...names: string[]) {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await makeKeys(folder, names);
  const control = join(folder, "control.json");
  return {
    folder,
    control,
    keys: await readControlKeys(control),
    fileOf: (name: string) => join(folder, `${name}.json`),
  };
}

/** A worker that dials in, as a person on its machine would start it. */
export interface DialledIn {
  readonly process: ReturnType<typeof spawn>;
  /** What it has said so far. */
  said: string;
  /** Resolves with its exit status, or the signal it died of. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

/** Starts a worker of the selftest, which ends with the test. */
export function dialIn(address: string, key: string, ...flags: string[]): DialledIn {
  const command = ["-m", "thurstone_runtime", "--engine", "selftest", "--connect", address, "--key", key, ...flags];
  const { RANK: _rank, WORLD_SIZE: _size, MASTER_ADDR: _host, ...env } = process.env;
  const started = spawn(PYTHON, command, {
    env: { ...env, PYTHONPATH: RUNTIME },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const worker: DialledIn = {
    process: started,
    said: "",
    ended: new Promise((done) => started.on("close", (code, signal) => done(code ?? signal))),
  };
  started.stderr.on("data", (text: Buffer) => (worker.said += text.toString()));
  onTestFinished(() => void started.kill("SIGKILL"));
  return worker;
}

/** A control plane that waits for workers, and what it tells of them. */
export function listen(options: AwaitWorkersOptions): [string[], Promise<JoinedWorkers>] {
  const news: string[] = [];
  return [news, awaitWorkers({ ...options, onNews: (sentence) => news.push(sentence) })];
}
