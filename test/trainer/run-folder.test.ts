import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { train } from "../../src/index.js";
import type { ConfigInput } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { eventsOf, meddle, methodsOf, runFake, withResult } from "../support/fake-run.js";

let set: DataSet;
beforeAll(async () => {
  set = await createDataSet();
});
afterAll(() => set.remove());

/** How a run is refused; a worker must not have been started for it. */
async function refusal(config: ConfigInput): Promise<{ name: string; code: string; message: string }> {
  const worker = createFakeWorker();
  let started = false;
  const connect = (): ReturnType<typeof worker.connect> => {
    started = true;
    return worker.connect();
  };
  const error: unknown = await train(config, { connect }).result.catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(Error);
  expect(started).toBe(false);
  return error as { name: string; code: string; message: string };
}

describe("before a worker is started, a run is refused when", () => {
  it("its folder holds another run", async () => {
    const config = set.config("taken", { max_steps: 1 });
    await runFake(config);
    expect(await refusal(config)).toMatchObject({ name: "RunError", code: "RUN_EXISTS" });
    const { result } = await runFake({ ...config, overwrite_output_dir: true, max_steps: 2 });
    expect(result.step).toBe(2);
  });

  it("its folder cannot be written", async () => {
    const file = join(set.folder, "a-file");
    writeFileSync(file, "");
    const error = await refusal(set.config("a-file/run"));
    expect(error).toMatchObject({ name: "RunError", code: "RUN_WRITE_FAILED" });
    expect(error.message).toContain("choose another output_dir");
  });

  it("a process that lives is writing into its folder", async () => {
    const config = set.config("in-use");
    await runFake(config);
    const stat = readFileSync(`/proc/${process.pid}/stat`, "utf8");
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    const owner = { pid: process.pid, host: hostname(), started };
    writeFileSync(join(config.output_dir!, "writer.json"), JSON.stringify(owner));
    expect(await refusal({ ...config, resume_from_checkpoint: true })).toMatchObject({ code: "RUN_IN_USE" });
  });

  it.each([
    ["no run was begun", (): void => undefined, "RESUME_NOTHING"],
    [
      "no checkpoint was taken",
      (folder: string) => mkdirSync(join(folder, "checkpoints"), { recursive: true }),
      "RESUME_NOTHING",
    ],
  ])("it shall be resumed and %s", async (_, make, code) => {
    const config = set.config(`resume-${code}-${_.length}`, { resume_from_checkpoint: true });
    make(config.output_dir!);
    const error = await refusal(config);
    expect(error).toMatchObject({ name: "RunError", code });
    expect(error.message).toContain("Start the run without resume_from_checkpoint");
  });

  it("it shall go on from a checkpoint that is not there, is of another folder, or was saved without state", async () => {
    const config = set.config("missing", { save_only_model: true });
    await runFake(config);
    const at = (resume_from_checkpoint: string): Promise<{ code: string }> =>
      refusal({ ...config, resume_from_checkpoint });
    const modelOnly = join(config.output_dir!, "checkpoints/step_000002");
    expect(await at(join(config.output_dir!, "checkpoints/step_000009"))).toMatchObject({ code: "RESUME_NOTHING" });
    expect(await at(modelOnly)).toMatchObject({ code: "CHECKPOINT_INVALID" });
    const other = set.config("other-run", { resume_from_checkpoint: modelOnly });
    expect(await refusal(other)).toMatchObject({ code: "RESUME_ELSEWHERE" });
  });

  it.each([
    ["truncated", (file: string) => truncateSync(file, 5), /state\.json has 5 bytes instead of \d+/],
    ["missing", (file: string) => rmSync(file), /state\.json is missing/],
    [
      "of another checkpoint",
      (file: string) => copyFileSync(file.replace("step_000004", "step_000002"), file),
      /state\.json has another content than was written/,
    ],
    [
      "described by a manifest that is cut",
      (file: string) => truncateSync(join(dirname(file), "manifest.json"), 40),
      /manifest\.json is not what was written/,
    ],
    [
      "all there is but for its manifest",
      (file: string) => rmSync(join(dirname(file), "manifest.json")),
      /manifest\.json is missing/,
    ],
    [
      "older than a copy of a checkpoint under a name of its own",
      (file: string) => {
        const checkpoints = dirname(dirname(file));
        cpSync(join(checkpoints, "step_000002"), join(checkpoints, "step_000009"), { recursive: true });
      },
      /step_000009 is damaged: manifest\.json is that of step 2/,
      "step_000004",
    ],
  ])(
    "a file of the newest checkpoint is %s, which is named, as is the newest whole one",
    async (name, harm, said, newest = "step_000002") => {
      const config = set.config(`damaged ${name}`);
      const { result } = await runFake(config);
      const checkpoints = join(config.output_dir!, "checkpoints");
      harm(join(checkpoints, "step_000004/state.json"));
      const error = await refusal({ ...config, resume_from_checkpoint: "auto" });
      expect(error).toMatchObject({ name: "RunError", code: "RUN_CHECKPOINT_DAMAGED" });
      expect(error.message).toMatch(said);
      const advice = `The newest one that is whole: resume_from_checkpoint: ${join(checkpoints, newest)}`;
      expect(error.message).toContain(advice);
      const whole = join(checkpoints, "step_000002");

      const again = await runFake({ ...config, resume_from_checkpoint: whole });
      expect(again.result.metrics).toEqual(result.metrics);
      expect(existsSync(join(checkpoints, "step_000004.superseded"))).toBe(true);

      rmSync(join(whole, "state.json"));
      rmSync(join(checkpoints, "step_000004/state.json"));
      const none = await refusal({ ...config, resume_from_checkpoint: true });
      expect(none.message).toContain("None of its checkpoints is whole");
    },
  );

  it("the model that it is to begin with would be deleted with what is in its folder", async () => {
    const config = set.config("own-model", { max_steps: 1 });
    const { result } = await runFake(config);
    const again = { ...config, model_name_or_path: result.model!, overwrite_output_dir: true };
    expect(await refusal(again)).toMatchObject({ name: "RunError", code: "RUN_OWN_MODEL" });
    expect(existsSync(result.model!)).toBe(true);
  });

  it("a run without checkpoints is to begin again, and its environment.json is cut", async () => {
    const config = set.config("cut");
    await runFake(config);
    rmSync(join(config.output_dir!, "checkpoints"), { recursive: true });
    truncateSync(join(config.output_dir!, "environment.json"), 20);
    const error = await refusal({ ...config, resume_from_checkpoint: "auto" });
    expect(error).toMatchObject({ name: "RunError", code: "RUN_FILE_DAMAGED" });
    expect(error.message).toMatch(/environment\.json is not what a run writes: .* set overwrite_output_dir\.$/);
  });

  it("settings or data are not those of the checkpoint, naming each", async () => {
    const own = await createDataSet();
    const config = own.config("other");
    await runFake(config);
    const resume = { ...config, resume_from_checkpoint: true };
    const error = await refusal({ ...resume, learning_rate: 1e-3, num_generations: 2 });
    expect(error.code).toBe("RESUME_MISMATCH");
    expect(error.message).toContain("config.num_generations was 4 and is 2");
    expect(error.message).toContain("config.learning_rate was 0.000001 and is 0.001");
    expect((await refusal({ ...resume, max_steps: 6 })).message).toContain("schedule.steps was 4 and is 6");
    writeFileSync(own.data, readFileSync(own.data, "utf8").trimEnd());
    expect((await refusal(resume)).message).toContain("data.0 was ");
    own.remove();
  });

  it("the data file is wrong, or a picture is missing", async () => {
    const own = await createDataSet();
    rmSync(join(own.images, "picture_3.png"));
    expect(await refusal(own.config("run"))).toMatchObject({ name: "DataError" });
    expect(existsSync(join(own.folder, "run"))).toBe(false);
    own.remove();
  });
});

