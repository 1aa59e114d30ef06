import { appendFile, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { runScoreCommand } from "../../src/cli/score.js";
import type { ScoreSurroundings } from "../../src/cli/scoring/rate.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { commandIo } from "./outputs.js";

const PICTURES = resolve(import.meta.dirname, "../golden/decode");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "thurstone-score-"));
  await mkdir(join(folder, "pictures"));
  await copyFile(join(PICTURES, "rgb.png"), join(folder, "pictures/a.png"));
  await writeFile(join(folder, "pictures/b, broken.png"), "no picture");
  await copyFile(join(PICTURES, "grey.png"), join(folder, "pictures/c d.png"));
  await copyFile(join(PICTURES, "rgb.png"), join(folder, "pictures/e.png"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Scores in the order in which they are asked for: 1.5, 2.5, 3.5, 1.5 ... */
let asked = 0;
beforeEach(async () => {
  asked = 0;
  await rm(join(folder, "out"), { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(args: readonly string[], surroundings: ScoreSurroundings = {}): Promise<Ran> {
  const io = commandIo(folder);
  const { connect } = createFakeWorker({
    complete: () => `<answer>${((asked++ % 3) + 1.5).toFixed(2)}</answer>`,
  });
  let time = 0;
  const now = (): number => (time += 500);
  const code = await runScoreCommand([...args, "--mode", "fast"], io, { connect, now, ...surroundings });
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}
const read = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
const scored = (text: string): unknown[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { path: string; model: string; score: number | null })
    .map(({ path, model, score }) => [path, model, score]);

async function list(...args: readonly string[]): Promise<Omit<Ran, "err">> {
  const io = commandIo(folder);
  return { code: await runCommandLine(["score", ...args], io), out: io.stdout.text() };
}

describe("thurstone score", () => {
  it("prints a table, a mean, the speed, and the reason of what has no score", async () => {
    const { code, out, err } = await run(["pictures", "--model", "m"]);
    expect(code).toBe(1);
    expect(out.split("\n").map((line) => line.trimEnd())).toEqual(
      [
        "picture                 score  deviation",
        "pictures/a.png          1.500          -",
        "pictures/b, broken.png      -          -  DATA_IMAGE_BROKEN",
        "pictures/c d.png        2.500          -",
        "pictures/e.png          3.500          -",
        "",
        "model  pictures  scored   mean  deviation  pictures/s",
        "m             4       3  2.500      1.000           2",
        "",
      ].map((line) => line.trimEnd()),
    );
    expect(err).toContain("m: 4 of 4 pictures, 2.0/s");
    expect(err).toMatch(/^pictures\/b, broken\.png: DATA_IMAGE_BROKEN {2}.*cannot be decoded/m);
  });

  it("takes several models, one after the other", async () => {
    const { code, out } = await run(["pictures/a.png", "pictures/c d.png", "--model", "m", "--model", "n"]);
    expect(code).toBe(0);
    expect(out.split("\n").slice(0, 3)).toEqual([
      "picture               m      n",
      "pictures/a.png    1.500  3.500",
      "pictures/c d.png  2.500  1.500",
    ]);
    expect(out).toMatch(/^m +2 +2 +2\.000 .*\nn +2 +2 +2\.500 /m);
  });

  it("prints the best first, and as many as asked for", async () => {
    const { out } = await run(["pictures", "--model", "m", "--sort", "--json"]);
    expect(scored(out)).toEqual([
      ["pictures/e.png", "m", 3.5],
      ["pictures/c d.png", "m", 2.5],
      ["pictures/a.png", "m", 1.5],
      ["pictures/b, broken.png", "m", null],
    ]);
    const top = await run(["pictures", "--model", "m", "--top", "1", "--reference-format"]);
    expect(top.out).toBe("pictures/e.png 3.5\n");
  });

  it("draws a sheet of the best and the worst", async () => {
    await run(["pictures", "--model", "m", "--sheet", "sheet.png"]);
    // Two of the three that have a score above, one below.
    expect(await sharp(join(folder, "sheet.png")).metadata()).toMatchObject({ format: "png", width: 344, height: 436 });
  });

  it("prints JSON Lines and nothing else for pipes", async () => {
    const { out } = await run(["pictures/*.png", "--model", "m", "--json"]);
    expect(scored(out)).toHaveLength(4);
    expect(JSON.parse(out.split("\n")[0]!)).toMatchObject({
      status: "ok",
      scores: [1.5],
      text: "<answer>1.50</answer>",
    });
  });

  it.each(["jsonl", "csv", "txt"])("goes on where a killed one stopped, to the same file: %s", async (format) => {
    await run(["pictures", "--model", "m", "--out", `out/whole.${format}`]);
    const whole = await read(`out/whole.${format}`);
    asked = 0;
    await run(["pictures", "--model", "m", "--out", `out/part.${format}`]);
    // Torn in the middle of the third record.
    const third = whole.indexOf("pictures/c");
    await writeFile(join(folder, `out/part.${format}`), whole.slice(0, third + 12));
    asked = 1;
    const { code, out } = await run(["pictures", "--model", "m", "--resume", "--out", `out/part.${format}`]);
    expect(code).toBe(1);
    expect(await read(`out/part.${format}`)).toBe(whole);
    expect(out).toMatch(/^m +4 +3 +2\.500 /m);
    expect((await run(["pictures", "--model", "m", "--resume", "--out", `out/part.${format}`])).out).toMatch(/ -$/m);
    expect(await read(`out/part.${format}`)).toBe(whole);
  });

  it("draws the same answers behind a stop as without one", async () => {
    const { connect } = createFakeWorker({ complete: ({ draw }) => `<answer>${(1 + 4 * draw).toFixed(3)}</answer>` });
    const args = ["pictures", "--model", "m", "--samples", "2"];
    await run([...args, "--out", "out/whole.jsonl"], { connect });
    const whole = await read("out/whole.jsonl");
    expect(new Set(whole.match(/"score":[\d.]+/g)).size).toBe(3);
    await run([...args, "--out", "out/part.jsonl"], { connect });
    await writeFile(join(folder, "out/part.jsonl"), `${whole.split("\n").slice(0, 2).join("\n")}\n`);
    await run([...args, "--out", "out/part.jsonl", "--resume"], { connect });
    expect(await read("out/part.jsonl")).toBe(whole);
  });

  it("writes the reference's lines, and a csv that quotes what must be quoted", async () => {
    await run(["pictures", "--model", "m", "--out", "out/scores.txt"]);
    expect(await read("out/scores.txt")).toBe(
      "pictures/a.png 1.5\npictures/b, broken.png nan\npictures/c d.png 2.5\npictures/e.png 3.5\n",
    );
    asked = 0;
    await run(["pictures", "--model", "m", "--out", "out/scores.csv"]);
    const [head, first, second] = (await read("out/scores.csv")).split("\n");
    expect(head).toBe("path,model,score,std,status,code,reason");
    expect(first).toBe("pictures/a.png,m,1.5,,ok,,");
    expect(second).toMatch(/^"pictures\/b, broken\.png",m,,,failed,DATA_IMAGE_BROKEN,".*""/);
  });

  it("refuses to go on with a file of another model, of other settings, or of another kind", async () => {
    const to = ["pictures", "--out", "out/s.jsonl"];
    await run([...to, "--model", "m"]);
    const before = await read("out/s.jsonl");
    await expect(run([...to, "--model", "m"])).rejects.toMatchObject({ code: "SCORE_FILE_EXISTS" });
    await expect(run([...to, "--model", "n", "--resume"])).rejects.toMatchObject({
      code: "SCORE_FILE_SETTINGS",
      message: expect.stringContaining("other values of model") as string,
    });
    await expect(run([...to, "--model", "m", "--resume", "--question", "Good?"])).rejects.toMatchObject({
      message: expect.stringContaining("other values of question") as string,
    });
    await appendFile(join(folder, "out/s.jsonl"), "not json\n");
    await expect(run([...to, "--model", "m", "--resume"])).rejects.toMatchObject({ code: "SCORE_FILE_DAMAGED" });
    asked = 0;
    await run([...to, "--model", "m", "--overwrite"]);
    expect(await read("out/s.jsonl")).toBe(before);
  });

  it("keeps what is rated when it is stopped, and says how to go on", async () => {
    const stop = new AbortController();
    const { connect } = createFakeWorker({
      complete: () => {
        asked += 1;
        if (asked === 2) stop.abort();
        return `<answer>${asked}</answer>`;
      },
    });
    const args = ["pictures", "--model", "m", "--batch", "1", "--out", "out/s.jsonl"];
    const { code, err } = await run(args, { connect, signal: stop.signal });
    expect(code).toBe(130);
    expect(err).toContain("--resume goes on behind it");
    expect(scored(await read("out/s.jsonl"))).toEqual([
      ["pictures/a.png", "m", 1],
      ["pictures/b, broken.png", "m", null],
    ]);
    asked = 1;
    expect((await run([...args, "--resume"])).code).toBe(1);
    expect(scored(await read("out/s.jsonl"))).toHaveLength(4);
  });

  it("lists the models of the package, for people and for programs", async () => {
    const { code, out } = await list("--list-models");
    expect(code).toBe(0);
    expect(out).toMatch(/^model +better +scores +pixels at most\nrated +higher +1 to 5 +9408 +taught /);
    const { out: json } = await list("--list-models", "--json");
    expect((JSON.parse(json) as { name: string; lowerBetter: boolean }[]).map(({ name }) => name)).toEqual([
      "rated",
      "part",
      "zero",
    ]);
  });

  it("ends quietly when nobody reads its lines any more, and keeps what was rated", async () => {
    const reader = new AbortController();
    const io = { ...commandIo(folder), closed: reader.signal };
    const { connect } = createFakeWorker({
      complete: () => {
        asked += 1;
        if (asked === 2) reader.abort();
        return `<answer>${asked}</answer>`;
      },
    });
    const args = ["pictures", "--model", "m", "--mode", "fast", "--batch", "1", "--json", "--out", "out/s.jsonl"];
    expect(await runScoreCommand(args, io, { connect, signal: reader.signal })).toBe(141);
    expect(io.stderr.text()).not.toContain("stopped");
    expect(scored(await read("out/s.jsonl"))).toHaveLength(2);
  });

  it.each([
    [["--list-models", "pictures"], "takes no pictures"],
    [["--model", "m"], "missing required argument"],
    [["pictures"], "--model"],
    [["pictures", "--model", "m", "--model", "m"], "given twice"],
    [["pictures", "--model", "m", "--resume"], "give --out"],
    [["pictures", "--model", "m", "--out", "s.xlsx"], ".jsonl, .csv or .txt"],
    [["pictures", "--model", "m", "--model", "n", "--reference-format"], "which model"],
    [["pictures", "--model", "m", "--samples", "3"], "--mode fast"],
    [["pictures", "--model", "m", "--mode", "fast", "--seed", "3"], "give --samples"],
    [["pictures", "--model", "m", "--mode", "fast", "--expected-after", "thinking"], "--mode expected"],
  ])("refuses %j as wrong usage", async (args, message) => {
    const io = commandIo(folder);
    expect(await runCommandLine(["score", ...args], io)).toBe(2);
    expect(io.stderr.text()).toContain(message);
  });

  it("names an argument that meets nothing, before a model is loaded", async () => {
    await expect(run(["nothing", "--model", "m"])).rejects.toMatchObject({ code: "SCORE_NO_INPUT" });
    await expect(run(["*.nothing", "--model", "m"])).rejects.toMatchObject({ code: "SCORE_NO_INPUT" });
  });
});
