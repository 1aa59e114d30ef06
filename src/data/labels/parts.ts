/**
 * Labels in three parts by content: as the data set's authors divided them, else by the seeded split of rows.
 *
 * @module
 */
import { DataError } from "../../errors.js";
import { splitRowsInThree } from "../split.js";
import type { SplitPart } from "./preset.js";
import type { Label } from "./read-labels.js";

export const SPLIT_PARTS: readonly SplitPart[] = ["train", "val", "test"];

export interface LabelParts {
  /** "official", or "seeded". */
  readonly kind: "official" | "seeded";
  readonly parts: Readonly<Record<SplitPart, readonly Label[]>>;
}

export interface SplitLabelsOptions {
  readonly dataset: string;
  readonly seed: number;
  /** "official" is an error where the labels have none; "auto" takes it where there is one. */
  readonly split: "auto" | "official" | "seeded";
}

/**
 * Seeded: 6 : 2 : 2 by content, whatever the order of the labels; each part keeps their order.
 *
 * @throws DataError DATA_NO_OFFICIAL_SPLIT, DATA_GROUP_IN_TWO_PARTS, DATA_SPLIT_IMPOSSIBLE
 */
export function splitLabels(labels: readonly Label[], { dataset, seed, split }: SplitLabelsOptions): LabelParts {
  const divided = labels.length > 0 && labels.every(({ part }) => part !== undefined);
  if (split === "official" && !divided) {
    throw new DataError(
      "DATA_NO_OFFICIAL_SPLIT",
      `The labels of ${dataset} do not say which part each picture is in. Give the file that does, or take --split seeded.`,
    );
  }
  if (split === "seeded" || !divided) {
    const rows = labels.map((label) => ({
      label,
      id: label.picture,
      dataset,
      images: [label.picture],
      source: { file: 0, line: label.line },
      ...(label.group !== undefined && { group: label.group }),
    }));
    const { train, validation, test } = splitRowsInThree(rows, { seed });
    const [first, second, third] = [train, validation, test].map((part) => part.map(({ label }) => label));
    return { kind: "seeded", parts: { train: first!, val: second!, test: third! } };
  }
  refuseSharedGroups(labels, dataset);
  const partOf = (wanted: SplitPart): Label[] => labels.filter(({ part }) => part === wanted);
  return { kind: "official", parts: { train: partOf("train"), val: partOf("val"), test: partOf("test") } };
}

function refuseSharedGroups(labels: readonly Label[], dataset: string): void {
  const partOf = new Map<string, SplitPart>();
  for (const { group, part } of labels) {
    if (group === undefined) continue;
    const other = partOf.get(group);
    if (other === undefined) partOf.set(group, part!);
    else if (other !== part) {
      throw new DataError(
        "DATA_GROUP_IN_TWO_PARTS",
        `The official split of ${dataset} has pictures of "${group}" in ${other} and in ${part}. Take --split seeded, which keeps them together.`,
        { fields: { group } },
      );
    }
  }
}
