/**
 * One label file: in which of its data set's forms it is, and what stands in it.
 *
 * @module
 */
import type { DataProblem } from "../problems.js";
import type { LabelLayout, LabelPreset, LabelRange, PartList, SplitPart } from "./preset.js";
import { noPart, numberIn, partIn, readRow, type Label } from "./read-row.js";
import { openTable, type Table } from "./table.js";

/** Where a list of parts has a picture. */
export interface ListedPart {
  readonly part: SplitPart;
  /** Of two lists with one picture the one of higher rank is right. */
  readonly rank: number;
  readonly file: string;
  readonly line: number;
}

/** Either scores, or parts, or deviations. */
export interface ReadFile {
  readonly file: string;
  readonly labels: readonly Label[];
  /** By picture. */
  readonly parts?: ReadonlyMap<string, ListedPart>;
  /** In the order of the file. */
  readonly deviations?: readonly number[];
  readonly problems: readonly DataProblem[];
  readonly range: LabelRange | null;
  /** Pictures that are no part of the set. */
  readonly leftOut: readonly { readonly picture: string; readonly why: string }[];
}

/** Codes of what makes rows of a table wrong in one form, though they may be right in another. */
const OF_ROWS = ["DATA_TABLE_ROW", "DATA_NOT_JSON"];

/** @param files one, or several MATLAB files that are one table */
export async function readLabelFile(files: readonly string[], preset: LabelPreset): Promise<ReadFile> {
  const [file] = files as readonly [string];
  const open = openTable(files);
  const tables: Table[] = [];
  for (const layout of preset.layouts) {
    const table = await open({ ...layout, wanted: neededBy(layout) });
    if (fits(table, layout)) return readScores(table, layout, preset);
    tables.push(table);
  }
  for (const [rank, list] of (preset.partLists ?? []).entries()) {
    const table = await open({ format: list.format, wanted: columnsOf(list) });
    if (columnsOf(list).every((column) => table.columns.includes(column))) return readParts(table, list, rank);
  }
  if (preset.deviations !== undefined) {
    const table = await open({ format: preset.deviations, columns: [DEVIATION] });
    if (table.rows.some(({ cells }) => numberIn(cells[DEVIATION]!) >= 0)) return readDeviations(table);
  }
  const nothing = { file, labels: [], range: preset.range, leftOut: [] };
  const [first] = tables as [Table];
  // A file that cannot be read, or has no rows, is so in every form.
  const unreadable = first.problems.filter(
    ({ code, message }) =>
      !OF_ROWS.includes(code) && tables.every(({ problems }) => problems.some((other) => other.message === message)),
  );
  if (unreadable.length > 0) return { ...nothing, problems: unreadable };
  const forms = preset.layouts.map((layout) => `${layout.format} with ${neededBy(layout).join(", ")}`);
  const message = `is in none of the forms of ${preset.dataset}: ${forms.join("; or ")}.`;
  return { ...nothing, problems: [{ code: "DATA_LABEL_COLUMNS", file, line: null, message }] };
}

/** Whether a file read in this form makes sense: it has the columns, and one row at least has a score. */
function fits(table: Table, layout: LabelLayout): boolean {
  const present = neededBy(layout).every((column) => table.columns.includes(column));
  return present && table.rows.some(({ cells }) => Number.isFinite(numberIn(cells[layout.mos]!)));
}

function neededBy({ columns, picture, named = [], mos, std, group, split, leaveOut }: LabelLayout): string[] {
  if (columns !== undefined) return [...columns];
  const all = [picture, ...named, mos, std, group, split?.column, leaveOut?.column];
  return all.filter((column) => column !== undefined);
}

function columnsOf({ picture, part }: PartList): string[] {
  return typeof part === "string" ? [picture] : [picture, part.column];
}

function readScores(table: Table, layout: LabelLayout, preset: LabelPreset): ReadFile {
  const range = layout.range === undefined ? preset.range : layout.range;
  const labels: Label[] = [];
  const problems: DataProblem[] = [...table.problems];
  const leftOut: { picture: string; why: string }[] = [];
  for (const row of table.rows) {
    const { leaveOut } = layout;
    if (leaveOut !== undefined && row.cells[leaveOut.column] === leaveOut.value) {
      const picture = layout.nameOf?.(row.cells) ?? row.cells[layout.picture]!;
      leftOut.push({ picture, why: leaveOut.why });
      continue;
    }
    const read = readRow(row, { table, layout, preset, range });
    if ("label" in read) labels.push(read.label);
    else problems.push(...read.problems);
  }
  const { file } = table;
  return { file, labels, problems: problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0)), range, leftOut };
}

function readParts(table: Table, { picture: column, part: told }: PartList, rank: number): ReadFile {
  const { file } = table;
  const parts = new Map<string, ListedPart>();
  const problems: DataProblem[] = [...table.problems];
  for (const { line, cells } of table.rows) {
    const picture = cells[column]!;
    const part = typeof told === "string" ? told : partIn(cells, told);
    const report = (message: string): void => void problems.push({ code: "DATA_LABEL", file, line, message });
    if (picture === "") report(`${column} is empty; it must be a picture's file name.`);
    else if (part === undefined) report(noPart(cells, told as Exclude<PartList["part"], string>));
    else parts.set(picture, { part, rank, file, line });
  }
  return { file, labels: [], parts, problems, range: null, leftOut: [] };
}

/** The only column of a file of deviations. */
const DEVIATION = "deviation";

function readDeviations({ file, rows, problems }: Table): ReadFile {
  const wrong = rows.filter(({ cells }) => !(numberIn(cells[DEVIATION]!) >= 0));
  return {
    file,
    labels: [],
    deviations: rows.map(({ cells }) => numberIn(cells[DEVIATION]!)),
    problems: [
      ...problems,
      ...wrong.map(({ line, cells }) => ({
        code: "DATA_LABEL",
        file,
        line,
        message: `the deviation is "${cells[DEVIATION]}"; it must be a number, at least 0.`,
      })),
    ],
    range: null,
    leftOut: [],
  };
}
