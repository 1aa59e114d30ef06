import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createSampler, indexRows, loadRows, type RowIndex, type SamplerConfig } from "../../src/data/index.js";
import { makeJsonl, makeRecord } from "./build.js";
import { makeRowFiles, problemsOf } from "./row-files.js";

const { images, writeData } = makeRowFiles();

/** Lines of two data sets and several groups, with pictures, without, and with two, and texts beyond ASCII. */
const records = (count: number, from = 0): Record<string, unknown>[] =>
  Array.from({ length: count }, (_, index) => {
    const id = from + index;
    return makeRecord({
      id,
      dataset_name: id % 3 === 0 ? "small" : "large",
      image: [["a.png"], [], ["a.png", "b.png"]][id % 3]!,
      group: `content ${id % 9}`,
      hard: (id * 7) % 11,
      conversations: [
        { from: "human", value: `Wie schön ist das — ${"ø".repeat(id % 40)}?` },
        { from: "gpt", value: 1 + (id % 5) },
      ],
    });
  });
/** Two files, with an empty line and Windows' line ends. */
const files = (): string[] => [
  writeData(`\uFEFF${makeJsonl(records(50))}\n\n${makeJsonl(records(20, 50)).replaceAll("\n", "\r\n")}`),
  writeData(makeJsonl(records(30, 70)).trimEnd()),
];

const ORDERS: readonly (readonly [string, SamplerConfig])[] = [
  ["by default", {}],
  ["with shares", { batch_datasets: "mixed", dataset_weights: "uniform" }],
  ["with groups apart", { batch_groups: "apart", batch_datasets: "mixed" }],
  ["with a curriculum", { curriculum_key: "hard", curriculum_mix: 0.3 }],
  ["with a curriculum by score", { curriculum_key: "mos", curriculum_order: "descending", batch_datasets: "mixed" }],
];

describe("rows that are read when they are due", () => {
  it.each(ORDERS)("make the batches of rows in memory, %s", async (_, given) => {
    const config = {
      data_file_paths: files(),
      image_folders: [images],
      prompts_per_step: 4,
      num_train_epochs: 2,
      ...given,
    };
    const inMemory = createSampler(await loadRows(config), config);
    const streamed = createSampler(await indexRows(config), config);
    expect(streamed.batches).toBe(inMemory.batches);
    expect(streamed.counts).toEqual(inMemory.counts);
    let step = 0;
    for await (const batch of streamed) {
      step += 1;
      expect(batch).toEqual(inMemory.batch(step));
    }
    expect(step).toBe(inMemory.batches);
    expect(await streamed.at(3)).toEqual(inMemory.at(3));
  });

  it("refuse to be sorted by another field than they were indexed with", async () => {
    const config = { data_file_paths: files(), image_folders: [images], prompts_per_step: 4 };
    const sorted = { ...config, curriculum_key: "hard" };
    const index = await indexRows(config);
    expect(() => createSampler(index, sorted)).toThrow(
      'curriculum_key is "hard", and the rows were indexed without a curriculum.',
    );
    const byScore = await indexRows({ ...config, curriculum_key: "mos" });
    expect(() => createSampler(byScore, sorted)).toThrow('the rows were indexed with "mos"');
    const byFunction = await indexRows(sorted, { curriculum: ({ mos }) => mos! });
    expect(createSampler(byFunction, sorted).batches).toBe(createSampler(index, config).batches);
  });

  it("are sorted by the same function", async () => {
    const config = { data_file_paths: files(), image_folders: [images], prompts_per_step: 4 };
    const curriculum = ({ id }: { readonly id: string }): number => -Number(id);
    const inMemory = createSampler(await loadRows(config), config, { curriculum });
    const streamed = createSampler(await indexRows(config, { curriculum }), config);
    for (const step of [1, 7, 24]) expect(await streamed.at(step)).toEqual(inMemory.at(step));
  });

  it("are rows to imitate as well", async () => {
    const turns = [
      { from: "human", value: "How good?" },
      { from: "gpt", value: "Very." },
    ];
    const file = writeData(makeJsonl(records(9).map((record) => ({ ...record, conversations: turns }))));
    const config = { data_file_paths: [file], image_folders: [images] };
    const index = await indexRows(config, { answers: "text" });
    const rows = await loadRows(config, { answers: "text" });
    expect(await index.read([8, 0, 4])).toEqual([rows[8], rows[0], rows[4]]);
  });

  it("may be longer than what is read at a time", async () => {
    const long = makeRecord({ id: "long", note: "n".repeat(3_000_000) });
    const file = writeData(makeJsonl([makeRecord({ id: "first" }), long, makeRecord({ id: "last" })]));
    const config = { data_file_paths: [file], image_folders: [images] };
    expect(await (await indexRows(config)).read([1, 2])).toEqual((await loadRows(config)).slice(1));
  });
});

