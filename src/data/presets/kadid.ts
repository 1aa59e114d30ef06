/**
 * KADID-10k's list of scores, `dmos.csv`, read and written as it is published.
 *
 * Columns: dist_img (I01_02_03.png: reference, type, level), ref_img (I01.png), dmos, var. The column is called dmos and
 * holds mean opinions all the same: 1 is bad, 5 is excellent. The one called var holds the standard deviation of the single
 * opinions: 4.93 with 0.249 is 28 times 5 and twice 4.
 *
 * Source: H. Lin, V. Hosu, D. Saupe, "KADID-10k: A Large-scale Artificially Distorted IQA Database", QoMEX 2019.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { dirname, join, parse } from "node:path";
import { z } from "zod";
import { distortions } from "../distortions/index.js";
import { readJsonFile } from "../json-file.js";
import { parseKadidName } from "../kadid-name.js";
import type { KadidName } from "../kadid-name.js";
import type { DataProblem } from "../problems.js";
import { ratingQuestion } from "../rating-question.js";
import { issueInWords } from "../record.js";
import type { DataRecord, NumberedRecord, ReadRecords } from "../record.js";
import type { NumberedLine } from "../text-lines.js";

const COLUMNS = ["dist_img", "ref_img", "dmos", "var"] as const;
/** The data set's name where neither the configuration nor a file beside the list gives one: the list has no column for it. */
export const KADID_DATASET = "KADID-10k";

/** Beside a list that is not KADID-10k's own: whose name its rows are to carry. */
export const DATASET_FILE = "dataset.json";

const datasetSchema = z.object({ dataset_name: z.string().min(1) });

/** What `thurstone distort` writes as DATASET_FILE. */
export function formatDataset(name: string): string {
  return `${JSON.stringify({ dataset_name: name } satisfies z.input<typeof datasetSchema>)}\n`;
}

/**
 * @param list path of the list
 * @throws DataError DATA_FILE_UNREADABLE for a DATASET_FILE that cannot be used
 */
export async function kadidDataset(list: string): Promise<string> {
  const file = join(dirname(list), DATASET_FILE);
  if (!existsSync(file)) return KADID_DATASET;
  return (await readJsonFile(file, datasetSchema)).dataset_name;
}

/** One line of the list. */
export interface KadidScore {
  /** File name of the picture. */
  readonly picture: string;
  /** File name of its reference. */
  readonly reference: string;
  /** 1 (bad) to 5 (excellent). */
  readonly mean: number;
  /** Standard deviation of single opinions. */
  readonly deviation: number;
}

const NAME = { error: "a file name in KADID's manner, I01_02_03.png: reference, type 01 to 25, level 01 to 05" };
const MEAN = { error: "a mean opinion from 1 to 5" };
const DEVIATION = { error: "a standard deviation, at least 0" };
const cell = (message: { readonly error: string }, accepts: (value: number) => boolean): z.ZodType<number, string> =>
  // An empty cell is no number, though JavaScript takes it for 0.
  z
    .string()
    .refine((text) => text !== "" && accepts(Number(text)), message)
    .transform(Number);
const lineSchema = z.object({
  dist_img: z
    .string(NAME)
    .transform((name) => ({ name, parts: parseKadidName(name) }))
    .refine(({ parts }) => parts !== null && isVersion(parts), NAME),
  ref_img: z.string(),
  dmos: cell(MEAN, (value) => value >= 1 && value <= 5),
  var: cell(DEVIATION, (value) => value >= 0 && Number.isFinite(value)),
});

/** Whether a file that begins with this line is KADID's list. */
export function isKadidHeader(line: string): boolean {
  return cellsOf(line).join() === COLUMNS.join();
}

/**
 * Turns the list into records as of a JSONL file, with the standard question.
 *
 * @param file as problems name it
 * @param lines the header first
 */
export function parseKadid(file: string, lines: readonly NumberedLine[]): ReadRecords {
  const records: NumberedRecord[] = [];
  const problems: DataProblem[] = [];
  for (const { line, text } of lines.slice(1)) {
    const read = parseLine(text);
    if ("record" in read) records.push({ line, record: read.record });
    else problems.push(...read.problems.map((message) => ({ code: "DATA_FIELD", file, line, message })));
  }
  return { records, problems };
}

/** The list as text, header included. */
export function formatKadid(scores: readonly KadidScore[]): string {
  const lines = scores.map(({ picture, reference, mean, deviation }) => [picture, reference, mean, deviation].join());
  return [COLUMNS.join(), ...lines, ""].join("\n");
}

function parseLine(text: string): { readonly record: DataRecord } | { readonly problems: readonly string[] } {
  const cells = cellsOf(text);
  if (cells.length !== COLUMNS.length) {
    const found = `the line has ${cells.length} columns`;
    return { problems: [`${found}; it must have ${COLUMNS.length}: ${COLUMNS.join(", ")}.`] };
  }
  const line = Object.fromEntries(COLUMNS.map((column, index) => [column, cells[index]]));
  const result = lineSchema.safeParse(line);
  if (!result.success) return { problems: result.error.issues.map((issue) => issueInWords(line, issue)) };

  const { dist_img: picture, ref_img: reference, dmos, var: deviation } = result.data;
  const { group, type, level } = picture.parts!;
  if (parse(reference).name !== group) {
    return { problems: [`ref_img is "${reference}"; it must be the picture that "${picture.name}" was made of.`] };
  }
  return {
    record: {
      id: parse(picture.name).name,
      image: [picture.name],
      conversations: [
        { from: "human", value: ratingQuestion },
        { from: "gpt", value: dmos },
      ],
      mos_std: deviation,
      group,
      type,
      type_name: distortions.find((one) => one.type === type)!.name,
      level,
    },
  };
}

function isVersion({ type, level }: KadidName): boolean {
  return Number(type) >= 1 && Number(type) <= 25 && level >= 1 && level <= 5;
}

function cellsOf(line: string): string[] {
  return line.split(",").map((one) => one.trim());
}
