/**
 * The record that a prepared data file begins with: where its rows come from and what was done to their scores.
 *
 * @module
 */
import type { Normalisation } from "./labels/normalise.js";
import type { LabelPreset, LabelRange, SplitPart } from "./labels/preset.js";

export interface DataHeader {
  readonly dataset_name: string;
  readonly part: SplitPart;
  /** Of the values of "gpt". */
  readonly scale: LabelRange & { readonly better: "higher" };
  readonly normalisation: {
    readonly by: Normalisation;
    /** Of the original scores; its bad end became 1 and its good end 5. */
    readonly range: LabelRange;
    readonly better: LabelPreset["better"];
  };
  readonly split: { readonly kind: "official" | "seeded"; readonly seed: number | null };
  readonly source: string;
  /** Null: look at the source. */
  readonly licence: string | null;
  readonly counts: {
    readonly rows: number;
    /** Different contents; pictures without a group are one each. */
    readonly groups: number;
  };
  readonly digests: {
    /** SHA-256 of the label files, by name. */
    readonly labels: Readonly<Record<string, string>>;
    /** SHA-256 of the lines below the header. */
    readonly rows: string;
  };
}

/** The line, without its end. */
export function formatHeader(header: DataHeader): string {
  return JSON.stringify({ header });
}

/** Whether a parsed line of a data file is such a record; only the first one may be. */
export function isHeader(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.keys(value).length === 1 &&
    "header" in value &&
    typeof value.header === "object" &&
    value.header !== null
  );
}
