/**
 * What lists of every data set may have wrong, each named with file and line: duplicates, scores that are no numbers, lines
 * with another number of columns; and what they may have that is not wrong: empty lines, Windows line ends, a byte order
 * mark, spaces in names.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { labelPresets, readLabels } from "../../../src/data/index.js";
import { workbook } from "../../support/workbook.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-odd-"));
afterAll(() => rmSync(root, { recursive: true }));
const golden = (name: string): string => join(import.meta.dirname, "../../golden", name);
const sample = (name: string): string[] =>
  readFileSync(golden(`labels/${name}`), "utf8")
    .replace("\uFEFF", "")
    .split(/\r?\n/)
    .filter((line) => line !== "");

async function read(preset: string, files: readonly string[]) {
  const { labels, problems } = await readLabels(
    files,
    labelPresets.find(({ name }) => name === preset)!,
  );
  return { labels, problems: problems.map(({ file, line, message }) => `${basename(file)}:${line} ${message}`) };
}

/** A text list of each preset, what separates its cells, and which of them is the score. */
const LISTS: readonly (readonly [string, string, readonly string[], string, number])[] = [
  ["kadid10k", "dmos.csv", sample("kadid10k/dmos.csv"), ",", 2],
  ["kadid10k", "mos.txt", ["I01.png I01_01_01.png 4.57 0.7", "I01.png I01_01_02.png 4.33 0.9"], " ", 2],
  ["tid2013", "mos_with_names.txt", sample("tid2013/mos_with_names.txt"), " ", 0],
  ["csiq", "csiq_label.txt", ["1600.AWGN.1.png 0.061", "1600.fnoise.5.png 0.9"], " ", 1],
  ["live", "live.txt", ["bikes.bmp jp2k/img1.bmp 51.2", "bikes.bmp jp2k/img2.bmp 30.5"], " ", 2],
  ["pipal", "A0001.txt", sample("pipal/A0001.txt"), ",", 1],
  ["sriqa", "online20.txt", sample("sriqa/online20.txt"), ",", 1],
  ["liu13", "liu13.txt", sample("liu13/liu13.txt"), " ", 2],
  ["min19", "min19.txt", sample("min19/min19.txt"), " ", 2],
  ["koniq10k", "sets.csv", sample("koniq10k/koniq10k_distributions_sets.csv"), ",", 7],
  ["spaq", "spaq.csv", ["Image name,MOS,Brightness", "a b.jpg,35.3,46", "00002.jpg,60,51"], ",", 1],
  ["livec", "livec.txt", ["3.bmp 70.1 15", "10.JPG 12 9"], " ", 1],
  ["bid", "grades.csv", ["Image Number,Average Subjective Grade", "1,2.5", "2,4"], ",", 1],
  ["agiqa3k", "data.csv", sample("agiqa3k/data.csv"), ",", 5],
  ["paq2piq", "labels_image.csv", sample("paq2piq/labels_image.csv"), ",", 1],
];

it("has a list of every preset", () => {
  expect(new Set(LISTS.map(([preset]) => preset))).toEqual(new Set(labelPresets.map(({ name }) => name)));
});

it.each(LISTS)(
  "%s: %s names what is wrong by line, and nothing else",
  async (preset, name, lines, separator, score) => {
    const file = join(root, name);
    const last = lines.at(-1)!;
    const withScore = (text: string): string => last.split(separator).with(score, text).join(separator);
    writeFileSync(file, `${lines.join("\n")}\n`);
    const whole = await read(preset, [file]);
    expect(whole.problems).toEqual([]);

    const broken = [...lines, "", last, withScore("good"), withScore("NaN"), `${last}${separator}more`, ""];
    writeFileSync(file, `\uFEFF${broken.join("\r\n")}`);
    const { labels, problems } = await read(preset, [file]);
    expect(labels.map(({ picture, mos }) => [picture, mos])).toEqual(
      whole.labels.map(({ picture, mos }) => [picture, mos]),
    );
    const at = (offset: number): string => `${name}:${lines.length + offset} `;
    expect(problems).toEqual([
      expect.stringMatching(new RegExp(`^${at(3)}.* is "good"; it must be a finite number\\.$`)),
      expect.stringMatching(new RegExp(`^${at(4)}.* is "NaN"; it must be a finite number\\.$`)),
      expect.stringMatching(new RegExp(`^${at(5)}the line has \\d+ columns; it must have \\d+: `)),
      expect.stringMatching(new RegExp(`^${at(2)}".*" stands already on line \\d+ of .*, with the same score\\.`)),
    ]);
  },
);

