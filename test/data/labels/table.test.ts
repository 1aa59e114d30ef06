import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openTable, type ReadTableOptions } from "../../../src/data/labels/table.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-tables-"));
afterAll(() => rmSync(root, { recursive: true }));

async function read(name: string, content: string | Uint8Array, options: ReadTableOptions = {}) {
  const file = join(root, name);
  writeFileSync(file, content);
  const { columns, rows, problems } = await openTable([file])(options);
  return {
    columns,
    rows: rows.map(({ line, cells }) => [line, ...columns.map((column) => cells[column])]),
    problems: problems.map(({ line, code, message }) => [line, code, message]),
  };
}

describe("a table of commas", () => {
  it("takes quotes, a byte order mark, lines of Windows, empty lines and spaces", async () => {
    const text =
      '\uFEFFname,prompt,mos\r\n\r\n"a b, c.png","say ""hi""\r\ntwice",3.5\r\n d.png , none ,4\r\n,,\r\n\r\n';
    expect(await read("a.csv", text)).toEqual({
      columns: ["name", "prompt", "mos"],
      rows: [
        [3, "a b, c.png", 'say "hi"\ntwice', "3.5"],
        [5, "d.png", "none", "4"],
      ],
      problems: [],
    });
  });

  it("names every line with another number of columns, and goes on", async () => {
    expect(await read("b.csv", "name,mos\na.png,1\nb.png\nc.png,2,3\nd.png,4\n")).toEqual({
      columns: ["name", "mos"],
      rows: [
        [2, "a.png", "1"],
        [5, "d.png", "4"],
      ],
      problems: [
        [3, "DATA_TABLE_ROW", "the line has 1 columns; it must have 2: name, mos."],
        [4, "DATA_TABLE_ROW", "the line has 3 columns; it must have 2: name, mos."],
      ],
    });
  });

  it("may have other lines above its header, where what it must have is known, and columns without a name", async () => {
    const text = "Scores of 2 pictures,,\nname,,mos\na.png,,1\nb.png,x,2\n";
    expect(await read("f.csv", text, { wanted: ["mos", "name"] })).toEqual({
      columns: ["name", "mos"],
      rows: [
        [3, "a.png", "1"],
        [4, "b.png", "2"],
      ],
      problems: [],
    });
  });

  it("gives up one line for a quote that stays open, and names two columns of one name", async () => {
    const { rows, problems } = await read("c.csv", 'name,mos,mos\n"a.png,1,1\nb.png,2,2\n');
    expect(rows).toEqual([[3, "b.png", "2", "2"]]);
    expect(problems.map(([line]) => line)).toEqual([2, 1]);
    expect(problems[1]![2]).toBe('two columns are called "mos"; names must differ.');
  });

  it("names a line that is not UTF-8, and a file without rows", async () => {
    const broken = Buffer.concat([Buffer.from("name,mos\na.png,1\n"), Buffer.from([0xff, 0xfe, 0x0a])]);
    expect((await read("d.csv", broken)).problems).toEqual([
      [3, "DATA_NOT_UTF8", "the line is not UTF-8 text. Save the file as UTF-8."],
    ]);
    expect((await read("e.csv", "\n\r\n")).problems).toEqual([[null, "DATA_FILE_EMPTY", "has no rows."]]);
  });
});

describe("other tables", () => {
  it("are split at tabulators, or at white space with columns that are given", async () => {
    expect((await read("a.tsv", "name\tmos\na b.png\t1\n")).rows).toEqual([[2, "a b.png", "1"]]);
    const columns = ["mos", "name"];
    expect((await read("a.txt", "  5.5   i01.bmp\r\n4.5\tI02.BMP\n1 a b.bmp\n", { columns })).rows).toEqual([
      [1, "5.5", "i01.bmp"],
      [2, "4.5", "I02.BMP"],
    ]);
  });

  it("may be lists of objects, with the line of each entry and dots for what is inside", async () => {
    const text =
      '[\n {"id": 1, "image": ["a.png"],\n  "note": "x, [y] \\"}"},\n\n {"id": 2, "score": null}, 7,\n {"id": }\n]\n';
    expect(await read("a.json", text)).toEqual({
      columns: ["id", "image.0", "note", "score"],
      rows: [
        [2, "1", "a.png", 'x, [y] "}', ""],
        [5, "2", "", "", ""],
      ],
      problems: [
        [5, "DATA_NOT_JSON", "the entry is no JSON object."],
        [6, "DATA_NOT_JSON", expect.stringContaining("the entry is not JSON: ")],
      ],
    });
    for (const other of ['{"id": 1}', "[1, 2", "word", "[] []"]) {
      expect((await read("b.json", other)).problems.map(([, code]) => code)).toContain("DATA_NOT_JSON");
    }
  });

  it("may have an object per line", async () => {
    const text = '{"image": "a.png", "gt": 3}\n\n{"image": "b.png", "gt": NaN}\n{"image": "c.png", "gt": "4"}\n';
    const { rows, problems } = await read("a.jsonl", text);
    expect(rows).toEqual([
      [1, "a.png", "3"],
      [4, "c.png", "4"],
    ]);
    expect(problems).toEqual([[3, "DATA_NOT_JSON", expect.stringContaining("not JSON")]]);
  });

  it("of an ending that tells nothing are refused until the format is said", async () => {
    const reading = read("a.ods", "PK");
    await expect(reading).rejects.toMatchObject({ code: "DATA_TABLE_FORMAT" });
    await expect(reading).rejects.toThrow('a.ods ends in ".ods", and label files are read that end in .csv, .tsv');
    expect((await read("a.data", "name,mos\na,1", { format: "csv" })).rows).toEqual([[2, "a", "1"]]);
  });
});
