/**
 * Runs on two ranks beside one on one: a rank that is killed, whose run is resumed by one process, and ranks that dial in
 * as if from other machines. Few tests, because each station starts workers.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWorkers } from "../../src/bridge/index.js";
import type { WorkerGroup } from "../../src/bridge/index.js";
import { runCommandLine } from "../../src/cli/program.js";
import type { ConfigInput } from "../../src/config/index.js";
import { defineReward, train } from "../../src/index.js";
import { findPython } from "../../src/python/index.js";
import { freeAddress, keyFolder } from "../bridge/dialling.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";

const options = {
  model_name_or_path: fileURLToPath(new URL("../../assets/rated", import.meta.url)),
  max_completion_length: 16,
  worker_threads: 1,
  beta: 0.04,
  lr_scheduler_type: "constant",
  max_steps: 2,
  save_steps: 1,
} as const;

// What earns the same trains nothing.
const sum = (ids: ArrayLike<number>): number => Array.from(ids).reduce((total, id) => total + id, 0);
const reward = defineReward({ name: "sum", score: ({ completion }) => sum(completion.tokenIds) % 7 });
const rewards = { sum: { reward, weight: 1 } };

let workspace: DataSet;
let alone: ConfigInput;
beforeAll(async () => {
  workspace = await createDataSet({ rows: 6 });
  alone = workspace.config("alone", options);
  await train(alone, { rewards }).result;
});
afterAll(() => workspace.remove());

function linesOf(run: string, file: string): Record<string, unknown>[] {
  const lines = readFileSync(join(run, file), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

function sampledOf(run: string, step: string): unknown[] {
  return linesOf(run, `rollouts/step_${step}.jsonl`).map((record) => record["token_ids"]);
}

it("two ranks sample and train as one, a killed one is named, and one process goes on from their checkpoint", async () => {
  const config = workspace.config("ranks", { ...options, num_processes: 2, strategy: "fsdp2" });
  const run = config.output_dir!;
  let group: WorkerGroup | undefined;
  const training = train(config, {
    rewards,
    callbacks: { onSave: ({ step }) => void (step === 1 && process.kill(group!.workers[1]!.pid, "SIGKILL")) },
    async connect() {
      const { python, pythonPath } = findPython({ env: process.env, cwd: process.cwd() });
      const args = ["-m", "thurstone_runtime"];
      group = await startWorkers({ worldSize: 2, python, args, env: { PYTHONPATH: pythonPath } });
      const { callers, rendezvous } = group;
      return { callers, rendezvous, close: () => group!.stop() };
    },
  });
  await expect(training.result).rejects.toMatchObject({
    code: "WORKER_DIED",
    message: expect.stringContaining("rank 1") as string,
  });

  const { strategy: _, ...single } = config;
  await train({ ...single, num_processes: 1, resume_from_checkpoint: true }, { rewards }).result;
  expectAsAlone(run);
});

it("two ranks that dial in with their keys sample and train as one", async () => {
  const { control, fileOf } = await keyFolder("node1", "node2");
  const address = await freeAddress("127.0.0.2");
  const rendezvous = (await freeAddress()).replace("tcp://", "");
  const said: string[] = [];
  const note = { write: (text: string) => void said.push(text) };
  const io = { stdout: note, stderr: note, env: { ...process.env, GLOO_SOCKET_IFNAME: "lo" }, cwd: process.cwd() };
  const workers = ["node1", "node2"].map((name, rank) => {
    const place = [`--rank=${rank}`, "--world-size=2", `--rendezvous=${rendezvous}`, `--allow=${workspace.folder}`];
    return runCommandLine(["worker", `--connect=${address}`, `--key=${fileOf(name)}`, ...place], io);
  });
  const from = { num_processes: 2, worker_address: address, worker_key_file: control };
  const config = workspace.config("joined", { ...options, ...from });
  const news: string[] = [];
  await train(config, { rewards, onNews: (sentence) => void news.push(sentence) }).result;
  expect(await Promise.all(workers), said.join("")).toEqual([0, 0]);
  expect(news.at(-1)).toMatch(/^rank \d on .* has joined: 2 of 2; all are there$/);
  expectAsAlone(config.output_dir!);
});

function expectAsAlone(run: string): void {
  for (const step of ["000001", "000002"]) {
    expect(sampledOf(run, step)).toEqual(sampledOf(alone.output_dir!, step));
  }
  const [expected, found] = [alone.output_dir!, run].map((folder) => linesOf(folder, "metrics.jsonl"));
  expect(found!.map((line) => line["reward"])).toEqual(expected!.map((line) => line["reward"]));
  for (const [step, line] of expected!.entries()) {
    expect(found![step]!["grad_norm"]).toBeCloseTo(Number(line["grad_norm"]), 4);
    expect(found![step]!["loss"]).toBeCloseTo(Number(line["loss"]), 6);
  }
}
