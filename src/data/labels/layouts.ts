/**
 * Lists in the form of VisualQuality-R1's `datasets/make_data.py`: "ref dist mos std" and parts of it, white space between,
 * with scores on the set's own scale.
 *
 * @module
 */
import type { LabelLayout } from "./preset.js";

const MADE = { format: "spaces", picture: "dist", mos: "mos" } as const;

/** Of sets with references, and of sets without. */
export const REF_DIST_MOS_STD: LabelLayout = {
  ...MADE,
  columns: ["ref", "dist", "mos", "std"],
  group: "ref",
  std: "std",
};
export const REF_DIST_MOS: LabelLayout = { ...MADE, columns: ["ref", "dist", "mos"], group: "ref" };
export const DIST_MOS_STD: LabelLayout = { ...MADE, columns: ["dist", "mos", "std"], std: "std" };
export const DIST_MOS: LabelLayout = { ...MADE, columns: ["dist", "mos"] };