describe("indexing", () => {
  it("finds what loading finds, but for pictures", async () => {
    const broken = [
      `${JSON.stringify(makeRecord({ id: 1 }))}\n{"id": 2,\n${JSON.stringify(makeRecord({ id: 3, conversations: [] }))}`,
      makeJsonl([makeRecord({ id: 1 }), makeRecord({ id: 2 }), makeRecord({ id: 1 })]),
      makeJsonl([makeRecord({ dataset_name: undefined }), makeRecord({ id: 2, image: ["a.png", "b.png"] })]),
      makeJsonl([
        makeRecord({
          conversations: [
            { from: "human", value: "<image> or <image>?" },
            { from: "gpt", value: 1 },
          ],
        }),
      ]),
      new Uint8Array([0x7b, 0xff, 0x7d]),
      "\n\n",
    ];
    for (const content of broken) {
      const config = { data_file_paths: [writeData(content)], image_folders: [images] };
      const loading = await problemsOf(loadRows(config));
      expect((await problemsOf(indexRows(config))).problems).toEqual(loading.problems);
    }
  });

  it("names rows without the curriculum's field, missing folders and files", async () => {
    const file = writeData(makeJsonl([...records(2), makeRecord({ id: "x" })]));
    const config = { data_file_paths: [file, `${file}.gone`], image_folders: ["nowhere"], curriculum_key: "hard" };
    const { problems } = await problemsOf(indexRows(config));
    expect(problems.map(({ code, line }) => [code, line])).toEqual([
      ["DATA_FOLDER_MISSING", null],
      ["DATA_CURRICULUM", 3],
      ["DATA_FILE_UNREADABLE", null],
    ]);
  });

  it("takes JSONL only", async () => {
    const file = writeData("dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.496\n");
    const { problems } = await problemsOf(indexRows({ data_file_paths: [file] }));
    expect(problems).toMatchObject([{ code: "DATA_NOT_JSONL", file, line: 1 }]);
  });

  it("gives up after a thousand problems", async () => {
    const file = writeData("no json\n".repeat(300_000));
    const { problems } = await problemsOf(indexRows({ data_file_paths: [file] }));
    expect(problems.length).toBe(1001);
    expect(problems.at(-1)).toMatchObject({ code: "DATA_MANY_PROBLEMS", line: 1000 });
  });
});

describe("a row that is due", () => {
  const indexed = async (): Promise<{ readonly file: string; readonly index: RowIndex }> => {
    const file = writeData(makeJsonl(records(6)));
    return { file, index: await indexRows({ data_file_paths: [file], image_folders: [images] }) };
  };
  const changed = (how: string): unknown =>
    expect.objectContaining({ code: "DATA_FILE_CHANGED", message: expect.stringContaining(how) as string });

  it("names its missing picture by file and line", async () => {
    const file = writeData(makeJsonl([...records(3), makeRecord({ id: 9, image: "gone.png" })]));
    const index = await indexRows({ data_file_paths: [file], image_folders: [images] });
    expect(await index.read([0, 1, 2])).toHaveLength(3);
    await expect(index.read([1, 3])).rejects.toThrow(`${file}:4  "gone.png" is in none of the image folders`);
  });

  it("is refused when its file has grown, was written to, or is gone", async () => {
    const { file, index } = await indexed();
    appendFileSync(file, "\n");
    await expect(index.read([0])).rejects.toEqual(changed(`it has ${statSync(file).size} bytes and had`));

    const touched = await indexed();
    utimesSync(touched.file, 1, 1);
    await expect(touched.index.read([0])).rejects.toEqual(changed("it was written to"));

    const removed = await indexed();
    rmSync(removed.file);
    await expect(removed.index.read([0])).rejects.toMatchObject({ code: "DATA_FILE_UNREADABLE" });
  });

  it("is refused when its line is another one, whatever size and time of the file say", async () => {
    const file = writeData(makeJsonl(records(6)));
    utimesSync(file, 1, 1);
    const config = { data_file_paths: [file], image_folders: [images] };
    const index = await indexRows(config);
    writeFileSync(file, readFileSync(file, "utf8").replace('"id":4', '"id":7'));
    utimesSync(file, 1, 1);
    expect((await (await indexRows(config)).read([4]))[0]!.id).toBe("7");
    expect((await index.read([3]))[0]!.id).toBe("3");
    await expect(index.read([4])).rejects.toEqual(changed("line 5 is another one"));
  });
});

describe("memory", () => {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-large-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("holds no rows: a file of 30 MB is trained on with a heap of 48", async () => {
    const file = join(folder, "large.jsonl");
    const note = "n".repeat(10_000);
    writeFileSync(file, makeJsonl(records(3000).map((record) => ({ ...record, image: [], note }))));
    expect(statSync(file).size).toBeGreaterThan(30e6);
    const { execFile } = await import("node:child_process");
    const { promisify } = await import("node:util");
    const run = (rows: "all" | "due") =>
      promisify(execFile)(
        process.execPath,
        [
          "--max-old-space-size=48",
          "--import",
          import.meta.resolve("tsx"),
          join(import.meta.dirname, "stream-child.ts"),
          file,
          rows,
        ],
        { env: { ...process.env, TSX_TSCONFIG_PATH: join(import.meta.dirname, "../../tsconfig.json") } },
      );
    const { stdout } = await run("due");
    expect(JSON.parse(stdout)).toEqual({ batches: 187, rows: 2992 });
    await expect(run("all")).rejects.toThrow("heap out of memory");
  });
});
