import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { readParquet } from "../../../src/data/labels/binary/parquet.js";
import { readInChild } from "../../../src/data/labels/binary/read-in-child.js";
import { readSheetRows } from "../../../src/data/labels/binary/sheet.js";
import { openTable, type ReadTableOptions } from "../../../src/data/labels/table.js";
import { workbookOf } from "../../support/workbook.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-binary-"));
afterAll(() => rmSync(root, { recursive: true }));
const golden = (name: string): string => join(import.meta.dirname, "../../golden/labels", name);

function write(name: string, content: string | Uint8Array): string {
  const file = join(root, name);
  writeFileSync(file, content);
  return file;
}

async function read(file: string, options: ReadTableOptions = {}) {
  const { columns, rows, problems } = await openTable([file])(options);
  return {
    columns,
    rows: rows.map(({ line, cells }) => [line, ...columns.map((column) => cells[column])]),
    problems: problems.map((problem) => [problem.file === file, problem.line, problem.code, problem.message]),
  };
}

describe("an Excel sheet", () => {
  it("may be any of its file, begin further down and further right, and is read once", async () => {
    const file = join(root, "csiq.xlsx");
    copyFileSync(golden("csiq/csiq.DMOS.xlsx"), file);
    const open = openTable([file]);
    const wanted = ["image", "dmos"];
    const table = await open({ sheet: "all_by_image", wanted });
    rmSync(file);
    expect(await open({ sheet: "all_by_image", wanted })).toEqual(table);
    expect(table.columns).toEqual(["image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]);
    // Numbers in their shortest form, and the rows' numbers in the sheet.
    expect(table.rows[0]).toEqual({
      line: 4,
      cells: { image: "1600", dst_idx: "1", dst_type: "noise", dst_lev: "1", dmos_std: "0.05", dmos: "0.062" },
    });
  });

  it("that is none, or cut off, or of another name, is named", async () => {
    const whole = readFileSync(golden("bid/DatabaseGrades.xlsx"));
    expect((await read(write("cut.xlsx", whole.subarray(0, 3000)))).problems).toEqual([
      [true, null, "DATA_TABLE_BROKEN", expect.stringContaining("is damaged or something else: ")],
    ]);
    for (const content of ["name,mos\na,1", ""]) {
      await expect(readSheetRows(write("text.xlsx", content), undefined)).rejects.toThrow();
    }
    await expect(readSheetRows(golden("csiq/csiq.DMOS.xlsx"), "scores")).rejects.toMatchObject({
      code: "DATA_TABLE_SHEET",
      message: expect.stringMatching(/^has no such sheet: .*scores.*all_by_image/) as string,
    });
    expect((await read(join(root, "none.xlsx"))).problems[0]!.slice(2)).toEqual([
      "DATA_FILE_UNREADABLE",
      expect.stringContaining("ENOENT"),
    ]);
    expect((await read(write("old.xls", "x"), { format: "csv" })).problems[0]![2]).toBe("DATA_TABLE_FORMAT");
  });

  it("that would unpack without end is refused by the size it states, and holds no more than that", async () => {
    const row = (number: number): string => `<row r="${number}"><c r="A${number}"><v>1</v></c></row>`;
    const small = workbookOf(Array.from({ length: 500 }, (_, index) => row(index + 1)).join(""));
    expect((await readSheetRows(write("small.xlsx", small), undefined)).length).toBe(500);
    const bomb = withStatedSize(small, 4_000_000_000);
    await expect(readSheetRows(write("bomb.xlsx", bomb), undefined)).rejects.toMatchObject({
      code: "DATA_TABLE_TOO_LARGE",
      message: expect.stringMatching(/would unpack to 4\d{9} bytes\. Save it as CSV\.$/) as string,
    });
    const liar = readSheetRows(write("liar.xlsx", withStatedSize(small, 1000)), undefined);
    expect(
      await liar.then(
        ({ length }) => length < 500,
        () => true,
      ),
    ).toBe(true);
  });

  it("with a billion rows ends the process that reads it and no other, and so does one that takes too long", async () => {
    const row = (number: number): string => `<row r="${number}"><c r="A${number}"><v>1</v></c></row>`;
    const file = write("many.xlsx", workbookOf(row(1) + row(1_000_000_000)));
    const problem = { code: "DATA_TABLE_TOO_LARGE" };
    expect(await readInChild({ format: "xlsx", file }, { heapMiB: 40, milliseconds: 60_000 })).toEqual({
      problem: { ...problem, message: expect.stringContaining("more than 40 MiB of memory") as string },
    });
    expect(await readInChild({ format: "xlsx", file }, { heapMiB: 256, milliseconds: 50 })).toEqual({
      problem: { ...problem, message: expect.stringContaining("longer than 0.05 s") as string },
    });
  });
});

/** The sheet's entry in the archive's directory says another size than it has. */
function withStatedSize(workbook: Uint8Array, size: number): Buffer {
  const bytes = Buffer.from(workbook);
  const name = bytes.lastIndexOf("xl/worksheets/sheet1.xml");
  bytes.writeUInt32LE(size, name - 46 + 24);
  return bytes;
}

describe("a parquet file", () => {
  const columns = ["file", "score", "scene", "held", "source.path", "source.tags.0", "source.tags.1"];
  const rows = [
    ["a.png", "10", "1", "true", "p0.png", "x", "y"],
    ["b c.png", "20.5", "1", "false", "p1.png", "x", "y"],
    ["d.png", "", "2", "false", "p2.png", "x", "y"],
    ["", "30", "2", "false", "p3.png", "x", "y"],
    ["e.png", "40", "3", "true", "p4.png", "x", "y"],
  ];

  it("is rows of texts with dots for what is inside, without its pictures, by each codec", async () => {
    for (const codec of ["gzip", "brotli", "none"]) {
      expect(await readParquet(golden(`mine/${codec}.parquet`))).toEqual({ columns, rows });
    }
    const zstd = readParquet(golden("mine/zstd.parquet"));
    if ("zstdDecompressSync" in zlib) expect((await zstd).rows).toEqual(rows);
    else await expect(zstd).rejects.toThrow("is packed with zstd, which Node ");
    const file = join(root, "labels.data");
    copyFileSync(golden("mine/snappy.parquet"), file);
    expect(await read(file, { format: "parquet" })).toEqual({
      columns,
      rows: rows.map((cells, index) => [index + 1, ...cells]),
      problems: [],
    });
  });

  it("that is cut off, something else, or damaged inside is named", async () => {
    const whole = readFileSync(golden("mine/snappy.parquet"));
    const damaged = Buffer.from(whole).fill(0xff, 20, 60);
    const tail = Buffer.concat([Buffer.alloc(100), Buffer.from([0xff, 0xff, 0xff, 0x7f]), Buffer.from("PAR1")]);
    for (const content of [whole.subarray(0, 2000), Buffer.from("name,mos\na,1\n"), tail, damaged]) {
      await expect(readParquet(write("broken.parquet", content))).rejects.toThrow();
    }
    expect((await read(join(root, "broken.parquet"))).problems).toEqual([
      [true, null, "DATA_TABLE_BROKEN", expect.stringContaining("is damaged or something else: ")],
    ]);
  });
});

it("text is no sheet, whatever it is said to be", async () => {
  const text = write("labels.csv", "name,mos\na,1\n");
  expect((await read(text, { format: "xlsx" })).problems).toEqual([
    [true, null, "DATA_TABLE_FORMAT", "is no xlsx file."],
  ]);
});
