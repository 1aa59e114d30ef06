import fc from "fast-check";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defineConfig, resolveConfig } from "../../src/config/index.js";
import { loadRows, type DataProblem, type RowSource } from "../../src/data/index.js";
import { DataError } from "../../src/errors.js";
import { makeJsonl, makeRecord } from "./build.js";

let root: string;
let images: string;
let more: string;
let files = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "thurstone-rows-"));
  images = join(root, "images");
  more = join(root, "more");
  await mkdir(images);
  await mkdir(more);
  await mkdir(join(images, "a-folder.png"));
  for (const name of ["I01_01_01.png", "I81_25_05.png", "a.png", "b.png"]) await writeFile(join(images, name), "");
  await writeFile(join(more, "c.png"), "");
  await writeFile(join(more, "a.png"), "");
});
afterAll(() => rm(root, { recursive: true }));

async function writeData(content: string | Uint8Array): Promise<string> {
  files += 1;
  const file = join(root, `data-${files}.jsonl`);
  await writeFile(file, content);
  return file;
}

async function load(content: string | Uint8Array, source: RowSource = {}) {
  return loadRows({ data_file_paths: [await writeData(content)], image_folders: [images], ...source });
}

async function problemsOf(loading: Promise<unknown>): Promise<{ error: DataError; problems: readonly DataProblem[] }> {
  const error: unknown = await loading.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  const { fields } = error as DataError;
  return { error: error as DataError, problems: (fields["problems"] ?? []) as readonly DataProblem[] };
}

