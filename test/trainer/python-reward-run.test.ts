import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openRun, pythonReward, train } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { probe } from "../../src/trainer/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { runFake } from "../support/fake-run.js";
import { pythoniasOf, runs, writePythonRewards } from "../support/python-rewards.js";

let set: DataSet;
let file: string;
beforeAll(async () => {
  set = await createDataSet({ extra: (row) => ({ weather: row % 2 === 0 ? "rain" : "sun" }) });
  file = writePythonRewards(set.folder);
});
afterAll(() => set.remove());
// A run leaves nothing behind, whatever it ended with.
afterEach(() => expect(pythoniasOf(process.pid)).toEqual([]));

const failureOf = async (name: string, more: object = {}): Promise<unknown> => {
  const worker = createFakeWorker();
  const { result } = train(set.config(name, { python_reward: `${file}:${name}`, ...more }), worker);
  const error = await result.catch((failure: unknown) => failure);
  expect(worker.open).toBe(0);
  return error;
};

describe("python_reward in a run", () => {
  it("counts as the function is called, sees fields and template, and is recorded", async () => {
    const config = set.config("counted", { max_steps: 2, python_reward: `${file}:text_length` });
    const { result } = await runFake(config);
    const run = await openRun(config.output_dir!);
    expect(await run.config()).toMatchObject({ reward_funcs: ["text_length"], reward_weights: [1] });
    for (const step of [1, 2]) {
      for (const { text, reward, rewards } of await run.rollouts(step)) {
        expect(reward).toBe((text as string).length + 0.5);
        expect(rewards).toEqual({ text_length: reward });
      }
    }
    expect(result.metrics).toHaveProperty("rewards/text_length/mean");
  });

  it("stands beside others, several from one file, with weights", async () => {
    const config = set.config("weighted", {
      max_steps: 1,
      python_reward: [`${file}:text_length`, `${file}:shy`],
      reward_funcs: ["shy", "format", "text_length"],
      reward_weights: [1, 2, 0.5],
    });
    await runFake(config);
    const records = await (await openRun(config.output_dir!)).rollouts(1);
    for (const [index, { text, reward }] of records.entries()) {
      expect(reward).toBe(index + 2 + 0.5 * ((text as string).length + 0.5));
    }
  });

  it("may be given in code, under another name", async () => {
    const config = set.config("code", { max_steps: 1 });
    const length = pythonReward({ path: file, function: "text_length" });
    const { result } = await runFake(config, { rewards: { length: { reward: length, weight: 2 } } });
    expect(result.metrics).toHaveProperty("rewards/length/mean");
  });

  it("is opened and closed by a probe as well", async () => {
    const config = set.config("probed", { python_reward: `${file}:text_length` });
    const { completions } = await probe(config, createFakeWorker());
    expect(completions).toHaveLength(12);
  });

  it("that cannot be imported is refused before a model is loaded", async () => {
    const worker = createFakeWorker();
    const broken = join(set.folder, "broken.py");
    for (const [python_reward, code, reason] of [
      [`${broken}:never`, "REWARD_PYTHON_RAISED", "No module named 'no_such_package'"],
      [`${file}:text_lenght`, "REWARD_PYTHON_RAISED", "has no function 'text_lenght'"],
      [`${set.folder}/nowhere.py:never`, "REWARD_PYTHON_FILE", "there is no file"],
    ] as const) {
      const { result } = train(set.config("refused", { python_reward }), worker);
      const reward = python_reward.split(":").at(-1)!;
      await expect(result).rejects.toMatchObject({
        name: "RewardError",
        code,
        message: expect.stringMatching(new RegExp(`^the reward "${reward}" failed: .*${reason}`)) as string,
        fields: { reward },
      });
    }
    expect(worker.calls).toEqual([]);
  });

  it("that fails ends the run by its name and the step", async () => {
    for (const [name, code] of [
      ["raises", "REWARD_PYTHON_RAISED"],
      ["crashes", "REWARD_PYTHON_DIED"],
      ["not_a_number", "REWARD_NOT_A_NUMBER"],
    ] as const) {
      expect(await failureOf(name)).toMatchObject({ name: "RewardError", code, fields: { reward: name, step: 1 } });
    }
  });

  it("is killed when the run is aborted", async () => {
    const abort = new AbortController();
    const config = set.config("aborted", { python_reward: `${file}:hangs` });
    const run = train(config, { ...createFakeWorker(), signal: abort.signal });
    for await (const event of run) {
      if (event.type !== "step-start") continue;
      abort.abort(new Error("no patience"));
      break;
    }
    await expect(run.result).rejects.toThrow("no patience");
  });

  it("ends with a process that is killed", async () => {
    const script = join(set.folder, "killed.mts");
    const source = pathToFileURL(fileURLToPath(new URL("../../src/", import.meta.url))).href;
    writeFileSync(
      script,
      `import { writeFileSync } from "node:fs";
       import { pythonReward, scoreRewards } from "${source}index.ts";
       import { pythoniasOf } from "${pathToFileURL(join(import.meta.dirname, "../support/python-rewards.ts")).href}";
       const groups = [{ prompt: { row: {} }, completions: [{ text: "a", tokenIds: [], finishReason: "stop" as const }] }];
       const idle = pythonReward({ path: ${JSON.stringify(file)}, function: "text_length" });
       await scoreRewards(groups, [idle]);
       const busy = scoreRewards(groups, [pythonReward({ path: ${JSON.stringify(file)}, function: "hangs" })]);
       const timer = setInterval(() => {
         const found = pythoniasOf(process.pid);
         if (found.length < 4) return;
         console.log(JSON.stringify(found));
         if (process.argv[2] === "killed") process.kill(process.pid, "SIGKILL");
         process.exit(0);
       }, 200);
       await busy.finally(() => clearInterval(timer));`,
    );
    for (const how of ["killed", "ended"]) {
      const output = execFileSync(
        "sh",
        ["-c", `"${process.execPath}" --import "${import.meta.resolve("tsx")}" "${script}" ${how}; true`],
        { encoding: "utf8" },
      );
      const pids = JSON.parse(output) as number[];
      expect(pids).toHaveLength(4);
      await expect.poll(() => pids.filter(runs), { timeout: 20_000 }).toEqual([]);
    }
  });

  it("that is idle does not keep a program from ending", async () => {
    const script = join(set.folder, "idle.mts");
    const source = pathToFileURL(fileURLToPath(new URL("../../src/index.ts", import.meta.url))).href;
    writeFileSync(
      script,
      `import { pythonReward, scoreRewards } from "${source}";
       const groups = [{ prompt: { row: {} }, completions: [{ text: "a", tokenIds: [], finishReason: "stop" as const }] }];
       const idle = pythonReward({ path: ${JSON.stringify(file)}, function: "text_length" });
       console.log((await scoreRewards(groups, [idle])).totals[0][0]);`,
    );
    const args = ["--import", import.meta.resolve("tsx"), script];
    expect(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 90_000 })).toBe("1.5\n");
  });
});