describe("an older checkpoint that is damaged", () => {
  it("is no obstacle: the newest one is gone on from, and the damaged one deleted when it is too many", async () => {
    const config = set.config("old-damage", { lr_scheduler_type: "constant" });
    await runFake(config);
    const checkpoints = join(config.output_dir!, "checkpoints");
    rmSync(join(checkpoints, "step_000002/manifest.json"));
    const more = { max_steps: 6, save_total_limit: 1, resume_from_checkpoint: "auto" };
    const { result } = await runFake({ ...config, ...more });
    expect(result.step).toBe(6);
    expect(readdirSync(checkpoints)).toEqual(["step_000006"]);
  });
});

describe("the exported model of before", () => {
  const hurried = async (config: ConfigInput): Promise<void> => {
    const worker = createFakeWorker();
    const connect = meddle(worker, {
      before: (method) => {
        if (method === "optimStep") run.stop({ withinSeconds: 60 }).catch(() => undefined);
      },
    });
    const run = train(config, { connect });
    expect(await run.result).toMatchObject({ reason: "stopped", model: null });
  };

  it.each([
    ["overwritten", { overwrite_output_dir: true }],
    ["gone on with", { max_steps: 6, resume_from_checkpoint: true }],
  ])("does not look like that of a run that was %s and stopped", async (name, how) => {
    const config = set.config(`model-${name}`, { lr_scheduler_type: "constant" });
    const { result } = await runFake(config);
    expect(existsSync(result.model!)).toBe(true);
    await hurried({ ...config, ...how });
    expect(existsSync(result.model!)).toBe(false);
  });
});

