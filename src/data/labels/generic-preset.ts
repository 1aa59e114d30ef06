/**
 * A preset for a list that is nobody else's: columns, range and direction are given.
 *
 * @module
 */
import type { LabelPreset, LabelRange } from "./preset.js";
import type { TableFormat } from "./table.js";

export interface GenericListOptions {
  /** Name of the data set. */
  readonly dataset: string;
  readonly format: TableFormat;
  /** Of a file without a header. */
  readonly columns?: readonly string[];
  /** Of a spreadsheet. Default: the first. */
  readonly sheet?: string;
  readonly picture: string;
  readonly mos: string;
  readonly std?: string;
  readonly group?: string;
  /** Column of the part each picture is in: train, val or test. */
  readonly split?: string;
  /** Default "higher". */
  readonly better?: LabelPreset["better"];
  /** Nominal range. Default: not known, so scores go by the training part. */
  readonly range?: LabelRange;
}

export function genericPreset(options: GenericListOptions): LabelPreset {
  const { dataset, better = "higher", range = null, split, ...layout } = options;
  const parts = { train: "train", training: "train", val: "val", validation: "val", test: "test" } as const;
  return {
    name: dataset,
    dataset,
    layouts: [{ ...layout, ...(split !== undefined && { split: { column: split, parts } }) }],
    better,
    range,
    rows: null,
    groups: null,
    files: "",
    contents: "",
    source: "a list of the user's own",
    licence: null,
  };
}
