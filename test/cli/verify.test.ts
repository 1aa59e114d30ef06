import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { verify as verifyCommand } from "../../src/cli/verify.js";
import { verifyText } from "../../src/cli/verify-text.js";
import { verifyRun } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { copyRun, editCompletions, editFile } from "../support/altered-run.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { runFake } from "../support/fake-run.js";
import { commandIo, keptOutput } from "./outputs.js";

let set: DataSet;
let run: string;
beforeAll(async () => {
  set = await createDataSet();
  const config = set.config("run");
  await runFake(config);
  run = config.output_dir!;
});
afterAll(() => set.remove());

async function verify(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(set.folder);
  const code = await runCommandLine(["verify", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

describe("thurstone verify", () => {
  it("wants steps, and refuses keys that would make it another run", async () => {
    expect(await verify("run")).toMatchObject({
      code: 2,
      err: expect.stringContaining("give either --step N") as string,
    });
    expect((await verify("run", "--step", "1", "--steps", "1..2")).code).toBe(2);
    expect((await verify("run", "--steps", "1-2")).err).toContain("two steps with two dots between them");
    expect((await verify("run", "--step", "1", "--learning_rate", "2")).err).toMatch(
      /^ConfigError CONFIG_FLAG {2}--learning_rate cannot be given here/,
    );
    const { code, err } = await verify("nowhere", "--steps", "..");
    expect([code, err]).toEqual([1, expect.stringMatching(/^RunError RUN_NOT_FOUND/)]);
    expect((await verify("run", "--steps", "3..9")).err).toMatch(/^RunError VERIFY_STEP {2}steps 3 to 9/);
  });

  it("explains itself with --help", async () => {
    const { code, out } = await verify("--help");
    expect(code).toBe(0);
    for (const word of ["--resample", "--recorded_rewards", "--json", "Exit codes: 0"]) expect(out).toContain(word);
  });
});

describe("the result of the command", () => {
  const { connect } = createFakeWorker();
  const asked = { folder: "run", keys: [], steps: { from: 3 }, resample: false, recordedRewards: [], json: true };

  it("is 0 for an honest run and 1 for another, and all of it as JSON", async () => {
    const io = commandIo(set.folder);
    expect(await verifyCommand(asked, io, { connect })).toBe(0);
    expect(JSON.parse(io.stdout.text())).toMatchObject({ agrees: true, asked: { from: 3, to: 4 }, differences: [] });

    const folder = copyRun(run, "another");
    editCompletions(folder, 4, (line, index) => index === 0 && (line["advantage"] = 7));
    const changed = commandIo(set.folder);
    expect(await verifyCommand({ ...asked, folder: "another" }, changed, { connect })).toBe(1);
    expect(JSON.parse(changed.stdout.text())).toMatchObject({
      agrees: false,
      differences: [{ about: "advantage", step: 4, recorded: 7, follows: false }],
    });
    expect(changed.stderr.text()).toBe("");
  });

  it("takes where things lie now, and tells on a terminal how far it is", async () => {
    const io = { ...commandIo(set.folder), stderr: keptOutput({ columns: 80 }) };
    const processes = ["--num_processes", "1", "--strategy", "none", "--deepspeed", "none", "--worker_address", "none"];
    const keys = ["--data_file_paths", set.data, "--image_folders", set.images, ...processes];
    expect(await verifyCommand({ ...asked, keys, steps: { to: 2 } }, io, { connect })).toBe(0);
    expect(io.stderr.text()).toBe("step 1 executed\nstep 2 executed\n");
  });
});

describe("the text of a verification", () => {
  const text = async (folder: string): Promise<string> => {
    const { connect } = createFakeWorker();
    return verifyText(await verifyRun(folder, { connect, from: 3 })).join("\n");
  };

  it("of an honest run counts what was compared and says what was not", async () => {
    const lines = (await text(run)).split("\n");
    expect(lines[0]).toBe(
      `${run}: steps 3 to 4 executed again from checkpoint step_000002, completions as they were recorded`,
    );
    expect(lines[1]).toBe("On a machine like the run's own: numbers are compared to the bit.");
    expect(lines.find((line) => line.startsWith("compared"))).toMatch(/^compared +run +step 2 +step 3 +step 4$/);
    expect(lines.find((line) => line.startsWith("reward"))).toMatch(/^reward +- +- +36 agree +36 agree$/);
    expect(lines).toContain("Not compared:");
    expect(lines.at(-1)).toBe("Verified: steps 3 to 4 of the run are what was recorded.");
  });

  it("of many steps has columns for those that differ, and one for the others", async () => {
    const many = set.config("many", { max_steps: 12, save_steps: 12 });
    await runFake(many);
    editCompletions(many.output_dir!, 7, (line, index) => index < 2 && (line["reward"] = 3));
    const { connect } = createFakeWorker();
    const lines = verifyText(await verifyRun(many.output_dir!, { connect }));
    expect(lines.find((line) => line.startsWith("compared"))).toMatch(/^compared +run +step 7 +11 other steps$/);
    expect(lines.find((line) => line.startsWith("reward"))).toMatch(/^reward +- +2 of 36 differ +396 agree$/);
  });

  it("of one that was changed says what, as recorded and as found, in one line each", async () => {
    const folder = copyRun(run, "changed");
    editCompletions(folder, 3, (line, index) => index === 1 && (line["reward"] = 3));
    editFile(`${folder}/config.resolved.yaml`, (config) => (config["question_template"] = "x\u001b[31m\n".repeat(30)));
    const changed = await text(folder);
    expect(changed).toMatch(
      /\nstep 3, reward|\n {2}step 3, reward: total reward of completion 1 of prompt 0 \(row \d\)\n {4}recorded 3\n {4}found {4}[\d.]+\n/,
    );
    expect(changed).toMatch(/ {2}configuration: question_template in config.resolved.yaml\n/);
    expect(changed).toMatch(/\n {4}found {4}"x.*\.\.\. \(\d+ characters\)\n/);
    expect(changed).not.toContain("\u001b");
    expect(changed).toMatch(/\nNOT verified: 2 differences.$/);
  });
});
