/**
 * What is known of a data set's label files, as a record: columns, direction, range, groups, official split, source.
 *
 * @module
 */
import type { TableFormat } from "./table.js";

export type SplitPart = "train" | "val" | "test";

/** One of the forms in which a data set's labels come. */
export interface LabelLayout {
  readonly format: TableFormat;
  /** Names for the columns of a file without a header; undefined: the first line has them. */
  readonly columns?: readonly string[];
  /** Rows above the first picture that `columns` takes the place of. Default 0. */
  readonly skip?: number;
  /** Column of the picture's file name. */
  readonly picture: string;
  /** Column of the score. */
  readonly mos: string;
  /** Column of the standard deviation of opinions, or of their variance. */
  readonly std?: string;
  readonly variance?: string;
  /** Column whose values tell contents apart; what the preset's `describe` makes of the picture's name goes first. */
  readonly group?: string;
  /** The official split: a column, and what its values mean. */
  readonly split?: { readonly column: string; readonly parts: Readonly<Record<string, SplitPart>> };
  /** Scores of this form where they are on another scale than the preset's. */
  readonly range?: LabelRange;
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
  /** "lower": the labels say how bad a picture is, and are turned round. */
  readonly better: "higher" | "lower";
  /** Nominal range of the labels; null: only known of the labels themselves. */
  readonly range: LabelRange | null;
  /** Content, type and level from the picture's name. */
  readonly describe?: (picture: string) => NamedPicture;
  /** Pictures that are no part of the set though they stand in its list. */
  readonly leaveOut?: { readonly matches: RegExp; readonly why: string };
  /** File name of a picture the list calls by something else. */
  readonly fileName?: (cell: string) => string;
  /** Rows of the whole list after `leaveOut`; null where it depends on the file. */
  readonly rows: number | null;
  /** Where the data set is described. */
  readonly source: string;
  /** As far as it is known here. */
  readonly licence: string | null;
}
