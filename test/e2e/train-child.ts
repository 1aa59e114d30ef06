/**
 * A training in a process of its own, which kills itself at a given point the way `kill -9` would.
 *
 * Arguments: the configuration as JSON; the point: "" (none), "step-end:N", or "save:N" (when the worker has written the
 * files of the N-th checkpoint, and nothing has been renamed yet); and the task, "train" or "sft".
 *
 * @module
 */
import { variedScore } from "../../bench/support/fault-runs.js";
import { defineReward, sft, train } from "../../src/index.js";
import type { ConfigInput } from "../../src/index.js";
import { watchedWorker } from "./watched-worker.js";

const config = JSON.parse(process.argv[2]!) as ConfigInput;
const [point, count] = (process.argv[3] ?? "").split(":");
const die = (): void => void process.kill(process.pid, "SIGKILL");

const firstToken = defineReward({ name: "first-token", score: ({ completion }) => variedScore(completion) });

/** Pays many groups the same, so that they are drawn again. */
const lowToken = defineReward({
  name: "low-token",
  score: ({ completion }) => (completion.tokenIds[0]! < 256 ? 1 : 0),
});

let saves = 0;
const connect = watchedWorker(({ method }) => {
  if (method === "save" && point === "save" && ++saves === Number(count)) die();
});
const run =
  process.argv[4] === "sft"
    ? sft(config, { connect })
    : train(config, {
        rewards: config.dynamic_sampling === true ? { "low-token": lowToken } : { "first-token": firstToken },
        connect,
      });
for await (const event of run) {
  if (event.type === "step-end" && point === "step-end" && event.step === Number(count)) die();
}
await run.result;
