/**
 * Every preset on a small file in its data set's own format (test/golden/labels), and the table of them in docs/prepare.md.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { labelPresets, prepareLabels } from "../../../src/data/index.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-samples-"));
afterAll(() => rmSync(root, { recursive: true }));
const GOLDEN = join(import.meta.dirname, "../../golden/labels");
const page = readFileSync(join(import.meta.dirname, "../../../docs/prepare.md"), "utf8").replaceAll(/ +/g, " ");

const filesOf = (preset: string): string[] =>
  readdirSync(join(GOLDEN, preset))
    .filter((name) => name !== "dmos_realigned.mat")
    .toSorted()
    .map((name) => join(GOLDEN, preset, name));

interface Row {
  readonly image: readonly [string];
  readonly conversations: readonly [unknown, { readonly value: number }];
  readonly group?: string;
  readonly mos_raw: number;
  readonly mos_std?: number;
}

const prepared = new Map<string, ReturnType<typeof prepareNow>>();
function prepare(name: string): ReturnType<typeof prepareNow> {
  const known = prepared.get(name) ?? prepareNow(name);
  prepared.set(name, known);
  return known;
}

async function prepareNow(name: string) {
  const preset = labelPresets.find((one) => one.name === name)!;
  const set = await prepareLabels({ preset, files: filesOf(name), out: join(root, name) });
  const lines = Object.values(set.parts).map((part) => readFileSync(part.file, "utf8").trimEnd().split("\n"));
  const headers = lines.map(([first]) => JSON.parse(first!) as { header: { digests: { rows: string } } });
  const rows = lines.flatMap(([, ...rest]) => rest.map((line) => JSON.parse(line) as Row));
  return { set, rows: rows.toSorted((a, b) => (a.image[0] < b.image[0] ? -1 : 1)), headers };
}

describe("the sample of", () => {
  it.each(labelPresets.map(({ name }) => name))("%s comes out as the page says", async (name) => {
    const { set, headers } = await prepare(name);
    const parts = Object.values(set.parts);
    const cells = [
      `\`${name}\``,
      parts.map(({ rows }) => rows).join(" / "),
      parts.map(({ groups }) => groups).join(" / "),
      set.split,
      headers.map(({ header }) => `\`${header.digests.rows.slice(0, 12)}\``).join(" "),
    ];
    expect(page).toContain(`| ${cells.join(" | ")} |`);
  });
});

const shown = (rows: readonly Row[]) =>
  rows.map(({ image, group, mos_raw: raw, mos_std: std, conversations }) => [
    image[0],
    group,
    raw,
    conversations[1].value,
    std,
  ]);

it("LIVE has names by position, groups from the other file, bad scores turned round, and no copies of originals", async () => {
  const { set, rows } = await prepare("live");
  expect([set.leftOut.length, rows.length, set.expected]).toEqual([203, 779, 779]);
  expect(set.leftOut[0]).toEqual({ picture: "jp2k/img1.bmp", why: "copies of the originals (orgs is 1)" });
  const named = new Map(rows.map((row) => [row.image[0], row]));
  expect(shown(["jp2k/img204.bmp", "jpeg/img1.bmp", "fastfading/img174.bmp"].map((name) => named.get(name)!))).toEqual([
    ["jp2k/img204.bmp", "house.bmp", 34.5, expect.closeTo(3.62, 12), undefined],
    ["jpeg/img1.bmp", "studentsculpture.bmp", 36.2, expect.closeTo(3.552, 12), undefined],
    ["fastfading/img174.bmp", "ocean.bmp", 90, expect.closeTo(1.4, 12), undefined],
  ]);
});

it("the other sets with names of their own kind", async () => {
  expect(shown((await prepare("csiq")).rows.slice(0, 3))).toEqual([
    ["1600.AWGN.1.png", "1600", 0.062, expect.closeTo(4.752, 12), 0.2],
    ["1600.jpeg2000.5.png", "1600", 0.938, expect.closeTo(1.248, 12), 0.2],
    ["aerial_city.AWGN.1.png", "aerial_city", 0.062, expect.closeTo(4.752, 12), 0.2],
  ]);
  expect(shown((await prepare("bid")).rows).map(([name, , raw]) => [name, raw])).toEqual([
    ["DatabaseImage0001.JPG", 2.9215],
    ["DatabaseImage0002.JPG", 3.5],
    ["DatabaseImage0017.JPG", 0.25],
    ["DatabaseImage0040.JPG", 1],
    ["DatabaseImage0586.JPG", 4.75],
  ]);
  const sriqa = await prepare("sriqa");
  expect(sriqa.set.leftOut.map(({ picture }) => picture)).toContain("online20_Original.png");
  expect(shown(sriqa.rows).at(-3)).toEqual(["real7_RealESRNetx4.png", "real7", 24.5, 1.98, undefined]);
});

it("PaQ-2-PiQ is split by the two files beside its scores", async () => {
  const { set } = await prepare("paq2piq");
  const picturesOf = (file: string): string[] =>
    [...readFileSync(file, "utf8").matchAll(/"image":\["([^"]+)/g)].map(([, name]) => name!);
  expect(Object.entries(set.parts).map(([part, { file }]) => [part, picturesOf(file)])).toEqual([
    [
      "train",
      ["blur_dataset/motion0044.jpg", "voc_emotic_ava/a picture.jpg", "voc_emotic_ava/VOC2012__2012_003160.jpg"],
    ],
    ["val", ["voc_emotic_ava/AVA__129332.jpg"]],
    ["test", ["voc_emotic_ava/EMOTIC__527h15tedos6bpmzb5.jpg"]],
  ]);
});

it("KADID-10k's var is the standard deviation of opinions that make up its mean", async () => {
  const { rows } = await prepare("kadid10k");
  const opinions = [...Array<number>(17).fill(5), ...Array<number>(13).fill(4)];
  const mean = opinions.reduce((sum, one) => sum + one, 0) / opinions.length;
  const std = Math.sqrt(opinions.reduce((sum, one) => sum + (one - mean) ** 2, 0) / opinions.length);
  const [first] = rows;
  expect([first!.image[0], first!.mos_raw, first!.mos_std]).toEqual(["I01_01_01.png", 4.57, 0.496]);
  expect([mean.toFixed(2), std.toFixed(3)]).toEqual(["4.57", "0.496"]);
});