describe("loadRows", () => {
  it("reads a line of the reference's own file", async () => {
    const question = "What is your overall rating on the quality of this picture?";
    const line =
      '{"id": 1, "dataset_name": "KADID-10K", "image": ["I01_01_01.png"], "conversations": ' +
      `[{"from": "human", "value": "${question}"}, {"from": "gpt", "value": 4.633587786259543}]}`;
    expect(await load(line)).toEqual([
      {
        id: "1",
        dataset: "KADID-10K",
        images: [join(images, "I01_01_01.png")],
        messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }],
        mos: 4.633587786259543,
        group: "I01",
        type: "01",
        level: 1,
        source: { file: 0, line: 1 },
        extra: {},
      },
    ]);
  });

  it("takes a single file name, a score as text, no score, and rows without pictures", async () => {
    const rows = await load(
      makeJsonl([
        makeRecord({ id: "x", image: "a.png", conversations: [{ from: "human", value: "Q" }] }),
        makeRecord({
          id: "y",
          image: [],
          conversations: [
            { from: "human", value: "Q" },
            { from: "gpt", value: " 3.5 " },
          ],
        }),
      ]),
    );
    expect(rows[0]).not.toHaveProperty("mos");
    expect(rows[0]!.images).toEqual([join(images, "a.png")]);
    expect(rows[1]).toMatchObject({ mos: 3.5, images: [], messages: [{ content: [{ type: "text", text: "Q" }] }] });
  });

  it("keeps the optional fields and, under extra, those it does not know", async () => {
    const record = makeRecord({ mos_std: 0.7, group: "g", type: 3, level: 2, camera: "Leica", views: [1, 2] });
    expect((await load(makeJsonl([record])))[0]).toMatchObject({
      mosStd: 0.7,
      group: "g",
      type: "3",
      level: 2,
      extra: { camera: "Leica", views: [1, 2] },
    });
  });

  it("reads group, type and level off names in KADID's manner only", async () => {
    const [kadid, other, pair] = await load(
      makeJsonl([
        makeRecord({ id: 1, image: ["I81_25_05.png"], level: 4 }),
        makeRecord({ id: 2, image: ["a.png"] }),
        makeRecord({ id: 3, image: ["I81_25_05.png", "a.png"] }),
      ]),
    );
    expect(kadid).toMatchObject({ group: "I81", type: "25", level: 4 });
    for (const row of [other!, pair!]) expect(Object.keys(row)).not.toContain("group");
  });

  it("puts pictures where the question marks them", async () => {
    const conversations = [{ from: "human", value: "Is <image> better than <image>?" }];
    const rows = await load(makeJsonl([makeRecord({ image: ["a.png", "b.png"], conversations })]));
    expect(rows[0]!.messages[0]!.content).toEqual([
      { type: "text", text: "Is " },
      { type: "image" },
      { type: "text", text: " better than " },
      { type: "image" },
      { type: "text", text: "?" },
    ]);
  });

  it("looks in one folder per file, in every folder otherwise, and beside the file by default", async () => {
    const a = await writeData(makeJsonl([makeRecord({ image: "a.png" })]));
    const c = await writeData(makeJsonl([makeRecord({ image: "c.png" })]));
    const paths = async (source: RowSource) => (await loadRows(source)).flatMap((row) => row.images);

    expect(await paths({ data_file_paths: [a, c], image_folders: [images, more] })).toEqual([
      join(images, "a.png"),
      join(more, "c.png"),
    ]);
    await expect(paths({ data_file_paths: [a, c], image_folders: [more, images] })).rejects.toThrow('"c.png"');
    expect(await paths({ data_file_paths: [c], image_folders: [images, more] })).toEqual([join(more, "c.png")]);
    expect(await paths({ data_file_paths: [a], image_folders: [images, more] })).toEqual([join(images, "a.png")]);
    const beside = await writeData(makeJsonl([makeRecord({ image: "images/b.png" })]));
    expect(await paths({ data_file_paths: [beside] })).toEqual([join(images, "b.png")]);
    const absolute = await writeData(makeJsonl([makeRecord({ image: join(more, "c.png") })]));
    expect(await paths({ data_file_paths: [absolute], image_folders: [images] })).toEqual([join(more, "c.png")]);
  });

  it("takes a whole configuration, resolved or not", async () => {
    const file = await writeData(makeJsonl([makeRecord({ image: "images/a.png" })]));
    const input = defineConfig({ model_name_or_path: "any", data_file_paths: file });
    expect((await loadRows(input))[0]!.images).toEqual([join(images, "a.png")]);
    expect(await loadRows(resolveConfig(input))).toEqual(await loadRows(input));
  });

  it("numbers files and lines, empty lines included", async () => {
    const first = await writeData(makeJsonl([makeRecord()]));
    const second = await writeData(
      `\uFEFF${JSON.stringify(makeRecord())}\r\n\r\n${JSON.stringify(makeRecord({ id: 2 }))}`,
    );
    const rows = await loadRows({ data_file_paths: [first, second], image_folders: [images] });
    expect(rows.map((row) => row.source)).toEqual([
      { file: 0, line: 1 },
      { file: 1, line: 1 },
      { file: 1, line: 3 },
    ]);
  });

  it("gives rows without a data set name the one that was asked for", async () => {
    const rows = await load(makeJsonl([makeRecord({ dataset_name: undefined }), makeRecord({ id: 2 })]), {
      dataset_name: "KADID-10K",
    });
    expect(rows.map((row) => row.dataset)).toEqual(["KADID-10K", "KADID-10K"]);
  });
});