describe("what may change when a run is resumed", () => {
  it("is where and how often things are written, and a constant schedule's end", async () => {
    const config = set.config("longer", { lr_scheduler_type: "constant" });
    await runFake(config);
    const more = { max_steps: 6, save_steps: 1, log_completions: false, logging_steps: 2 };
    const { result, events } = await runFake({ ...config, ...more, resume_from_checkpoint: true });
    expect(result.step).toBe(6);
    expect(eventsOf(events, "run-start")[0]).toMatchObject({ resumedFrom: 4, mismatches: [] });
  });

  it("is the machine, which is told", async () => {
    const config = set.config("machine");
    await runFake(config, { connect: createFakeWorker().connect });
    const worker = createFakeWorker();
    const connect = meddle(worker, {
      after: (method, reply) =>
        method === "load" ? withResult(reply, { threads: 8, versions: { runtime: "fake", torch: "3" } }) : reply,
    });
    const { events } = await runFake({ ...config, resume_from_checkpoint: "latest" }, { connect });
    expect(eventsOf(events, "run-start")[0]!.mismatches).toEqual([
      "machine.threads was 1 and is 8",
      "version.torch was not set and is 3",
    ]);
  });

  it("and what the worker says of the model is told once, before the first step", async () => {
    const worker = createFakeWorker();
    const connect = meddle(worker, {
      after: (method, reply) => (method === "load" ? withResult(reply, { warnings: ["slower than need be."] }) : reply),
    });
    const { events, result } = await runFake(set.config("warned"), { connect });
    const alarms = eventsOf(events, "alarm").filter(({ name }) => name === "model");
    expect(alarms).toEqual([{ type: "alarm", step: 0, name: "model", message: "slower than need be." }]);
    const written = readFileSync(join(result.folder, "events.jsonl"), "utf8");
    expect(written).toContain("slower than need be.");
  });

  it("a finished run that is resumed takes no step and saves nothing anew", async () => {
    const config = set.config("finished");
    await runFake(config);
    const { worker, result } = await runFake({ ...config, resume_from_checkpoint: true });
    expect(methodsOf(worker)).toEqual(["load", "restore", "export"]);
    expect(result).toMatchObject({ step: 4, reason: "finished", metrics: null });
  });
});
