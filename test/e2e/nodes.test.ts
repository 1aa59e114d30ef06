/**
 * Two ranks that dial in over loopback addresses train what two of this machine's own processes do, to the bit. One test,
 * because each station starts workers.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { defineReward, train } from "../../src/index.js";
import { freeAddress, keyFolder } from "../bridge/dialling.js";
import { createDataSet } from "../support/data-set.js";

// What earns the same trains nothing.
const sum = (ids: ArrayLike<number>): number => Array.from(ids).reduce((total, id) => total + id, 0);
const reward = defineReward({ name: "sum", score: ({ completion }) => sum(completion.tokenIds) % 7 });
const rewards = { sum: { reward, weight: 1 } };

it("two ranks that dial in with keys train the weights that two local processes train", async () => {
  const workspace = await createDataSet({ rows: 6 });
  onTestFinished(() => workspace.remove());
  const { control, fileOf } = await keyFolder("node1", "node2");
  const address = await freeAddress("127.0.0.2");
  const rendezvous = (await freeAddress()).replace("tcp://", "");
  const options = {
    model_name_or_path: fileURLToPath(new URL("../../assets/rated", import.meta.url)),
    max_completion_length: 12,
    worker_threads: 1,
    lr_scheduler_type: "constant",
    max_steps: 1,
    num_processes: 2,
  } as const;
  const local = workspace.config("local", options);
  await train(local, { rewards }).result;

  const said: string[] = [];
  const note = { write: (text: string) => void said.push(text) };
  const workers = ["node1", "node2"].map((name, rank) =>
    runCommandLine(
      [
        "worker",
        `--connect=${address}`,
        `--key=${fileOf(name)}`,
        `--rank=${rank}`,
        "--world-size=2",
        `--rendezvous=${rendezvous}`,
        `--allow=${workspace.folder}`,
      ],
      { stdout: note, stderr: note, env: { ...process.env, GLOO_SOCKET_IFNAME: "lo" }, cwd: process.cwd() },
    ),
  );
  const joined = workspace.config("joined", { ...options, worker_address: address, worker_key_file: control });
  await train(joined, { rewards }).result;
  expect(await Promise.all(workers), said.join("")).toEqual([0, 0]);
  const [expected, found] = [local, joined].map(({ output_dir }) =>
    createHash("sha256")
      .update(readFileSync(join(output_dir!, "model", "model.safetensors")))
      .digest("hex"),
  );
  expect(found).toBe(expected);
});
