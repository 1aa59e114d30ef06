/**
 * Label files of a data set to scores of pictures, with every problem by file and line.
 *
 * @module
 */
import { parse } from "node:path";
import type { DataProblem } from "../problems.js";
import type { LabelLayout, LabelPreset, LabelRange, SplitPart } from "./preset.js";
import { readTable, type Table, type TableRow } from "./table.js";

/** A picture's score as its file has it. */
export interface Label {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** File name, perhaps with folders. */
  readonly picture: string;
  /** On the data set's own scale and in its own direction. */
  readonly mos: number;
  /** Standard deviation of opinions, on the same scale. */
  readonly std?: number;
  readonly group?: string;
  readonly type?: string;
  readonly level?: number;
  /** In the official split. */
  readonly part?: SplitPart;
}

export interface Labels {
  /** In the order of files and lines. */
  readonly labels: readonly Label[];
  readonly problems: readonly DataProblem[];
  /** Nominal range of the scores in these files; null when it is not known. */
  readonly range: LabelRange | null;
  /** Pictures that are no part of the set. */
  readonly leftOut: readonly { readonly picture: string; readonly why: string }[];
}

/** Never throws for the files' content. */
export async function readLabels(files: readonly string[], preset: LabelPreset): Promise<Labels> {
  const read = await Promise.all(files.map((file) => readFile(file, preset)));
  const all = read.flatMap(({ labels }) => labels);
  const leftOut: { picture: string; why: string }[] = [];
  const seen = new Map<string, Label>();
  const labels: Label[] = [];
  const found = read.flatMap(({ problems }) => problems);
  for (const label of all) {
    const { picture, file, line } = label;
    if (preset.leaveOut?.matches.test(parse(picture).base) === true) {
      leftOut.push({ picture, why: preset.leaveOut.why });
      continue;
    }
    const earlier = seen.get(picture);
    if (earlier === undefined) {
      seen.set(picture, label);
      labels.push(label);
    } else {
      const scores = earlier.mos === label.mos ? "with the same score" : `with ${earlier.mos}, and here ${label.mos}`;
      const message = `"${picture}" stands already on line ${earlier.line} of ${earlier.file}, ${scores}. Give each picture once.`;
      found.push({ code: "DATA_DUPLICATE_PICTURE", file, line, message });
    }
  }
  const first = labels[0];
  if (first !== undefined && labels.length > 1 && labels.every(({ mos }) => mos === first.mos)) {
    const message = `all ${labels.length} scores are ${first.mos}, so no picture is better than another. Is it the right column?`;
    found.push({ code: "DATA_CONSTANT_LABELS", file: first.file, line: null, message });
  }
  const ranges = [...new Map(read.map(({ range }) => [`${range?.min} ${range?.max}`, range])).values()];
  if (ranges.length > 1) {
    const message = "the files have scores on different scales. Prepare them one by one.";
    found.push({ code: "DATA_LABEL_SCALES", file: files[1]!, line: null, message });
  }
  return { labels, problems: found, range: ranges[0] ?? null, leftOut };
}

interface ReadFile {
  readonly labels: readonly Label[];
  readonly problems: readonly DataProblem[];
  readonly range: LabelRange | null;
}

async function readFile(file: string, preset: LabelPreset): Promise<ReadFile> {
  const tables: Table[] = [];
  for (const layout of preset.layouts) {
    const table = await readTable(file, layout);
    if (fits(table, layout)) return readRows(table, layout, preset);
    tables.push(table);
  }
  // A file that cannot be read, or has no rows, is so in every form.
  const unreadable = tables[0]!.problems.filter(({ code }) => code !== "DATA_TABLE_ROW" && code !== "DATA_NOT_JSON");
  if (unreadable.length > 0) return { labels: [], problems: unreadable, range: preset.range };
  const forms = preset.layouts.map((layout) => `${layout.format} with ${needed(layout).join(", ")}`);
  const message = `is in none of the forms of ${preset.dataset}: ${forms.join("; or ")}.`;
  return { labels: [], problems: [{ code: "DATA_LABEL_COLUMNS", file, line: null, message }], range: preset.range };
}

