/**
 * What a set of degraded photographs says about itself.
 *
 * @module
 */
import type { DegradedReference, DegradedSetOptions } from "./degraded-set.js";

export interface CardOptions extends Pick<DegradedSetOptions, "seed" | "raters" | "longestSide"> {
  readonly references: readonly DegradedReference[];
  readonly pictures: number;
}

/** Markdown for the set's README.md. */
export function degradedSetCard({ seed, raters, longestSide, references, pictures }: CardOptions): string {
  const skipped = references.filter((one) => one.skipped.length > 0);
  const scores =
    raters === undefined
      ? "Every picture of a type and level has KADID-10k's mean opinion of that type and level (`dmos`) and the standard deviation of its single opinions (`var`, which KADID-10k's own list calls so)."
      : `The opinions of ${raters} raters were simulated: drawn around KADID-10k's mean opinion of the type and level, with the spread of its single opinions, and rounded to 1 to 5. \`dmos\` is their mean and \`var\` their standard deviation, which KADID-10k's own list calls so.`;
  return [
    "# Degraded photographs with transferred scores",
    "",
    "**Nobody judged these pictures.** The scores are transferred: people gave them to other pictures, those of KADID-10k, that were degraded in the same ways. They do for trying out a training, not for judging a metric or a model.",
    "",
    `${scores} The column is called dmos as in KADID-10k, and higher is better: 1 is bad, 5 is excellent.`,
    "",
    `${pictures} pictures of ${references.length} photographs, made by \`thurstone distort\` with seed ${seed}${longestSide === undefined ? "" : `, photographs reduced to ${longestSide} pixels on the longer side`}. \`I01_02_03.png\` is photograph I01, distortion type 02, level 3 (5 is the strongest). The pictures are under the licences of their photographs.`,
    "",
    "Types, amounts and scores: H. Lin, V. Hosu, D. Saupe, KADID-10k: A Large-scale Artificially Distorted IQA Database, QoMEX 2019. The distortions are thurstone's own and resemble KADID-10k's.",
    "",
    ...(skipped.length === 0
      ? []
      : [
          `Left out, because these photographs have no colours to change: ${skipped.map(({ reference, skipped: types }) => `${reference} types ${types.join(", ")}`).join("; ")}.`,
          "",
        ]),
    "| reference | photograph |",
    "| --- | --- |",
    ...references.map(({ reference, photo }) => `| ${reference}.png | ${photo.replaceAll("|", "\\|")} |`),
    "",
  ].join("\n");
}