it("a sheet with empty rows, texts for numbers, empty cells and a picture twice", async () => {
  const file = join(root, "sheet.xlsx");
  const rows = [
    ["Image name", "MOS", "Sharpness"],
    ["a b.jpg", 48.5, 1],
    [],
    ["c.jpg", "n/a", 1],
    ["d.jpg", null, 1],
    [null, 12, 1],
    ["e.jpg", "55.25", null],
    ["a b.jpg", 50, 1],
    ["f.jpg", 101, 1],
  ];
  writeFileSync(file, workbook(rows));
  const { labels, problems } = await read("spaq", [file]);
  expect(labels.map(({ picture, mos, line }) => [line, picture, mos])).toEqual([
    [2, "a b.jpg", 48.5],
    [7, "e.jpg", 55.25],
  ]);
  expect(problems).toEqual([
    'sheet.xlsx:4 MOS is "n/a"; it must be a finite number.',
    'sheet.xlsx:5 MOS is ""; it must be a finite number.',
    "sheet.xlsx:6 Image name is empty; it must be a picture's file name.",
    'sheet.xlsx:9 MOS is "101"; scores of SPAQ go from 0 to 100.',
    `sheet.xlsx:8 "a b.jpg" stands already on line 2 of ${file}, with 48.5, and here 50. Give each picture once.`,
  ]);
});

it("MATLAB vectors with a NaN, no name, a name twice, each in the file it stands in; then one that is too short", async () => {
  const file = (name: string): string => golden(`odd_labels/${name}.mat`);
  const names = file("AllImages_release");
  const { labels, problems } = await read("livec", [names, file("AllMOS_release"), file("AllStdDev_release")]);
  expect(labels.map(({ picture, line }) => [line, picture])).toEqual([
    [1, "3.bmp"],
    [5, "4.bmp"],
  ]);
  expect(problems).toEqual([
    'AllMOS_release.mat:2 AllMOS_release is "NaN"; it must be a finite number.',
    "AllImages_release.mat:3 AllImages_release is empty; it must be a picture's file name.",
    'AllStdDev_release.mat:6 AllStdDev_release is "-1"; it must be a number, at least 0.',
    `AllMOS_release.mat:4 "3.bmp" stands already on line 1 of ${file("AllMOS_release")}, with 20, and here 50. Give each picture once.`,
  ]);
  // One byte of it is another, at which scipy ends with a segmentation fault, or with an exception.
  const damaged = await read("livec", [names, file("damaged"), file("AllStdDev_release")]);
  expect(damaged.problems).toEqual([expect.stringMatching(/^damaged\.mat:null is damaged: /)]);
  const short = await read("livec", [names, file("short"), file("AllStdDev_release")]);
  expect(short.problems.slice(0, 2)).toEqual([
    "AllImages_release.mat:null has 6 values in AllImages_release, where another vector has 2: which belong together?",
    "AllStdDev_release.mat:null has 6 values in AllStdDev_release, where another vector has 2: which belong together?",
  ]);
});

it("PaQ-2-PiQ's parts with a picture that has no score, and a list without any scores", async () => {
  const list = join(root, "labels640.csv");
  writeFileSync(list, "name_image,mos_image\na.jpg,5\n");
  const scores = golden("labels/paq2piq/labels_image.csv");
  expect((await read("paq2piq", [scores, list])).problems).toEqual([
    'labels640.csv:2 "a.jpg" has no score in any of the files.',
  ]);
  expect((await read("paq2piq", [list])).problems.at(-1)).toBe(
    "labels640.csv:null has no scores, nor has any other file. Give the one that has them as well.",
  );
});

it("TID2013's deviations are in the order of its scores, so nothing may be wrong with either", async () => {
  const scores = golden("labels/tid2013/mos_with_names.txt");
  const whole = await read("tid2013", [golden("labels/tid2013/mos_std.txt"), scores]);
  expect([whole.problems, whole.labels.map(({ std }) => std).slice(0, 3)]).toEqual([[], [0.12, 0.0901, 0.1101]]);
  const file = join(root, "mos_std.txt");
  writeFileSync(file, "0.1\n0.2\n");
  expect((await read("tid2013", [scores, file])).problems).toEqual([
    "mos_std.txt:null has 2 deviations in the order of the scores, and the files have 10 scores: it is not known which belongs to which. Correct that, or leave this file out.",
  ]);
  writeFileSync(file, `${Array(9).fill("0.1").join("\n")}\n-1\n`);
  expect((await read("tid2013", [scores, file])).problems).toEqual([
    'mos_std.txt:10 the deviation is "-1"; it must be a number, at least 0.',
    expect.stringContaining("there are problems in it or in the scores"),
  ]);
});