describe("python_reward in a configuration", () => {
  const refused = async (more: object): Promise<unknown> =>
    train(set.config("config", more), createFakeWorker()).result.catch((error: unknown) => error);

  it("names a file and a function", async () => {
    for (const python_reward of ["rewards.py", "rewards:f", "rewards.py:", ["a.py:f", 3]]) {
      expect(await refused({ python_reward })).toMatchObject({
        code: "CONFIG_INVALID_VALUE",
        message: expect.stringContaining('must be "FILE.py:FUNCTION"') as string,
      });
    }
  });

  it("has names of its own", async () => {
    expect(await refused({ python_reward: "rewards.py:format" })).toMatchObject({
      code: "CONFIG_CONFLICT",
      message: expect.stringContaining("so is a built-in reward called") as string,
    });
    expect(await refused({ python_reward: ["a.py:f", "b.py:f"] })).toMatchObject({
      code: "CONFIG_CONFLICT",
      message: expect.stringContaining('two functions "f"') as string,
    });
  });

  it("is what its other keys are about", async () => {
    expect(await refused({ python_reward_timeout: 5 })).toMatchObject({
      code: "CONFIG_CONFLICT",
      message: expect.stringContaining("python_reward_timeout is set, and python_reward is not") as string,
    });
  });

  it("is counted by name", async () => {
    expect(await refused({ python_reward: `${file}:shy`, reward_funcs: ["shyy"] })).toMatchObject({
      code: "CONFIG_UNKNOWN_REWARD",
      message: expect.stringContaining('Did you mean "shy"?') as string,
    });
  });
});
