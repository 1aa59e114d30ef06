/**
 * Verification of a run that a real worker made.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { train, verifyRun } from "../../src/index.js";
import { exportSource } from "../../src/trainer/index.js";
import type { Difference, Verification, VerifyOptions } from "../../src/index.js";
import { freeAddress, keyFolder } from "../bridge/dialling.js";
import { copyRun, editCompletions, editFile, editLines, reseal } from "../support/altered-run.js";
import { startReusedWorker } from "./reused-worker.js";
import type { ReusedWorker } from "./reused-worker.js";
import { once, runThurstone } from "./run-cli.js";
import { changeValue, readTensors } from "./safetensors.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

let workspace: Workspace;
let worker: ReusedWorker;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  workspace.remove();
});

/** Random weights write no scores, so ids are paid for. */
const module = (): string => {
  const path = join(workspace.folder, "ids.ts");
  writeFileSync(
    path,
    `import { defineReward } from "thurstone/rewards";
     export const ids = defineReward({
       name: "ids",
       score: ({ completion }) => completion.tokenIds[0] / 512 + completion.tokenIds.length / 10,
     });`,
  );
  return path;
};

const causesOf = ({ differences }: Verification): Difference[] => differences.filter(({ follows }) => !follows);

describe("a run of four steps", () => {
  let run: string;
  const verify = (folder: string, options: VerifyOptions = {}) =>
    verifyRun(folder, { connect: worker.connect, ...options });
  const WEIGHT = "model.language_model.layers.0.mlp.up_proj.weight";
  beforeAll(async () => {
    const config = workspace.config("run", {
      rewards: module(),
      beta: 0.1,
      num_iterations: 2,
      max_steps: 8,
      save_steps: 4,
    });
    run = config.output_dir!;
    worker = await startReusedWorker(config);
    await train(config, { connect: worker.connect }).result;
    // What is verified had something to get wrong.
    const last = JSON.parse(readFileSync(join(run, "metrics.jsonl"), "utf8").trim().split("\n").at(-1)!) as Record<
      string,
      number
    >;
    expect([last["kl"]! > 0, last["grad_norm"]! > 0, last["reward_std"]! > 0]).toEqual([true, true, true]);
  });

  it("agrees from its first step on, with its completions drawn again", async () => {
    const verification = await verify(run, { resample: true });
    expect(verification.differences).toEqual([]);
    expect(verification).toMatchObject({ from: 1, to: 8, checkpoint: null, agrees: true });
    // Nothing stands between the sampled ids and the weights of the model that it leaves.
    expect(verification.steps.at(-1)!.compared).toMatchObject({ weight: { all: 2 }, optimizer: { all: 1 } });
  });

  it("names a weight that was changed in a checkpoint, whoever made the manifest anew", async () => {
    const folder = copyRun(run, "weight");
    const checkpoint = join(folder, "checkpoints/step_000004");
    const file = join(checkpoint, "weights.safetensors");
    const was = readTensors(file).get(WEIGHT)!;
    changeValue(file, WEIGHT, was.shape[1]! + 2, 0.25);
    const expected = {
      about: "weight",
      step: 4,
      what: `weight ${WEIGHT}[1, 2], 1 of its ${was.data.length} values`,
      recorded: Math.fround(was.data[was.shape[1]! + 2]! + 0.25),
      found: was.data[was.shape[1]! + 2],
    };
    const damaged = await verify(folder, { from: 5, to: 6 });
    expect(damaged).toMatchObject({ from: 1, checkpoint: null });
    expect(causesOf(damaged).map(({ what }) => what)).toEqual([
      "weights.safetensors of the checkpoint has another content than was written",
      expected.what,
    ]);
    expect(damaged.differences).toContainEqual(expect.objectContaining(expected));

    reseal(checkpoint);
    const resealed = await verify(folder, { from: 5, to: 6 });
    expect(causesOf(resealed)).toEqual([
      expect.objectContaining({
        about: "checkpoint",
        what: "weights.safetensors of the checkpoint: digest in the log, and in its manifest",
      }),
      expect.objectContaining(expected),
    ]);

    editLines(join(folder, "events.jsonl"), (event) => delete event["digests"]);
    // Everything now speaks for the changed checkpoint, except what its weights lead to, and what leads to them.
    expect(causesOf(await verify(folder, { from: 5, to: 6 }))).toEqual(
      expect.arrayContaining([expect.objectContaining({ about: "metric", step: 5, what: "metric loss" })]),
    );
    expect(causesOf(await verify(folder, { to: 4 }))).toEqual([expect.objectContaining(expected)]);
  });

  it("names a moment of the optimizer and a weight of the exported model", async () => {
    const folder = copyRun(run, "last");
    const checkpoint = join(folder, "checkpoints/step_000008");
    changeValue(join(checkpoint, "optimizer.safetensors"), `${WEIGHT}.exp_avg`, 0, 1e-3);
    reseal(checkpoint);
    editLines(join(folder, "events.jsonl"), (event) => delete event["digests"]);
    const model = join(folder, "model/model.safetensors");
    const name = [...readTensors(model).keys()].find((one) => one.endsWith("layers.0.mlp.up_proj.weight"))!;
    changeValue(model, name, 5, 1e-3);
    const causes = causesOf(await verify(folder, { from: 7 }));
    expect(causes.map(({ about, what }) => [about, what.split(",")[0]!.replace(/\[.*/, "")])).toEqual([
      ["weight", `weight ${name}`],
      ["optimizer", `optimizer ${WEIGHT}.exp_avg`],
    ]);
  });

  it("names a reward and a token; and a completion with everything that it says, once it is drawn again", async () => {
    const folder = copyRun(run, "rollouts");
    editCompletions(folder, 5, (line, index) => index === 3 && Object.assign(line["rewards"]!, { ids: 0.5 }));
    expect(causesOf(await verify(folder, { from: 5, to: 5 }))).toMatchObject([
      {
        about: "reward",
        step: 5,
        what: expect.stringMatching(/^reward "ids" of completion 3 of prompt 0/) as string,
        recorded: 0.5,
      },
    ]);

    const other = copyRun(run, "completion");
    editCompletions(other, 5, (line, index) => {
      if (index !== 6) return;
      const ids = line["token_ids"] as number[];
      ids[0] = (ids[0]! + 1) % 256;
      const reward = ids[0] / 512 + ids.length / 10;
      Object.assign(line, { rewards: { ids: reward }, reward });
    });
    const token = {
      about: "completion",
      step: 5,
      what: expect.stringMatching(/^token 0 of completion 2 of prompt 1/) as string,
    };
    expect(causesOf(await verify(other, { from: 5, to: 5, resample: true }))).toMatchObject([token]);
    // Without that, the text, the loss or the weights contradict it.
    expect((await verify(other, { from: 5 })).differences.length).toBeGreaterThan(1);
  });

  it("names a file of the model that it began with", async () => {
    const folder = copyRun(run, "begun");
    editFile(join(folder, "environment.json"), (environment) => {
      const { files } = (environment["model"] as { source: { files: { name: string; sha256: string }[] } }).source;
      files.find(({ name }) => name === "tokenizer.json")!.sha256 = "0";
    });
    expect(causesOf(await verify(folder, { from: 7 }))).toEqual([
      expect.objectContaining({
        about: "model",
        step: null,
        what: `tokenizer.json of the model ${workspace.model}`,
        recorded: "0",
      }),
    ]);
  });
});

describe("a run of two ranks", () => {
  let run: string;
  beforeAll(async () => {
    const config = workspace.config("ranks", {
      rewards: module(),
      num_processes: 2,
      strategy: "fsdp2",
      max_steps: 2,
      save_steps: 1,
    });
    await train(config).result;
    run = config.output_dir!;
  });

  /** As if its ranks had dialled in from elsewhere. */
  function dialled(name: string): string {
    const folder = copyRun(run, name);
    editFile(join(folder, "config.resolved.yaml"), (config) => {
      Object.assign(config, { worker_address: "tcp://192.0.2.1:5555", worker_key_file: "keys/control.json" });
    });
    return folder;
  }

  it("agrees from a checkpoint in pieces on, and a weight that was changed in one of them does not", async () => {
    const verification = await verifyRun(run, { from: 2, resample: true });
    expect(verification.differences).toEqual([]);
    expect(verification).toMatchObject({ checkpoint: join(run, "checkpoints/step_000001"), agrees: true });
    // Of either rank, and of the model that the run leaves.
    expect(verification.steps.at(-1)!.compared).toMatchObject({ weight: { all: 3 }, optimizer: { all: 2 } });

    const folder = copyRun(run, "piece");
    const files = ["00001", "00002"].map((number) =>
      join(folder, `checkpoints/step_000002/weights-${number}-of-00002.safetensors`),
    );
    const [file, name] = files
      .flatMap((path) => [...readTensors(path).keys()].map((key) => [path, key] as const))
      .at(-1)!;
    changeValue(file, name, 0, 0.25);
    expect(causesOf(await verifyRun(folder, { from: 2 })).map(({ what }) => what)).toContainEqual(
      expect.stringContaining(name) as string,
    );
  });

  it("that dialled in is verified and exported by one process of this machine", async () => {
    const folder = dialled("dialled");
    const verification = await verifyRun(folder, { from: 2, config: { num_processes: 1 } });
    expect(verification).toMatchObject({ differences: [], checkpoint: join(folder, "checkpoints/step_000001") });
    expect(verification.otherMachine).toEqual(
      expect.arrayContaining(["machine.ranks was 2 and is 1", "strategy was fsdp2 and is single"]),
    );
    // Two files of the checkpoint against one.
    expect(verification.steps.at(-1)!.compared.weight).toMatchObject({ differing: 0 });

    const out = join(workspace.folder, "exported");
    expect(await exportSource({ source: folder, out })).toEqual({ folder: out, step: 2 });
    const [then, now] = [join(folder, "model"), out].map((model) => readFileSync(join(model, "model.safetensors")));
    expect(now!.equals(then!)).toBe(true);
  });

  it("whose workers are waited for and do not come is given up on Ctrl-C, in the project's words", async () => {
    const { control } = await keyFolder("node1");
    const address = await freeAddress();
    const keys = ["--worker_address", address, "--worker_key_file", control];
    const { code, stdout, stderr } = await runThurstone(
      ["verify", dialled("waiting"), "--step", "2", ...keys],
      once("waiting at", (pid) => process.kill(pid, "SIGINT")),
    );
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^BridgeError BRIDGE_CANCELLED {2}stopped before it was done\.$/m);
    expect(stderr).not.toContain("This should not happen");
  });
});
