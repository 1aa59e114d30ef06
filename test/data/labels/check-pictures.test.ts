import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, expect, it } from "vitest";
import { prepareLabels } from "../../../src/data/index.js";
import { checkPictures } from "../../../src/data/labels/check-pictures.js";
import { labelPresets } from "../../../src/data/labels/presets.js";
import type { Label } from "../../../src/data/labels/read-labels.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-pictures-"));
const folder = join(root, "pictures");
const notes = join(root, "notes");
afterAll(() => rmSync(root, { recursive: true }));

let png: Buffer;
beforeAll(async () => {
  png = await sharp({ create: { width: 40, height: 30, channels: 3, background: "#804020" } })
    .png()
    .toBuffer();
  for (const inner of ["AWGN", "blur", "other"]) mkdirSync(join(folder, inner), { recursive: true });
  for (const name of ["I01.PNG", "AWGN/a b.png", "AWGN/same.png", "blur/same.png"])
    writeFileSync(join(folder, name), png);
  writeFileSync(join(folder, "other/cut.png"), png.subarray(0, png.length - 40));
  writeFileSync(join(folder, "other/text.jpg"), "no picture");
});

const labelsOf = (...pictures: string[]): Label[] =>
  pictures.map((picture, index) => ({ file: "list", line: index + 1, picture, mos: index }));

it("finds pictures in folders within, in any letter case, and names those that are missing or broken", async () => {
  const labels = labelsOf("i01.png", "a b.png", "blur/same.png", "same.png", "gone.png", "cut.png", "other/text.jpg");
  const seen: string[] = [];
  const checked = await checkPictures(labels, {
    folder,
    notes,
    places: 2,
    onPicture: (done, total) => void seen.push(`${done}/${total}`),
  });
  expect(checked.labels.map(({ picture, line }) => [line, picture])).toEqual([
    [1, "I01.PNG"],
    [2, "AWGN/a b.png"],
    [3, "blur/same.png"],
  ]);
  expect(checked.problems.map(({ file, line, code }) => [file, line, code])).toEqual([
    ["list", 4, "DATA_IMAGE_AMBIGUOUS"],
    ["list", 5, "DATA_IMAGE_MISSING"],
    ["list", 6, "DATA_IMAGE_BROKEN"],
    ["list", 7, "DATA_IMAGE_BROKEN"],
  ]);
  expect(checked.problems[0]!.message).toContain('"same.png" may be any of ');
  expect(checked.problems[2]!.message).toContain('"other/cut.png" cannot be decoded: ');
  expect(seen).toEqual(["1/7", "2/7", "3/7", "4/7", "5/7", "6/7", "7/7"]);
  expect(checked.remembered).toBe(0);
});

it("decodes again what has changed, and nothing else of what was in order", async () => {
  // As a call leaves its notes that is killed in the middle of a line.
  appendFileSync(notes, '["other/cut.png",');
  const other = await sharp(png).resize(20).png().toBuffer();
  writeFileSync(join(folder, "AWGN/a b.png"), other);
  const labels = labelsOf("I01.PNG", "AWGN/a b.png", "blur/same.png", "other/cut.png");
  const again = await checkPictures(labels, { folder, notes });
  expect([again.labels.length, again.remembered, again.problems.length]).toEqual([3, 2, 1]);
});

it("says that there is no such folder", async () => {
  const checking = checkPictures(labelsOf("a.png"), { folder: join(root, "nowhere"), notes });
  await expect(checking).rejects.toMatchObject({ code: "DATA_FOLDER_MISSING" });
});

it("is part of preparing: nothing is written while something is wrong, and notes stay", async () => {
  const file = join(root, "csiq_label.txt");
  writeFileSync(file, "I01.png 0.1\nAWGN/same.png 0.5\nblur/same.png 0.7\ncut.png 0.9\n");
  const out = join(root, "set");
  const options = { preset: labelPresets.find(({ name }) => name === "csiq")!, files: [file], out, images: folder };
  await expect(prepareLabels(options)).rejects.toMatchObject({ code: "DATA_IMAGE_BROKEN" });
  expect([existsSync(out), existsSync(`${out}.pictures`)]).toEqual([false, true]);
});

it("goes on where a killed process was, and clears away what it left", async () => {
  const pictures = join(root, "many");
  mkdirSync(pictures);
  for (const name of ["a.png", "b.png"]) writeFileSync(join(pictures, name), png);
  // Whoever opens it waits for a writer that never comes.
  execFileSync("mkfifo", [join(pictures, "c.png")]);
  const file = join(root, "many.csv");
  writeFileSync(file, "Image name,MOS\na.png,10\nb.png,20\nc.png,90\n");
  const out = join(root, "stopped");
  const options = { files: [file], out, images: pictures };
  const module = pathToFileURL(join(import.meta.dirname, "../../../src/data/index.ts")).href;
  const program = `
    const { labelPresets, prepareLabels } = await import(${JSON.stringify(module)});
    const preset = labelPresets.find(({ name }) => name === "spaq");
    const onPicture = (done) => process.stdout.write(String(done));
    await prepareLabels({ ...${JSON.stringify(options)}, preset, onPicture });`;
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", program]);
  for await (const seen of child.stdout) if (String(seen).includes("2")) break;
  child.kill("SIGKILL");
  await once(child, "exit");
  const left = (): string[] => readdirSync(root).filter((name) => name.includes("stopped"));
  expect(left()).toEqual([expect.stringMatching(/^\.stopped\.partial-/), "stopped.pictures"]);

  rmSync(join(pictures, "c.png"));
  writeFileSync(join(pictures, "c.png"), png);
  const preset = labelPresets.find(({ name }) => name === "spaq")!;
  expect((await prepareLabels({ ...options, preset })).pictures).toEqual({ checked: 1, remembered: 2 });
  expect(left()).toEqual(["stopped"]);
});

it("writes pictures by their path in the folder, leaves broken ones out when asked to, and the notes go", async () => {
  const file = join(root, "spaq.csv");
  writeFileSync(file, "Image name,MOS\ni01.png,10\na b.png,20\nblur/same.png,90\ncut.png,40\n");
  const out = join(root, "spaq");
  const options = { preset: labelPresets.find(({ name }) => name === "spaq")!, files: [file], out, images: folder };
  const set = await prepareLabels({ ...options, skipBroken: true });
  expect(set.pictures).toEqual({ checked: 3, remembered: 0 });
  expect(set.skipped.map(({ line, code }) => [line, code])).toEqual([[5, "DATA_IMAGE_BROKEN"]]);
  const text = Object.values(set.parts).map((part) => readFileSync(part.file, "utf8"));
  const images = text.join("").matchAll(/"image":\["([^"]+)"\]/g);
  expect([...images].map(([, picture]) => picture!).toSorted()).toEqual(
    ["AWGN/a b.png", "I01.PNG", "blur/same.png"].toSorted(),
  );
  expect(existsSync(`${out}.pictures`)).toBe(false);
});
