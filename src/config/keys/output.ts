/**
 * Configuration keys of the section "Saving and logging": the run folder, checkpoints, and what is written down.
 *
 * @module
 */
import { z } from "zod";

export const outputKeys = {
  output_dir: z.string().min(1).default("output/run").describe("The run folder. Relative to the current directory."),
  run_name: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("Name shown for the run. null: the last part of `output_dir`."),
  overwrite_output_dir: z.boolean().default(false).describe("Replace an existing run folder instead of refusing it."),
  resume_from_checkpoint: z
    .union([z.string().min(1), z.boolean()])
    .nullable()
    .transform((value): string | null => (value === true ? "latest" : value === false ? null : value))
    .prefault(null)
    .describe(
      'Checkpoint folder to go on from. true or "latest": the newest complete one of `output_dir`. "auto": the same where there is one, else start, and begin again what was interrupted before its first checkpoint. null or false: start anew.',
    ),
  save_steps: z
    .int()
    .min(1)
    .default(50)
    .describe(
      "Optimizer steps between checkpoints. One is taken at the end of the rollout batch in which a multiple falls, and after the last step.",
    ),
  save_total_limit: z.int().min(1).nullable().default(null).describe("Newest checkpoints to keep. null: all."),
  load_best_model_at_end: z
    .boolean()
    .default(false)
    .describe(
      "The folder `model` is the checkpoint with the highest SRCC on held-out pictures (the lowest loss where they have no MOS), and `save_total_limit` keeps that checkpoint besides the newest. Needs `eval_steps`; a step counts where it was evaluated and saved.",
    ),
  save_only_model: z
    .boolean()
    .default(false)
    .describe("Save the Hugging Face model only: smaller, but a run cannot be resumed from it."),
  async_save: z
    .boolean()
    .nullable()
    .default(null)
    .describe(
      "Write checkpoints while training goes on, from a copy of weights and optimizer in the machine's memory (12 bytes per trained parameter, all ranks together). A checkpoint counts once all of it is on the disk. null: where the model is on CUDA; on a CPU the copy takes from the memory that training needs, and the writing from its cores.",
    ),
  termination_grace: z
    .number()
    .positive()
    .default(30)
    .describe(
      "Seconds that the command has after SIGTERM, as schedulers send it: a step that is not over in half of them is given up, the state before it is saved, and nothing is exported.",
    ),
  logging_steps: z.int().min(1).default(1).describe("Optimizer steps between lines of metrics."),
  log_completions: z.boolean().default(true).describe("Write every completion with its rewards to `rollouts/`."),
  report_to: z
    .union([z.enum(["none", "tensorboard"]), z.array(z.enum(["none", "tensorboard"]))])
    .transform((value): "tensorboard"[] => [value].flat().filter((entry) => entry !== "none"))
    .prefault([])
    .describe("Where metrics go besides the run folder's own files: none or tensorboard."),
  seed: z.int().min(0).default(42).describe("Seed of every random draw: sampling, data order, splits."),
  data_seed: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe("Seed of the order and the split of the data. null: as `seed`."),
};