/** Whether a file read in this form makes sense: it has the columns, and one row at least has a score. */
function fits(table: Table, layout: LabelLayout): boolean {
  const present = needed(layout).every((column) => table.columns.includes(column));
  return present && table.rows.some(({ cells }) => Number.isFinite(numberIn(cells[layout.mos]!)));
}

function needed({ columns, picture, mos, std, variance, group, split }: LabelLayout): string[] {
  if (columns !== undefined) return [...columns];
  return [picture, mos, std, variance, group, split?.column].filter((column) => column !== undefined);
}

function readRows(table: Table, layout: LabelLayout, preset: LabelPreset): ReadFile {
  const { file } = table;
  const range = layout.range ?? preset.range;
  const labels: Label[] = [];
  const problems: DataProblem[] = [...table.problems];
  for (const row of table.rows) {
    const { label, wrong } = readRow(file, row, { layout, preset, range });
    if (wrong.length === 0) labels.push(label);
    else problems.push(...wrong.map((message) => ({ code: "DATA_LABEL", file, line: row.line, message })));
  }
  return { labels, problems: problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)), range };
}

interface RowReading {
  readonly layout: LabelLayout;
  readonly preset: LabelPreset;
  readonly range: LabelRange | null;
}

function readRow(
  file: string,
  { line, cells }: TableRow,
  { layout, preset, range }: RowReading,
): { readonly label: Label; readonly wrong: readonly string[] } {
  const wrong: string[] = [];
  const given = cells[layout.picture]!;
  if (given === "") wrong.push(`${layout.picture} is empty; it must be a picture's file name.`);
  const picture = preset.fileName?.(given) ?? given;

  const mos = numberIn(cells[layout.mos]!);
  const shown = `${layout.mos} is "${cells[layout.mos]}"`;
  if (!Number.isFinite(mos)) wrong.push(`${shown}; it must be a finite number.`);
  else if (range !== null && (mos < range.min || mos > range.max)) {
    wrong.push(`${shown}; scores of ${preset.dataset} go from ${range.min} to ${range.max}.`);
  }

  const spread = layout.std ?? layout.variance;
  const value = spread === undefined ? undefined : numberIn(cells[spread]!);
  if (value !== undefined && !(value >= 0 && Number.isFinite(value))) {
    wrong.push(`${spread} is "${cells[spread!]}"; it must be a number, at least 0.`);
  }

  const { group: named, type, level } = preset.describe?.(parse(given).base) ?? {};
  const content = layout.group === undefined ? undefined : cells[layout.group]!;
  if (content === "") wrong.push(`${layout.group} is empty; it must say which content the picture shows.`);
  if (named !== undefined && content !== undefined && parse(content).name.toLowerCase() !== named.toLowerCase()) {
    wrong.push(`${layout.group} is "${content}"; it must be the picture that "${given}" was made of.`);
  }
  if (preset.describe !== undefined && named === undefined && given !== "") {
    wrong.push(`"${given}" is no file name in the manner of ${preset.dataset}.`);
  }

  const { column, parts } = layout.split ?? {};
  const part = column === undefined ? undefined : parts![cells[column]!];
  if (column !== undefined && part === undefined) {
    wrong.push(`${column} is "${cells[column]}"; it must be one of ${Object.keys(parts!).join(", ")}.`);
  }

  const group = named ?? content;
  const std = layout.variance === undefined ? value : Math.sqrt(value!);
  return {
    label: {
      file,
      line,
      picture,
      mos,
      ...(std !== undefined && { std }),
      ...(group !== undefined && { group }),
      ...(type !== undefined && { type }),
      ...(level !== undefined && { level }),
      ...(part !== undefined && { part }),
    },
    wrong,
  };
}

/** NaN for what is no decimal number, an empty cell among it. */
function numberIn(cell: string): number {
  return /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(cell) ? Number(cell) : Number.NaN;
}