describe("loadRows of answers to be imitated", () => {
  const dialogue = (values: readonly unknown[], more = {}) =>
    makeRecord({
      conversations: values.map((value, turn) => ({ from: turn % 2 === 0 ? "human" : "gpt", value })),
      image: [],
      ...more,
    });
  const loadTexts = async (...records: object[]) =>
    loadRows({ data_file_paths: [await writeData(makeJsonl(records))], image_folders: [images] }, { answers: "text" });

  it("keeps all turns as messages, numbers as their text", async () => {
    const [row] = await loadTexts(dialogue(["Why?", "So.", "How much?", 2.5]));
    expect(row!.messages).toEqual([
      { role: "user", content: [{ type: "text", text: "Why?" }] },
      { role: "assistant", content: "So." },
      { role: "user", content: [{ type: "text", text: "How much?" }] },
      { role: "assistant", content: "2.5" },
    ]);
    expect(row!.mos).toBe(2.5);
  });

  it("takes the score from its own field, or from a last answer that is nothing but a number", async () => {
    const rows = await loadTexts(
      dialogue(["Q", "4.20"]),
      dialogue(["Q", "4.20"], { id: 2, mos: 3 }),
      dialogue(["Q", "about 4"], { id: 3 }),
      dialogue(["Q", "4", "Why?", "Because."], { id: 4 }),
    );
    expect(rows.map(({ mos }) => mos)).toEqual([4.2, 3, undefined, undefined]);
    expect(rows.map(({ extra }) => extra)).toEqual([{}, {}, {}, {}]);
  });

  it("puts pictures where any question marks them, otherwise all of them before the first", async () => {
    const marked = dialogue(["A", "a", "B <image> and <image>", "b"], { image: ["a.png", "a.png"] });
    const plain = dialogue(["A", "a", "B", "b"], { image: ["a.png", "a.png"], id: 2 });
    const rows = await loadTexts(marked, plain);
    const kinds = rows.map(({ messages }) =>
      messages.map(({ content }) => (typeof content === "string" ? content : content.map(({ type }) => type))),
    );
    expect(kinds).toEqual([
      [["text"], "a", ["text", "image", "text", "image"], "b"],
      [["image", "image", "text"], "a", ["text"], "b"],
    ]);
  });

  it.each([
    ["no answer", ["Q"], "conversations is", "with an answer at the end"],
    ["a question at the end", ["Q", "A", "Q"], "conversations is", "with an answer at the end"],
    [
      "an empty answer",
      ["Q", ""],
      "conversations[1].value is",
      "the answer, a text that is not empty, or a finite number",
    ],
    ["a score that is no number", ["Q", null], "conversations[1].value is null", "the answer, a text"],
    ["a mos that is a text", ["Q", "A"], "mos is", "a finite number"],
  ])("names the line of %s", async (name, values, subject, wanted) => {
    const record = dialogue(values, name.startsWith("a mos") ? { mos: "3" } : {});
    await expect(loadTexts(dialogue(["Q", "A"], { id: "fine" }), record)).rejects.toMatchObject({
      code: "DATA_FIELD",
      message: expect.stringMatching(new RegExp(`:2 {2}${subject.replaceAll(/[[\].]/g, "\\$&")}.*${wanted}`)) as string,
    });
  });
});

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
    const first = await writeData(
      `${makeJsonl([makeRecord({ image: "z.png" }), makeRecord({ id: undefined, image: 3 })])}{\n${makeJsonl([makeRecord({ id: 5 })])}`,
    );
    const second = await writeData(makeJsonl([makeRecord({ level: "high" })]));
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

describe("loadRows on anything", () => {
  it("gives rows or a DataError that names the line, never another failure", async () => {
    const field = fc.oneof(fc.constantFrom("id", "image", "conversations", "dataset_name", "level"), fc.string());
    const record = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(field, fc.jsonValue()).map((given) => makeRecord(given)),
    );
    await fc.assert(
      fc.asyncProperty(record, async (value) => {
        const loading = load(`${JSON.stringify(value)}\n`);
        const error: unknown = await loading.then(
          () => null,
          (reason: unknown) => reason,
        );
        if (error === null) expect((await loading).length).toBe(1);
        else {
          const { error: refused, problems } = await problemsOf(loading);
          expect(problems[0]?.line ?? 1).toBe(1);
          // The schema's own words would be of no use to the writer of a data file.
          expect(refused.message).not.toMatch(/Invalid (input|string|key)|Too (small|big)|expected /);
        }
      }),
      { numRuns: 300 },
    );
  });
});
