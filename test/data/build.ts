/**
 * Builders of rows and data files for the tests of this folder.
 *
 * @module
 */
import type { Row } from "../../src/data/index.js";

/** A row that differs from others by number, group and data set. */
export function makeRow(number: number, given: Partial<Row> = {}): Row {
  const { dataset = "pictures" } = given;
  return {
    id: String(number),
    dataset,
    images: [`/somewhere/${dataset}-${number}.png`],
    messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: "How good?" }] }],
    mos: 3,
    source: { file: 0, line: number + 1 },
    extra: {},
    ...given,
  };
}

/** `count` rows of one data set. */
export function makeRows(count: number, given: Partial<Row> = {}): Row[] {
  return Array.from({ length: count }, (_, number) => makeRow(number, given));
}

/** A line of a data file in the reference's format, with fields replaced or (undefined) left out. */
export function makeRecord(given: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    id: 1,
    dataset_name: "KADID-10K",
    image: ["I01_01_01.png"],
    conversations: [
      { from: "human", value: "How good?" },
      { from: "gpt", value: 4.5 },
    ],
    ...given,
  };
}

/** Text of a data file. */
export function makeJsonl(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}
