/**
 * What the keys of the section "Saving and logging" must have in common.
 *
 * @module
 */
import { conflict } from "./check.js";
import type { Check } from "./check.js";

export const outputChecks: readonly Check[] = [
  {
    keys: ["overwrite_output_dir", "resume_from_checkpoint"],
    find: ({ overwrite_output_dir, resume_from_checkpoint }) =>
      overwrite_output_dir && resume_from_checkpoint !== null
        ? conflict(
            "overwrite_output_dir would delete the run that resume_from_checkpoint goes on with. Set one of them.",
          )
        : null,
  },
  {
    keys: ["save_only_model", "resume_from_checkpoint"],
    find: ({ save_only_model, resume_from_checkpoint }) =>
      save_only_model && resume_from_checkpoint === "auto"
        ? conflict(
            "save_only_model leaves no checkpoint that resume_from_checkpoint (--requeue) could go on from. Set one of them.",
          )
        : null,
  },
];
