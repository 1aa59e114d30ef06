import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadRows } from "../../src/data/index.js";
import { makeJsonl, makeRecord } from "./build.js";
import { makeRowFiles, problemsOf } from "./row-files.js";

const { root, images, more, writeData, load } = makeRowFiles();

const turns = (answer: unknown) => [
  { from: "human", value: "Q" },
  { from: "gpt", value: answer },
];

describe("loadRows names", () => {
  it.each<[string, unknown, string, string]>([
    [
      "a missing field",
      makeRecord({ id: undefined }),
      "DATA_FIELD",
      "id is missing; it must be a text or a whole number.",
    ],
    ["an empty id", makeRecord({ id: "" }), "DATA_FIELD", 'id is ""; it must be a text or a whole number.'],
    ["an id with decimals", makeRecord({ id: 1.5 }), "DATA_FIELD", "id is 1.5; it must be a text or a whole number."],
    ["an empty picture name", makeRecord({ image: "" }), "DATA_FIELD", 'image is ""; it must be a file name'],
    [
      "an empty data set name",
      makeRecord({ dataset_name: "" }),
      "DATA_FIELD",
      'dataset_name is ""; it must be a text.',
    ],
    [
      "a missing picture field",
      makeRecord({ image: undefined }),
      "DATA_FIELD",
      "image is missing; it must be a file name",
    ],
    ["a field of the wrong type", makeRecord({ image: [7] }), "DATA_FIELD", "it must be a file name or a list of them"],
    ["no data set name", makeRecord({ dataset_name: undefined }), "DATA_FIELD", "dataset_name is missing; give it"],
    ["a line that is no object", [1, 2], "DATA_FIELD", "the line is [1,2]; it must be a JSON object."],
    [
      "a score that is no number",
      makeRecord({ conversations: turns("good") }),
      "DATA_FIELD",
      'conversations[1].value is "good"; it must be a finite number',
    ],
    [
      "a score that is not finite",
      makeRecord({ conversations: turns("nan") }),
      "DATA_FIELD",
      'is "nan"; it must be a finite number',
    ],
    ["an empty score", makeRecord({ conversations: turns(" ") }), "DATA_FIELD", 'is " "; it must be a finite number'],
    [
      "a negative deviation",
      makeRecord({ mos_std: -1 }),
      "DATA_FIELD",
      "mos_std is -1; it must be a number at least 0.",
    ],
    [
      "turns in the wrong order",
      makeRecord({ conversations: turns(3).toReversed() }),
      "DATA_FIELD",
      'it must be one question ("human")',
    ],
    [
      "an unknown speaker",
      makeRecord({ conversations: [{ from: "user", value: "Q" }] }),
      "DATA_FIELD",
      'it must be a turn {"from": "human" or "gpt"',
    ],
    [
      "too few marks",
      makeRecord({ image: ["a.png", "b.png"], conversations: [{ from: "human", value: "<image>?" }] }),
      "DATA_IMAGE_COUNT",
      "the question has 1 <image> and the row has 2 pictures",
    ],
    [
      "a picture that is nowhere",
      makeRecord({ image: "z.png" }),
      "DATA_IMAGE_MISSING",
      '"z.png" is in none of the image folders',
    ],
    [
      "a folder instead of a picture",
      makeRecord({ image: "a-folder.png" }),
      "DATA_IMAGE_MISSING",
      '"a-folder.png" is in none',
    ],
  ])("%s", async (_, record, code, message) => {
    const { error, problems } = await problemsOf(load(makeJsonl([makeRecord({ id: 99 }), record])));
    expect(problems).toEqual([expect.objectContaining({ code, line: 2 })]);
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/data-\d+\.jsonl:2 {2}/);
  });

  it("a line that is not JSON, and why NaN is not", async () => {
    const { error } = await problemsOf(load(`${JSON.stringify(makeRecord())}\n{"id": 2, "image": NaN}\n`));
    expect(error.code).toBe("DATA_NOT_JSON");
    expect(error.message).toMatch(/:2 {2}the line is not JSON: .*JSON has no NaN/);
  });

  it("a number too large to be finite", async () => {
    const text = JSON.stringify(makeRecord({ conversations: turns(4) })).replace(":4}", ":1e999}");
    const { error } = await problemsOf(load(text));
    expect(error.message).toContain("conversations[1].value is Infinity; it must be a finite number");
  });

  it("an id that is taken", async () => {
    const { error } = await problemsOf(load(makeJsonl([makeRecord({ id: 7 }), makeRecord({ id: "7" })])));
    expect(error.code).toBe("DATA_DUPLICATE_ID");
    expect(error.message).toContain('the id "7" is taken by line 1');
  });

  it("a data set that was not asked for", async () => {
    const { error } = await problemsOf(load(makeJsonl([makeRecord()]), { dataset_name: "TID2013" }));
    expect(error.code).toBe("DATA_WRONG_DATASET");
    expect(error.message).toContain('dataset_name is "KADID-10K"; the configuration asks for "TID2013"');
  });

  it("a file without rows, one that is not there, and no file at all", async () => {
    for (const content of ["", "\n \n"]) {
      expect((await problemsOf(load(content))).error.code).toBe("DATA_FILE_EMPTY");
    }
    const { error } = await problemsOf(loadRows({ data_file_paths: [join(root, "nowhere.jsonl")] }));
    expect(error.code).toBe("DATA_FILE_UNREADABLE");
    expect(error.message).toContain("nowhere.jsonl");
    expect((await problemsOf(loadRows({ data_file_paths: [] }))).error.code).toBe("DATA_NO_FILES");
  });

  it("bytes that are not UTF-8, once", async () => {
    const line = JSON.stringify(makeRecord({ note: "caf\u00e9" }));
    const { error, problems } = await problemsOf(load(Buffer.from(`${line}\n${line}\n`, "latin1")));
    expect(problems).toEqual([expect.objectContaining({ code: "DATA_NOT_UTF8", line: 1 })]);
    expect(error.message).toContain("Save the file as UTF-8");
    expect((await problemsOf(load(Buffer.from(`\uFEFF${line}\n`, "utf16le")))).error.code).toBe("DATA_NOT_UTF8");
  });

  it("every problem of every file at once, in the order of files and lines", async () => {
    const first = writeData(
      `${makeJsonl([makeRecord({ image: "z.png" }), makeRecord({ id: undefined, image: 3 })])}{\n${makeJsonl([makeRecord({ id: 5 })])}`,
    );
    const second = writeData(makeJsonl([makeRecord({ level: "high" })]));
    const { error, problems } = await problemsOf(
      loadRows({ data_file_paths: [first, second], image_folders: [images] }),
    );
    expect(error.code).toBe("DATA_INVALID");
    expect(problems.map(({ file, line, code }) => [file, line, code])).toEqual([
      [first, 1, "DATA_IMAGE_MISSING"],
      [first, 2, "DATA_FIELD"],
      [first, 2, "DATA_FIELD"],
      [first, 3, "DATA_NOT_JSON"],
      [second, 1, "DATA_FIELD"],
    ]);
    expect(error.message).toMatch(/^The data files have 5 problems:\n/);
    for (const { file, line, message } of problems) expect(error.message).toContain(`${file}:${line}  ${message}`);
  });

  it("a folder of pictures that is not there, beside the pictures", async () => {
    const nowhere = join(root, "nowhere");
    const { error, problems } = await problemsOf(
      load(makeJsonl([makeRecord({ image: "z.png" })]), { image_folders: [images, nowhere] }),
    );
    expect(problems.map(({ file, line, code }) => [file === nowhere, line, code])).toEqual([
      [true, null, "DATA_FOLDER_MISSING"],
      [false, 1, "DATA_IMAGE_MISSING"],
    ]);
    expect(error.message).toContain(`${nowhere}  is no folder, and pictures are to be looked for in it.`);
  });

  it("one missing picture and the number of the others", async () => {
    const records = Array.from({ length: 4 }, (_, index) => makeRecord({ id: index, image: `z${index}.png` }));
    const { error, problems } = await problemsOf(load(makeJsonl(records), { image_folders: [images, more] }));
    expect(problems.map(({ line }) => line)).toEqual([1, 2, 3, 4]);
    expect(error.message).toMatch(
      /data-\d+\.jsonl:1 {2}"z0.png" is in none of the image folders \(.*images, .*more\)\. 3 more rows have the same problem\.$/,
    );
  });
});
