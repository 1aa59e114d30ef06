import fc from "fast-check";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defineConfig, resolveConfig } from "../../src/config/index.js";
import { loadRows, type RowSource } from "../../src/data/index.js";
import { makeJsonl, makeRecord } from "./build.js";
import { makeRowFiles, problemsOf } from "./row-files.js";

const { images, more, writeData, load } = makeRowFiles();

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
    const a = writeData(makeJsonl([makeRecord({ image: "a.png" })]));
    const c = writeData(makeJsonl([makeRecord({ image: "c.png" })]));
    const paths = async (source: RowSource) => (await loadRows(source)).flatMap((row) => row.images);

    expect(await paths({ data_file_paths: [a, c], image_folders: [images, more] })).toEqual([
      join(images, "a.png"),
      join(more, "c.png"),
    ]);
    await expect(paths({ data_file_paths: [a, c], image_folders: [more, images] })).rejects.toThrow('"c.png"');
    expect(await paths({ data_file_paths: [c], image_folders: [images, more] })).toEqual([join(more, "c.png")]);
    expect(await paths({ data_file_paths: [a], image_folders: [images, more] })).toEqual([join(images, "a.png")]);
    const beside = writeData(makeJsonl([makeRecord({ image: "images/b.png" })]));
    expect(await paths({ data_file_paths: [beside] })).toEqual([join(images, "b.png")]);
    const absolute = writeData(makeJsonl([makeRecord({ image: join(more, "c.png") })]));
    expect(await paths({ data_file_paths: [absolute], image_folders: [images] })).toEqual([join(more, "c.png")]);
  });

  it("takes a whole configuration, resolved or not", async () => {
    const file = writeData(makeJsonl([makeRecord({ image: "images/a.png" })]));
    const input = defineConfig({ model_name_or_path: "any", data_file_paths: file });
    expect((await loadRows(input))[0]!.images).toEqual([join(images, "a.png")]);
    expect(await loadRows(resolveConfig(input))).toEqual(await loadRows(input));
  });

  it("numbers files and lines, empty lines included", async () => {
    const first = writeData(makeJsonl([makeRecord()]));
    const second = writeData(`\uFEFF${JSON.stringify(makeRecord())}\r\n\r\n${JSON.stringify(makeRecord({ id: 2 }))}`);
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
    loadRows({ data_file_paths: [writeData(makeJsonl(records))], image_folders: [images] }, { answers: "text" });

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
