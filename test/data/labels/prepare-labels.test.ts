import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { indexRows, loadRows, prepareLabels, type PrepareLabelsOptions } from "../../../src/data/index.js";
import { labelPresets } from "../../../src/data/labels/presets.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-prepare-"));
afterAll(() => rmSync(root, { recursive: true }));
const preset = (name: string) => labelPresets.find((one) => one.name === name)!;

/** 10 references with 5 versions each. */
const KADID = Array.from({ length: 50 }, (_, index) => {
  const reference = `I${String(Math.floor(index / 5) + 1).padStart(2, "0")}`;
  return `${reference}_01_0${(index % 5) + 1}.png,${reference}.png,${(4.5 - 0.07 * index).toFixed(2)},0.25`;
});
const kadid = (lines: readonly string[]): string => ["dist_img,ref_img,dmos,var", ...lines, ""].join("\n");

let folders = 0;
function prepare(name: string, content: string, given: Partial<PrepareLabelsOptions> = {}) {
  folders += 1;
  const file = join(root, `labels-${folders}${content.startsWith("dist_img") ? ".csv" : ".txt"}`);
  writeFileSync(file, content);
  return prepareLabels({ preset: preset(name), files: [file], out: join(root, `out-${folders}`), ...given });
}

const linesOf = (file: string): Record<string, unknown>[] =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const scoresOf = (file: string): [string, number][] =>
  linesOf(file)
    .slice(1)
    .map((row) => {
      const { image, conversations } = row as { image: [string]; conversations: { value: number }[] };
      return [image[0], conversations[1]!.value];
    });

describe("a prepared set", () => {
  it("has the reference's rows below a header, and every content in one part", async () => {
    const set = await prepare("kadid10k", kadid(KADID), { licence: "as told" });
    expect(Object.values(set.parts).map(({ rows, groups }) => [rows, groups])).toEqual([
      [30, 6],
      [10, 2],
      [10, 2],
    ]);
    const lines = Object.values(set.parts).map(({ file }) => linesOf(file));
    const groups = lines.map(([, ...rows]) => new Set(rows.map(({ group }) => group)));
    expect(new Set(groups.flatMap((part) => [...part])).size).toBe(10);
    expect(lines[0]![0]).toEqual({
      header: {
        dataset_name: "KADID-10k",
        scale: { min: 1, max: 5, better: "higher" },
        normalisation: { by: "nominal", range: { min: 1, max: 5 }, better: "higher" },
        split: { kind: "seeded", seed: 42 },
        source: "Lin, Hosu, Saupe: KADID-10k (QoMEX 2019)",
        licence: "as told",
        part: "train",
        counts: { rows: 30, groups: 6 },
        digests: {
          labels: { "labels-1.csv": expect.stringMatching(/^[0-9a-f]{64}$/) as string },
          rows: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        },
      },
    });
    const row = lines.flat().find(({ id }) => id === 2)!;
    expect(Object.keys(row).slice(0, 4)).toEqual(["id", "dataset_name", "image", "conversations"]);
    expect(row).toMatchObject({
      dataset_name: "KADID-10k",
      image: ["I01_01_02.png"],
      conversations: [{ from: "human" }, { from: "gpt", value: 4.43 }],
      mos_std: 0.25,
      group: "I01",
      type: "01",
      level: 2,
      mos_raw: 4.43,
    });
    const report = JSON.parse(readFileSync(join(root, "out-1/report.json"), "utf8")) as typeof set;
    expect(report).toEqual({
      ...set,
      parts: {
        train: { ...set.parts.train, file: "train.jsonl" },
        val: { ...set.parts.val, file: "val.jsonl" },
        test: { ...set.parts.test, file: "test.jsonl" },
      },
    });
  });

  it("is read by training as it is, from memory and as a stream; a header further down is no row", async () => {
    const { parts } = await prepare("kadid10k", kadid(KADID));
    const images = join(root, "images");
    mkdirSync(images);
    for (const line of KADID) writeFileSync(join(images, line.split(",")[0]!), "");
    const source = { data_file_paths: [parts.train!.file], image_folders: [images] };
    const rows = await loadRows(source);
    expect(rows.length).toBe(30);
    expect(rows[0]).toMatchObject({ dataset: "KADID-10k", mosStd: 0.25, source: { line: 2 } });
    expect(rows.map(({ mos }) => mos)).toEqual(scoresOf(parts.train!.file).map(([, score]) => score));
    const index = await indexRows(source);
    expect(await index.read([0, 29])).toEqual([rows[0], rows[29]]);

    const twice = join(root, "twice.jsonl");
    writeFileSync(twice, readFileSync(parts.train!.file, "utf8") + readFileSync(parts.val!.file, "utf8"));
    await expect(loadRows({ ...source, data_file_paths: [twice] })).rejects.toThrow(`${twice}:32  id is missing`);
  });

  it("does not depend on the order of the lines, but on the seed", async () => {
    const picturesOf = async (lines: readonly string[], seed: number): Promise<string[]> => {
      const { parts } = await prepare("kadid10k", kadid(lines), { seed });
      return scoresOf(parts.test!.file)
        .map(([picture]) => picture)
        .toSorted();
    };
    const first = await picturesOf(KADID, 1);
    expect(await picturesOf(KADID.toReversed(), 1)).toEqual(first);
    expect(await picturesOf(KADID, 2)).not.toEqual(first);
  });

  it("follows the official split, or not", async () => {
    const koniq = [
      "image_name,MOS,set",
      "1.jpg,0,training",
      "2.jpg,100,training",
      "3.jpg,25,validation",
      "4.jpg,50,test",
    ];
    const file = join(root, "sets.csv");
    writeFileSync(file, koniq.join("\n"));
    const options = { preset: preset("koniq10k"), files: [file] };
    const official = await prepareLabels({ ...options, out: join(root, "official") });
    expect(Object.values(official.parts).map(({ file: part }) => scoresOf(part))).toEqual([
      [
        ["1.jpg", 1],
        ["2.jpg", 5],
      ],
      [["3.jpg", 2]],
      [["4.jpg", 3]],
    ]);
    const seeded = await prepareLabels({ ...options, out: join(root, "seeded"), split: "seeded" });
    expect([official.split, seeded.split]).toEqual(["official", "seeded"]);
    await expect(prepare("kadid10k", kadid(KADID), { split: "official" })).rejects.toMatchObject({
      code: "DATA_NO_OFFICIAL_SPLIT",
    });
  });
});

