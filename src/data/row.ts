/**
 * One row of a data file, as the rest of the program sees it, whatever format it was read from.
 *
 * @module
 */

/** A piece of a message. An image part stands for the row's next picture, in order. */
export type ContentPart = { readonly type: "text"; readonly text: string } | { readonly type: "image" };

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string | readonly ContentPart[];
}

export interface Row {
  /** Unique within its file. */
  readonly id: string;
  /** Name of the data set; rewards that compare pictures compare within one data set only. */
  readonly dataset: string;
  /** Absolute paths of the row's pictures; may be empty. */
  readonly images: readonly string[];
  /** What the data file asks, before any question template. */
  readonly messages: readonly Message[];
  /** Mean opinion score on the data set's own scale, higher is better. */
  readonly mos?: number;
  /** Standard deviation of the opinions. */
  readonly mosStd?: number;
  /** Rows that show the same content share it; splits keep it together. */
  readonly group?: string;
  /** Distortion type and level, where the data set knows them. */
  readonly type?: string;
  readonly level?: number;
  /** Where the row was read: index of the file among the data files, and its 1-based line. Part of every random draw. */
  readonly source: { readonly file: number; readonly line: number };
  /** Fields of the data file this program does not know, kept for custom rewards. */
  readonly extra: Readonly<Record<string, unknown>>;
}
