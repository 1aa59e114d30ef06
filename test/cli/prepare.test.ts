import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { labelPresets, loadRows } from "../../src/data/index.js";
import { commandIo, keptOutput } from "./outputs.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-prepare-command-"));
afterAll(() => rmSync(root, { recursive: true }));

const NAMES = ["I01", "I02", "I03", "I04", "I05"].flatMap((group) => [`${group}_01_01.png`, `${group}_01_02.png`]);

beforeAll(async () => {
  mkdirSync(join(root, "images"));
  const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: "#777" } })
    .png()
    .toBuffer();
  for (const name of NAMES) writeFileSync(join(root, "images", name), png);
  const lines = NAMES.map((name, index) => `${name},${name.slice(0, 3)}.png,${4.5 - index / 4},0.25`);
  writeFileSync(join(root, "dmos.csv"), ["dist_img,ref_img,dmos,var", ...lines].join("\n"));
  writeFileSync(
    join(root, "mine.tsv"),
    ["picture\tdmos\tscene", ...NAMES.map((name, index) => `${name}\t${index * 10}\t${name.slice(0, 3)}`)].join("\n"),
  );
});

async function prepare(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(root);
  const code = await runCommandLine(["prepare", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}
const PRESET = ["--preset", "kadid10k", "--labels", "dmos.csv", "--images", "images"];

it("writes the parts, says what is in them, and training reads them", async () => {
  const { code, out, err } = await prepare(...PRESET, "--out", "set");
  expect([code, err]).toEqual([0, "pictures checked: 10 of 10\n"]);
  const train = join(root, "set/train.jsonl");
  expect(out).toBe(
    [
      `${train}: 6 rows of 3 contents`,
      `${join(root, "set/val.jsonl")}: 2 rows of 1 contents`,
      `${join(root, "set/test.jsonl")}: 2 rows of 1 contents`,
      "KADID-10k: scores from 1 to 5 (the data set's range) became 1 to 5; split: seeded",
      "pictures: 10 decoded now, 0 in an earlier call",
      "KADID-10k as it is published has 10125 rows, and these files have 10",
      `train: npx thurstone train ... --data_file_paths ${train} --image_folders ${join(root, "images")}`,
      "",
    ].join("\n"),
  );
  expect((await loadRows({ data_file_paths: [train], image_folders: [join(root, "images")] })).length).toBe(6);
  const io = commandIo(root);
  const source = ["--data_file_paths", train, "--image_folders", join(root, "images")];
  const run = ["--model_name_or_path", "none", "--prompts_per_step", "2", "--num_generations", "4", "--max_steps", "2"];
  expect(await runCommandLine(["train", "--dry-run", ...source, ...run], io)).toBe(0);
  expect(io.stdout.text()).toMatch(/^ {2}KADID-10k: 6 rows$/m);
  expect((await prepare(...PRESET, "--out", "set")).err).toContain("DATA_FOLDER_NOT_EMPTY");
});

it("takes the reference's normalisation, and pictures unseen", async () => {
  const { out } = await prepare(...PRESET, "--out", "parity", "--reference_parity", "--no-image-check", "--json");
  expect(JSON.parse(out)).toMatchObject({ normalisation: "all", range: { min: 2.25, max: 4.5 }, pictures: null });
});

it("reads a list of one's own by its columns", async () => {
  const columns = ["--image-column", "picture", "--mos-column", "dmos", "--group-column", "scene", "--lower-better"];
  const list = ["--labels", "mine.tsv", "--name", "mine", ...columns, "--range", "0,100", "--no-image-check"];
  const { code, out } = await prepare(...list, "--out", "mine", "--licence", "CC0", "--seed", "3");
  expect([code, out.split("\n").slice(3, 5)]).toEqual([
    0,
    ["mine: scores from 0 to 100 (the data set's range) became 1 to 5; split: seeded", "pictures: not looked for"],
  ]);
  const [header, first] = readFileSync(join(root, "mine/train.jsonl"), "utf8")
    .split("\n")
    .map((line) => JSON.parse(line || "null") as unknown);
  expect(header).toMatchObject({ header: { licence: "CC0", normalisation: { better: "lower" }, split: { seed: 3 } } });
  const { mos_raw: raw, conversations } = first as { mos_raw: number; conversations: { value: number }[] };
  expect(conversations[1]!.value).toBeCloseTo(5 - raw / 25, 12);
});

it("reads a parquet file as it is", async () => {
  const file = join(import.meta.dirname, "../golden/labels/mine/snappy.parquet");
  const columns = ["--image-column", "source.path", "--mos-column", "score", "--group-column", "scene"];
  const list = ["--labels", file, "--name", "mine", ...columns, "--range", "0,50"];
  const { code, out } = await prepare(...list, "--out", "parquet", "--no-image-check", "--skip-broken", "--json");
  expect([code, JSON.parse(out)]).toMatchObject([
    0,
    {
      expected: null,
      parts: { train: { rows: 1 } },
      skipped: [{ file, line: 3, message: 'score is ""; it must be a finite number.' }],
    },
  ]);
});

it("prints what is known of each data set", async () => {
  const text = await prepare("--list-presets");
  expect([text.code, text.out.split("\n").length]).toEqual([0, labelPresets.length + 2]);
  expect(text.out).toMatch(
    /^live +LIVE +779 +29 +0 to 100, lower is better +seeded +dmos.mat or dmos_realigned.mat, and/m,
  );
  const { out } = await prepare("--list-presets", "--json");
  const listed = JSON.parse(out) as Record<string, unknown>[];
  expect(listed.map(({ name }) => name)).toEqual(labelPresets.map(({ name }) => name));
  expect(listed.find(({ name }) => name === "koniq10k")).toMatchObject({
    officialSplit: true,
    rows: 10_073,
    licence: null,
  });
});

it("draws a bar on a terminal", async () => {
  const io = { ...commandIo(root), stderr: keptOutput({ columns: 80 }) };
  expect(await runCommandLine(["prepare", ...PRESET, "--out", "bar"], io)).toBe(0);
  const drawn = io.stderr.text().split("\r");
  expect(drawn[1]).toBe("[###---------------------------] 10 % of 10 pictures");
  expect(drawn.at(-1)).toBe(`[${"#".repeat(30)}] 100 % of 10 pictures\n`);
});

it("refuses what contradicts itself or says too little", async () => {
  const out = ["--out", "never"];
  for (const [args, message] of [
    [["--preset", "kadid10k", "--labels", "dmos.csv", ...out], "give --images FOLDER, or --no-image-check"],
    [["--preset", "kadid10k", "--labels", "dmos.csv", "--no-image-check"], "give --labels FILE ... and --out FOLDER"],
    [
      ["--labels", "mine.tsv", "--no-image-check", ...out],
      "give --preset NAME, or --name, --image-column and --mos-column",
    ],
    [[...PRESET, "--mos-column", "mos", ...out], "--preset knows what --mos-column would say"],
    [[...PRESET, "--reference_parity", "--normalise", "train", ...out], "--reference_parity normalises by all rows"],
    [[...PRESET, "--range", "5,1", ...out], "two numbers are expected, the smaller one first"],
  ] as const) {
    const { code, err } = await prepare(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  }
  const unknown = await prepare("--preset", "kadid", "--labels", "dmos.csv", "--no-image-check", ...out);
  expect([unknown.code, unknown.err]).toEqual([
    1,
    expect.stringContaining('There is no preset "kadid". Take one of kadid10k, '),
  ]);
});

it("has a page with all presets", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/prepare.md"), "utf8").replaceAll(/ +/g, " ");
  for (const { name, dataset, rows, groups, better, range, files, contents, licence } of labelPresets) {
    const scores = `${range === null ? "not fixed" : `${range.min} to ${range.max}`}, ${better} is better`;
    const cells = [`\`${name}\``, dataset, rows ?? "-", groups ?? "-", scores, files, contents, licence ?? "-"];
    expect(page).toContain(`| ${cells.join(" | ")} |`);
  }
});
