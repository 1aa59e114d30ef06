import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyRun, editCompletions, editFile, editLines, reseal } from "../support/altered-run.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { causesOf, recordRun, verify } from "../support/verified-run.js";

let set: DataSet;
/** Four steps, checkpoints after 2 and 4. */
let run: string;
beforeAll(async () => {
  set = await createDataSet();
  run = await recordRun(set, "run");
});
afterAll(() => set.remove());

describe("one thing that was changed is named, and nothing else", () => {
  const at = (index: number, change: (line: Record<string, unknown>) => void) => (folder: string) =>
    editCompletions(folder, 3, (line, number) => number === index && change(line));
  const ofStep = (file: string, change: (line: Record<string, unknown>) => void) => (folder: string) =>
    editLines(join(folder, file), (line) => line["step"] === 3 && change(line));

  const inEnvironment = (change: (environment: Record<string, unknown>) => void) => (folder: string) =>
    editFile(join(folder, "environment.json"), change);

  it.each([
    [
      "a reward",
      at(5, (line) => ((line["rewards"] as Record<string, number>)["fidelity"] = 0.125)),
      ["reward", 3, /^reward "fidelity" of completion 1 of prompt 1 \(row \d\)$/],
      [0.125, expect.any(Number)],
    ],
    [
      "a total",
      at(0, (line) => (line["reward"] = 9)),
      ["reward", 3, /^total reward of completion 0 of prompt 0/],
      [9, expect.any(Number)],
    ],
    [
      "an advantage",
      at(11, (line) => (line["advantage"] = 2)),
      ["advantage", 3, /^advantage of completion 3 of prompt 2/],
      [2, expect.any(Number)],
    ],
    [
      "a text",
      at(2, (line) => (line["text"] = "<answer>5</answer>")),
      ["completion", 3, /^text of completion 2 of prompt 0 .*which its token ids do not say$/],
      ["<answer>5</answer>", expect.stringMatching(/^<think>|no idea/)],
    ],
    [
      "a score",
      at(2, (line) => (line["score"] = 4.5)),
      ["answer", 3, /^score of completion 2 of prompt 0/],
      [4.5, expect.anything()],
    ],
    [
      "a row",
      at(4, (line) => (line["row"] = "another")),
      ["row", 3, /^row of prompt 1 \(row \d\)$/],
      ["another", expect.any(String)],
    ],
    [
      "a picture's hash",
      at(4, (line) => (line["images"] = ["0-28x28"])),
      ["picture", 3, /^picture .*picture_\d\.png of prompt 1 /],
      ["0-28x28", expect.stringMatching(/^[0-9a-f]{64}-/)],
    ],
    [
      "a metric",
      ofStep("metrics.jsonl", (line) => (line["loss"] = -1)),
      ["metric", 3, /^metric loss$/],
      [-1, expect.any(Number)],
    ],
    [
      "the step of a completion's line",
      at(6, (line) => (line["step"] = 4)),
      ["record", 3, /^step of completion 2 of prompt 1/],
      [4, 3],
    ],
    [
      "why a completion ended",
      at(6, (line) => (line["finish"] = "length")),
      ["completion", 3, /^finish of completion 2 of prompt 1/],
      ["length", "stop"],
    ],
    [
      "a line of metrics before the one of its step",
      (folder: string) => {
        const path = join(folder, "metrics.jsonl");
        const lines = readFileSync(path, "utf8").split(/(?<=\n)/);
        const better = lines[2]!.replace(/"reward":[^,]+/, '"reward":5');
        writeFileSync(path, lines.toSpliced(2, 0, better).join(""));
      },
      ["record", 3, /^lines of metrics$/],
      [2, 1],
    ],
    [
      "a version",
      inEnvironment((environment) => Object.assign(environment["versions"]!, { runtime: "another" })),
      ["record", null, /^version.runtime, beside the fingerprint in environment.json$/],
      ["another", "fake"],
    ],
    [
      "the number of parameters",
      inEnvironment((environment) => Object.assign(environment["model"]!, { parameters: { total: 7, trainable: 1 } })),
      ["record", null, /^model.parameters in environment.json$/],
      [
        { total: 7, trainable: 1 },
        { total: 1, trainable: 1 },
      ],
    ],
    [
      "the number of rows",
      inEnvironment((environment) => Object.assign(environment["rows"]!, { train: 100 })),
      ["record", null, /^rows.train in environment.json$/],
      [100, expect.any(Number)],
    ],
    [
      "a field that no run writes",
      at(0, (line) => (line["bonus"] = 1)),
      ["record", 3, /^bonus of completion 0/],
      [1, null],
    ],
    [
      "the configuration",
      (folder: string) => editFile(join(folder, "config.resolved.yaml"), (config) => (config["learning_rate"] = 0.5)),
      ["configuration", null, /^learning_rate in config.resolved.yaml$/],
      [1e-6, 0.5],
    ],
    [
      "a setting of the run's fingerprint and configuration alike",
      (folder: string) => {
        editFile(join(folder, "config.resolved.yaml"), (config) => (config["epsilon"] = 0.5));
        editFile(join(folder, "environment.json"), (environment) => {
          (environment["fingerprint"] as Record<string, string>)["config.epsilon"] = "0.5";
        });
      },
      ["configuration", null, /^config.epsilon in environment.json, as the checkpoint of step 2 has it$/],
      ["0.2", "0.5"],
    ],
    [
      "the state of a checkpoint",
      (folder: string) => {
        const checkpoint = join(folder, "checkpoints/step_000004");
        editFile(join(checkpoint, "trainer.json"), (state) => {
          (state["alarms"] as Record<string, number>)["spreadSum"] = 100;
        });
        reseal(checkpoint);
        editLines(join(folder, "events.jsonl"), (event) => {
          if (event["type"] === "checkpoint-end") delete event["digests"];
        });
      },
      ["state", 4, /^alarms in trainer.json$/],
      [expect.objectContaining({ spreadSum: 100 }), expect.anything()],
    ],
    [
      "a digest in the log",
      (folder: string) =>
        editLines(join(folder, "events.jsonl"), (event) => {
          if (event["type"] === "checkpoint-end" && event["step"] === 4) {
            (event["digests"] as Record<string, string>)["state.json"] = "0";
          }
        }),
      ["checkpoint", 4, /^state.json of the checkpoint: digest in the log, and in its manifest$/],
      ["0", expect.stringMatching(/^[0-9a-f]{64}$/)],
    ],
    [
      "an alarm",
      (folder: string) => {
        const path = join(folder, "events.jsonl");
        const alarm = { type: "alarm", step: 3, name: "entropy", message: "made up" };
        writeFileSync(path, `${readFileSync(path, "utf8")}${JSON.stringify(alarm)}\n`);
      },
      ["event", 3, /^alarm entropy$/],
      [expect.objectContaining({ message: "made up" }), null],
    ],
  ])("%s", async (name, change, [about, step, what], [recorded, found]) => {
    const folder = copyRun(run, `changed ${name}`);
    change(folder);
    const verification = await verify(folder, { from: 3 });
    expect(verification.differences).toEqual([
      { about, step, what: expect.stringMatching(what as RegExp) as string, recorded, found, follows: false },
    ]);
    expect(verification.agrees).toBe(false);
  });

  it("a token: by the text that it contradicts, or, when completions are drawn again, by itself", async () => {
    const folder = copyRun(run, "token");
    let then = 0;
    editCompletions(folder, 3, (line, index) => {
      if (index === 7) then = (line["token_ids"] as number[]).splice(3, 1, 65)[0]!;
    });
    const verification = await verify(folder, { from: 3 });
    expect(causesOf(verification)).toEqual([
      ["completion", 3, expect.stringMatching(/^text of completion 3 of prompt 1/)],
    ]);
    expect(verification.differences.length).toBeGreaterThan(1);

    const drawn = await verify(folder, { from: 3, resample: true });
    expect(drawn.differences).toEqual([
      {
        about: "completion",
        step: 3,
        what: expect.stringMatching(/^token 3 of completion 3 of prompt 1/) as string,
        recorded: 65,
        found: then,
        follows: false,
      },
    ]);
  });

  it("a completion with all that it earned, by drawing it again", async () => {
    const folder = copyRun(run, "consistent");
    editCompletions(folder, 3, (line, index) => {
      if (index !== 2) return;
      const text = "<think>bought</think><answer>5</answer>";
      Object.assign(line, {
        text,
        token_ids: [...Buffer.from(text), 256],
        tokens: text.length + 1,
        parse: "ok",
        score: 5,
      });
    });
    const { differences } = await verify(folder, { from: 3, resample: true });
    const of = differences.filter(({ what }) => !/of completion 2 of prompt 0/.test(what));
    expect([differences[0]!.about, of]).toEqual(["completion", []]);
  });

  it("a label, with the rewards that follow from it", async () => {
    const { folder, data } = ownData("label");
    const copy = await recordRun(set, folder, { data_file_paths: [data] });
    const lines = readFileSync(data, "utf8").split("\n");
    writeFileSync(data, lines.map((line) => line.replace('"value":2.5', '"value":4.75')).join("\n"));
    const verification = await verify(copy);
    expect(causesOf(verification)).toEqual([["data", null, `data file 1 (${data})`]]);
    expect(verification.differences).toContainEqual(
      expect.objectContaining({
        about: "row",
        what: expect.stringMatching(/^mos of prompt \d \(row 3\)$/) as string,
        recorded: 2.5,
        found: 4.75,
      }),
    );
  });

  it("a picture, by its path", async () => {
    const { folder, data, images } = ownData("picture");
    const copy = await recordRun(set, folder, { data_file_paths: [data], image_folders: [images] });
    const path = join(images, "picture_6.png");
    const grey = await sharp({ create: { width: 56, height: 56, channels: 3, background: "grey" } })
      .png()
      .toBuffer();
    writeFileSync(path, grey);
    const { differences } = await verify(copy);
    expect(differences.filter(({ about }) => about !== "picture" && about !== "metric")).toEqual([]);
    expect([...new Set(differences.map(({ what }) => what.replace(/ of prompt.*/, "")))]).toEqual([`picture ${path}`]);
  });

  it("a file of a checkpoint, which is then executed again from the one before it", async () => {
    const folder = copyRun(run, "damaged");
    writeFileSync(join(folder, "checkpoints/step_000002/state.json"), '{"version":2,"weight":7}');
    const verification = await verify(folder, { from: 3 });
    expect(verification).toMatchObject({ from: 1, to: 4, checkpoint: null });
    expect(causesOf(verification)).toEqual([
      ["checkpoint", 2, expect.stringMatching(/^state.json of the checkpoint has \d+ bytes instead of \d+$/)],
    ]);
    rmSync(join(folder, "checkpoints/step_000002/manifest.json"));
    expect(causesOf(await verify(folder, { from: 3 }))[0]).toEqual([
      "checkpoint",
      2,
      "manifest.json of the checkpoint is missing",
    ]);
  });

  it("a state of the trainer that is gone, or no JSON, also where it holds evaluations", async () => {
    const evaluated = await recordRun(set, "evaluated", { val_split_ratio: 0.25, eval_steps: 2 });
    expect(await verify(evaluated)).toMatchObject({ agrees: true });
    const path = "checkpoints/step_000004/trainer.json";
    const gone = copyRun(evaluated, "trainer gone");
    rmSync(join(gone, path));
    expect(causesOf(await verify(gone))).toEqual([["checkpoint", 4, "trainer.json of the checkpoint is missing"]]);

    const cut = copyRun(evaluated, "trainer cut");
    writeFileSync(join(cut, path), readFileSync(join(cut, path)).subarray(0, 40));
    expect(causesOf(await verify(cut))).toEqual([
      ["checkpoint", 4, expect.stringMatching(/^trainer.json of the checkpoint has 40 bytes instead of \d+$/)],
    ]);
    reseal(join(cut, "checkpoints/step_000004"));
    expect(causesOf(await verify(cut))).toEqual([
      ["checkpoint", 4, "trainer.json of the checkpoint: digest in the log, and in its manifest"],
      ["state", 4, "trainer.json"],
    ]);
  });

  it("completions of a step that draws none", async () => {
    const folder = await recordRun(set, "twofold", { num_iterations: 2 });
    const [first, second] = [1, 2].map((step) => join(folder, `rollouts/step_00000${step}.jsonl`));
    writeFileSync(second!, readFileSync(first!));
    expect(causesOf(await verify(folder, { to: 2 }))).toEqual([["record", 2, "completions of a step that drew none"]]);
  });

  it("a digest of a checkpoint that was deleted", async () => {
    const folder = await recordRun(set, "deleted", { save_steps: 1, save_total_limit: 1 });
    editLines(join(folder, "events.jsonl"), (event) => {
      if (event["type"] === "checkpoint-end" && event["step"] === 2)
        Object.assign(event["digests"]!, { "state.json": "0" });
    });
    expect(causesOf(await verify(folder))).toEqual([["state", 2, "state.json"]]);
  });

  it("a line of metrics that is gone", async () => {
    const folder = copyRun(run, "gone");
    const path = join(folder, "metrics.jsonl");
    writeFileSync(
      path,
      readFileSync(path, "utf8")
        .split("\n")
        .filter((_, index) => index !== 2)
        .join("\n"),
    );
    expect(causesOf(await verify(folder, { from: 3 }))).toEqual([["metric", 3, "the line of metrics"]]);
  });

  /** A data file and pictures of a run's own. */
  function ownData(name: string) {
    const folder = `own ${name}`;
    const data = join(set.folder, `${name}.jsonl`);
    writeFileSync(data, readFileSync(set.data));
    const images = copyRun(set.images, `images ${name}`);
    return { folder, data, images };
  }
});
