/**
 * What is known of a data set's label files, as a record: columns, direction, range, groups, official split, source.
 *
 * @module
 */
import type { TableFormat } from "./table.js";

export type SplitPart = "train" | "val" | "test";

/** The official split: a column, and what its values mean, whatever their letter case. */
export interface SplitColumn {
  readonly column: string;
  /** Keys in lower case. */
  readonly parts: Readonly<Record<string, SplitPart>>;
}

/** One of the forms in which a data set's labels come. */
export interface LabelLayout {
  /** Of text; a sheet or parquet file with these columns is read as well. "mat" is one of MATLAB files only. */
  readonly format: TableFormat;
  /** Names for the columns of a file without a header; undefined: the header has them. */
  readonly columns?: readonly string[];
  /** Rows above the first picture that `columns` takes the place of. Default 0. */
  readonly skip?: number;
  /** Of a spreadsheet. Default: the first. */
  readonly sheet?: string;
  /** Column of the picture's file name. */
  readonly picture: string;
  /** File name of a picture that its row tells otherwise; undefined: the row names none. Default: the cell of `picture`. */
  readonly nameOf?: (cells: Readonly<Record<string, string>>) => string | undefined;
  /** Columns that `nameOf` needs besides. */
  readonly named?: readonly string[];
  /** Column of the score. */
  readonly mos: string;
  /** Column of the standard deviation of opinions. */
  readonly std?: string;
  /** Standard deviation from what the column of that name holds. Default: it holds that. */
  readonly deviation?: (cell: number) => number;
  /** Column whose values tell contents apart; what the preset's `describe` makes of the picture's name goes first. */
  readonly group?: string;
  readonly split?: SplitColumn;
  /** Scores of this form where they are on another scale than the preset's; null: on one that is not known. */
  readonly range?: LabelRange | null;
  /** Rows that are no part of the set. */
  readonly leaveOut?: { readonly column: string; readonly value: string; readonly why: string };
}

/** A file without scores: which part of the official split pictures are in. */
export interface PartList {
  readonly format: TableFormat;
  /** Column of the picture's file name. */
  readonly picture: string;
  /** One part for all pictures, or a column for each. */
  readonly part: SplitPart | SplitColumn;
}

export interface LabelRange {
  readonly min: number;
  readonly max: number;
}

/** What a picture's name says about it. */
export interface NamedPicture {
  /** Content; undefined: each picture has its own. */
  readonly group?: string;
  readonly type?: string;
  readonly level?: number;
}

export interface LabelPreset {
  /** As `--preset` takes it. */
  readonly name: string;
  /** Name of the data set in rows. */
  readonly dataset: string;
  /** Tried in order: the first whose columns the file has. */
  readonly layouts: readonly LabelLayout[];
  /** Tried in order, and first: of two lists with a picture in both the one that is tried last is right. */
  readonly partLists?: readonly PartList[];
  /** Format of a file with the deviations of opinions alone, in the order of the scores. */
  readonly deviations?: TableFormat;
  /** "lower": the labels say how bad a picture is, and are turned round. */
  readonly better: "higher" | "lower";
  /** Nominal range of the labels; null: only known of the labels themselves. */
  readonly range: LabelRange | null;
  /** Content, type and level from the picture's name. */
  readonly describe?: (picture: string) => NamedPicture;
  /** Pictures that are no part of the set though they stand in its list. */
  readonly leaveOut?: { readonly matches: RegExp; readonly why: string };
  /** Rows of the whole list after what is left out; null where it depends on the file. */
  readonly rows: number | null;
  /** Contents of the whole list; null where it is not known. */
  readonly groups: number | null;
  /** The files, in words. */
  readonly files: string;
  /** What tells contents apart, and the official split if there is one, in words. */
  readonly contents: string;
  /** Where the data set is described. */
  readonly source: string;
  /** As far as it could be looked up. */
  readonly licence: string | null;
}
