/**
 * A row of a label file as the score of a picture, or all that is wrong with it.
 *
 * @module
 */
import { parse } from "node:path";
import type { DataProblem } from "../problems.js";
import type { LabelLayout, LabelPreset, LabelRange, SplitColumn, SplitPart } from "./preset.js";
import type { Table, TableRow } from "./table.js";

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

export interface RowReading {
  readonly table: Table;
  readonly layout: LabelLayout;
  readonly preset: LabelPreset;
  readonly range: LabelRange | null;
}

export type ReadRow = { readonly label: Label } | { readonly problems: readonly DataProblem[] };

export function readRow({ line, cells }: TableRow, { table, layout, preset, range }: RowReading): ReadRow {
  const problems: DataProblem[] = [];
  const fileOf = (column: string): string => table.fileOf?.[column] ?? table.file;
  const report = (column: string, message: string): void => {
    problems.push({ code: "DATA_LABEL", file: fileOf(column), line, message });
  };

  const given = cells[layout.picture]!;
  const picture = layout.nameOf === undefined ? given : layout.nameOf(cells);
  if (given === "") report(layout.picture, `${layout.picture} is empty; it must be a picture's file name.`);
  else if (picture === undefined) {
    const shown = [layout.picture, ...(layout.named ?? [])].map((column) => `${column} "${cells[column]}"`);
    report(layout.picture, `${shown.join(", ")} is no picture of ${preset.dataset}.`);
  }

  const mos = numberIn(cells[layout.mos]!);
  const shown = `${layout.mos} is "${cells[layout.mos]}"`;
  if (!Number.isFinite(mos)) report(layout.mos, `${shown}; it must be a finite number.`);
  else if (range !== null && (mos < range.min || mos > range.max)) {
    report(layout.mos, `${shown}; scores of ${preset.dataset} go from ${range.min} to ${range.max}.`);
  }

  const { std: spread, deviation = (cell: number): number => cell } = layout;
  const value = spread === undefined ? undefined : numberIn(cells[spread]!);
  if (value !== undefined && !(value >= 0 && Number.isFinite(value))) {
    report(spread!, `${spread} is "${cells[spread!]}"; it must be a number, at least 0.`);
  }

  const { group: named, type, level } = preset.describe?.(parse(picture ?? "").base) ?? {};
  const content = layout.group === undefined ? undefined : cells[layout.group]!;
  if (content === "") report(layout.group!, `${layout.group} is empty; it must say which content the picture shows.`);
  if (named !== undefined && content !== undefined && parse(content).name.toLowerCase() !== named.toLowerCase()) {
    report(layout.group!, `${layout.group} is "${content}"; it must be the picture that "${given}" was made of.`);
  }
  if (preset.describe !== undefined && named === undefined && given !== "" && picture !== undefined) {
    report(layout.picture, `"${given}" is no file name in the manner of ${preset.dataset}.`);
  }

  const part = layout.split === undefined ? undefined : partIn(cells, layout.split);
  if (layout.split !== undefined && part === undefined) report(layout.split.column, noPart(cells, layout.split));

  if (problems.length > 0) return { problems };
  const group = named ?? content;
  return {
    label: {
      file: fileOf(layout.mos),
      line,
      picture: picture!,
      mos,
      ...(value !== undefined && { std: deviation(value) }),
      ...(group !== undefined && { group }),
      ...(type !== undefined && { type }),
      ...(level !== undefined && { level }),
      ...(part !== undefined && { part }),
    },
  };
}

/** Undefined for a value that is not known. */
export function partIn(cells: TableRow["cells"], { column, parts }: SplitColumn): SplitPart | undefined {
  return parts[cells[column]!.toLowerCase()];
}

export function noPart(cells: TableRow["cells"], { column, parts }: SplitColumn): string {
  return `${column} is "${cells[column]}"; it must be one of ${Object.keys(parts).join(", ")}.`;
}

/** NaN for what is no decimal number, an empty cell among it. */
export function numberIn(cell: string): number {
  return /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(cell) ? Number(cell) : Number.NaN;
}
