import { copyFile, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { commandIo } from "./outputs.js";

const PHOTO = join(import.meta.dirname, "../../assets/photos/coffee.jpg");

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "thurstone-distort-"));
  await copyFile(PHOTO, join(root, "cup.jpg"));
});
afterAll(() => rm(root, { recursive: true }));

async function distort(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(root);
  const code = await runCommandLine(["distort", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

it("writes a set and a sheet, and says what it wrote and that nobody judged it", async () => {
  const chosen = ["--types", "1,18", "--levels", "1,5", "--longest-side", "64"];
  const { code, out, err } = await distort("cup.jpg", "--out", "set", "--contact-sheet", "sheet.png", ...chosen);
  expect([code, err]).toEqual([0, "photograph 1 of 1\n"]);
  expect(out).toBe(
    [
      `4 pictures of 1 photographs in ${join(root, "set")}`,
      `scores: ${join(root, "set/dmos.csv")} (KADID-10k's means by type and level; nobody judged these pictures)`,
      `contact sheet: ${join(root, "sheet.png")}`,
      "",
    ].join("\n"),
  );
  expect((await readdir(join(root, "set/images"))).toSorted()).toEqual([
    "I01.png",
    "I01_01_01.png",
    "I01_01_05.png",
    "I01_18_01.png",
    "I01_18_05.png",
  ]);
  expect((await stat(join(root, "sheet.png"))).size).toBeGreaterThan(1000);
});

it("answers in JSON, and takes raters, a seed and a second writing", async () => {
  const args = ["cup.jpg", "--out", "json", "--types", "11", "--levels", "3", "--longest-side", "64", "--json"];
  const { code, out } = await distort(...args, "--raters", "5", "--seed", "9");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toEqual({
    outDir: join(root, "json"),
    dataFile: join(root, "json/dmos.csv"),
    references: [{ reference: "I01", photo: "cup.jpg", skipped: [] }],
    pictures: 1,
    contactSheet: null,
  });
  expect((await distort(...args)).err).toContain("DATA_FOLDER_NOT_EMPTY");
  expect((await distort(...args, "--overwrite")).code).toBe(0);
});

it("refuses for a contact sheet alone what has no effect on it, and types that do not exist", async () => {
  const sheet = ["cup.jpg", "--contact-sheet", "refused.png"];
  for (const [name, ...value] of [["raters", "5"], ["overwrite"]]) {
    expect(await distort(...sheet, `--${name}`, ...value)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`--${name} concerns a set, and a contact sheet alone has none`) as string,
    });
  }
  expect((await distort(...sheet, "--types", "99")).err).toMatch(
    /^DataError DATA_UNKNOWN_DISTORTION {2}There is no distortion of type "99"\./,
  );
  expect((await distort(...sheet, "--levels", "6")).err).toContain("There is no level 6.");
  expect(await readdir(root)).not.toContain("refused.png");
});

it("names what it cannot read", async () => {
  expect(await distort("nowhere.jpg", "--out", "none")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^DataError DATA_IMAGE_MISSING {2}.*nowhere\.jpg/) as string,
  });
  expect(await readdir(root)).not.toContain("none");
});