describe("scores", () => {
  it("of a set that says how bad pictures are, are turned round", async () => {
    const csiq = ["a.x.1.png 0", "b.x.1.png 1", "c.x.1.png 0.25", "d.x.1.png 0.5", "e.x.1.png 0.75"].join("\n");
    const { parts } = await prepare("csiq", csiq);
    const scores = Object.fromEntries(Object.values(parts).flatMap(({ file }) => scoresOf(file)));
    expect(scores).toEqual({ "a.x.1.png": 5, "b.x.1.png": 1, "c.x.1.png": 4, "d.x.1.png": 3, "e.x.1.png": 2 });
  });

  it("of a set without a nominal range go by the training part", async () => {
    const pipal = Array.from({ length: 10 }, (_, index) => `A000${index}_00.bmp,${900 + 100 * index}`).join("\n");
    const { parts, normalisation } = await prepare("pipal", pipal);
    expect(normalisation).toBe("train");
    const train = scoresOf(parts.train!.file).map(([, score]) => score);
    expect([Math.min(...train), Math.max(...train)]).toEqual([1, 5]);
    await expect(prepare("pipal", pipal, { normalise: "nominal" })).rejects.toMatchObject({
      code: "DATA_NO_NOMINAL_RANGE",
    });
  });

  it("by the least and greatest of all are the reference's published ones, to the last bit", async () => {
    // Raw and published: KADID-10K_mos.txt and KADID-10K_train_set.txt of the reference; the first two span the set.
    const published: [string, string, number][] = [
      ["I02_02_05", "1.0", 1],
      ["I23_03_01", "4.93", 5],
      ["I01_01_01", "4.57", 4.633587786259543],
      ["I01_01_02", "4.33", 4.389312977099237],
      ["I01_01_03", "2.67", 2.6997455470737917],
      ["I01_01_04", "1.67", 1.6819338422391859],
      ["I01_01_05", "1.1", 1.1017811704834606],
    ];
    const text = published.map(([name, raw]) => `${name.slice(0, 3)}.png ${name}.png ${raw} 0.5\n`).join("");
    const { parts, range } = await prepare("kadid10k", text, { normalise: "all" });
    expect(range).toEqual({ min: 1, max: 4.93 });
    expect(new Map(Object.values(parts).flatMap(({ file }) => scoresOf(file)))).toEqual(
      new Map(published.map(([name, , score]) => [`${name}.png`, score])),
    );
  });
});

describe("broken lists", () => {
  it("leave nothing behind, or only what is broken out", async () => {
    const lines = [...KADID.slice(0, 49), "I10_01_05.png,I10.png,none,0.25", KADID[0]!];
    await expect(prepare("kadid10k", kadid(lines))).rejects.toThrow(
      /The data files have 2 problems:\n.*:51 {2}dmos is "none".*\n.*:52 {2}"I01_01_01.png" stands already on line 2/,
    );
    const set = await prepare("kadid10k", kadid(lines), { skipBroken: true });
    expect(set.skipped.map(({ line }) => line)).toEqual([51, 52]);
    expect(Object.values(set.parts).reduce((total, { rows }) => total + rows, 0)).toBe(49);
  });

  it("of one score, or of nothing but broken lines, are always refused", async () => {
    const constant = KADID.map((line) => line.replace(/\d\.\d\d,/, "3,"));
    for (const skipBroken of [false, true]) {
      await expect(prepare("kadid10k", kadid(constant), { skipBroken })).rejects.toMatchObject({
        code: "DATA_CONSTANT_LABELS",
      });
    }
    const other = prepare("kadid10k", kadid(["x.png,x.png,3,1"]), { skipBroken: true });
    await expect(other).rejects.toMatchObject({ code: "DATA_LABEL" });
  });
});
