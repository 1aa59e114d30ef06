import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRows, ratingQuestion, type DataProblem, type RowSource } from "../../../src/data/index.js";
import { formatKadid } from "../../../src/data/presets/kadid.js";
import { DataError } from "../../../src/errors.js";

/** Lines of the published list: three references, three types, all levels. */
const EXCERPT = fileURLToPath(new URL("../../golden/kadid_excerpt.csv", import.meta.url));
const HEADER = "dist_img,ref_img,dmos,var";

let root: string;
let list: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "thurstone-kadid-"));
  list = join(root, "dmos.csv");
  await copyFile(EXCERPT, list);
  await mkdir(join(root, "images"));
  for (const line of (await readFile(list, "utf8")).trim().split("\n").slice(1)) {
    await writeFile(join(root, "images", line.split(",")[0]!), "");
  }
});
afterAll(() => rm(root, { recursive: true }));

async function problemsOf(lines: readonly string[], source: RowSource = {}): Promise<readonly DataProblem[]> {
  const file = join(root, "broken.csv");
  await writeFile(file, lines.join("\n"));
  const error: unknown = await loadRows({ data_file_paths: [file], ...source }).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  return (error as DataError).fields["problems"] as readonly DataProblem[];
}

describe("KADID's list", () => {
  it("is read as it is published, with pictures in images/ beside it", async () => {
    const rows = await loadRows({ data_file_paths: [list] });
    expect(rows.length).toBe(45);
    expect(rows[0]).toEqual({
      id: "I01_01_01",
      dataset: "KADID-10k",
      images: [join(root, "images/I01_01_01.png")],
      messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: ratingQuestion }] }],
      mos: 4.57,
      mosStd: 0.496,
      group: "I01",
      type: "01",
      level: 1,
      source: { file: 0, line: 2 },
      extra: { type_name: "gaussian blur" },
    });
    expect(rows.at(-1)).toMatchObject({ group: "I81", type: "25", level: 5, source: { line: 46 } });
  });

  it("takes folders, a data set's name, and lines of Windows", async () => {
    const windows = join(root, "windows.csv");
    await writeFile(windows, (await readFile(list, "utf8")).replaceAll("\n", "\r\n"));
    const [row] = await loadRows({
      data_file_paths: [windows],
      image_folders: [join(root, "images")],
      dataset_name: "mine",
    });
    expect(row).toMatchObject({ dataset: "mine", mos: 4.57, images: [join(root, "images/I01_01_01.png")] });
  });

  it("has the data set's name that a file beside it gives, unless the configuration has one", async () => {
    const folder = join(root, "named");
    await mkdir(folder);
    const named = join(folder, "dmos.csv");
    await copyFile(EXCERPT, named);
    const source = { data_file_paths: [named], image_folders: [join(root, "images")] };
    await writeFile(join(folder, "dataset.json"), '{"dataset_name":"others"}');
    expect((await loadRows(source))[0]!.dataset).toBe("others");
    expect((await loadRows({ ...source, dataset_name: "mine" }))[0]!.dataset).toBe("mine");
    await writeFile(join(folder, "dataset.json"), '{"name":"others"}');
    await expect(loadRows(source)).rejects.toMatchObject({
      code: "DATA_FILE_UNREADABLE",
      message: expect.stringContaining(join(folder, "dataset.json")) as string,
    });
  });

  it("says everything that is wrong with it, with lines", async () => {
    const found = await problemsOf([
      HEADER,
      "I01_01_01.png,I01.png,4.57,0.496",
      "I01_01_02.png,I01.png,4.33",
      "I01_26_02.png,I01.png,4.33,0.8",
      "I01_01_03.png,I01.png,5.67,-0.8",
      "I01_01_04.png,I02.png,2.5,0.8",
      "I01_01_05.png,I01.png,,nan",
      "I01_01_01.png,I01.png,4.57,0.496",
      "I77_01_01.png,I77.png,4.57,0.496",
    ]);
    expect(found.map(({ line, code }) => [line, code])).toEqual([
      [3, "DATA_FIELD"],
      [4, "DATA_FIELD"],
      [5, "DATA_FIELD"],
      [5, "DATA_FIELD"],
      [6, "DATA_FIELD"],
      [7, "DATA_FIELD"],
      [7, "DATA_FIELD"],
      [8, "DATA_DUPLICATE_ID"],
      [9, "DATA_IMAGE_MISSING"],
    ]);
    expect(found.map(({ message }) => message).slice(0, 7)).toEqual([
      "the line has 3 columns; it must have 4: dist_img, ref_img, dmos, var.",
      'dist_img is "I01_26_02.png"; it must be a file name in KADID\'s manner, I01_02_03.png: reference, type 01 to 25, level 01 to 05.',
      'dmos is "5.67"; it must be a mean opinion from 1 to 5.',
      'var is "-0.8"; it must be a standard deviation, at least 0.',
      'ref_img is "I02.png"; it must be the picture that "I01_01_04.png" was made of.',
      'dmos is ""; it must be a mean opinion from 1 to 5.',
      'var is "nan"; it must be a standard deviation, at least 0.',
    ]);
    expect(await problemsOf([HEADER])).toMatchObject([{ code: "DATA_FILE_EMPTY", line: null }]);
  });

  it("comes back from what is written", async () => {
    const text = formatKadid([{ picture: "I01_01_01.png", reference: "I01.png", mean: 4.57, deviation: 0.496 }]);
    expect(text).toBe(`${HEADER}\nI01_01_01.png,I01.png,4.57,0.496\n`);
    expect((await readFile(EXCERPT, "utf8")).startsWith(text)).toBe(true);
  });
});
