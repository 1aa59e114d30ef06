/**
 * Configuration keys of the section "Data": files, pictures, prompts, and what is held out for evaluation.
 *
 * @module
 */
import { z } from "zod";

/** One path, several joined by ":", or a list. */
const paths = z.union([z.string().min(1), z.array(z.string().min(1))]).transform(
  // The reference's flags join paths by ":"; entries of a list are taken as they are.
  (value): string[] => (typeof value === "string" ? value.split(":") : value),
);

const estimator = z.enum(["sampled", "greedy", "expected"]);

/** Names of the built-in question templates. */
const TEMPLATES: readonly string[] = ["scoring", "scoring_non_thinking", "scoring_distortion"];

export const dataKeys = {
  data_file_paths: paths
    .prefault([])
    .describe(
      "JSONL files, or KADID-10k's dmos.csv, to train on: a list, or one string with ':' between paths. Relative to the current directory.",
    ),
  image_folders: paths
    .prefault([])
    .describe(
      "Folders of the pictures: one per data file, or one for all; as `data_file_paths`. None: each data file's own folder (KADID-10k: images in it).",
    ),
  dataset_name: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Name of the data set: rows that carry a name must carry this one, rows without get it. null: as the rows say.",
    ),
  question_template: z
    .string()
    .refine((value) => TEMPLATES.includes(value) || value.includes("{Question}"), {
      error: 'must be "scoring", "scoring_non_thinking", "scoring_distortion" or a text that contains {Question}',
    })
    .default("scoring")
    .describe(
      "How a row's question is put to the model: scoring, scoring_non_thinking, scoring_distortion (asks for the distortion as well, for the reward of that name), or an own text that contains {Question}.",
    ),
  max_prompt_length: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Tokens of the longest prompt allowed, pictures included. A longer one is an error, never cut. null: the model's own limit.",
    ),
  min_pixels: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe("Pixels a picture is enlarged to at least. null: as the checkpoint says."),
  max_pixels: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe("Pixels a picture is reduced to at most. null: as the checkpoint says."),
  val_split_ratio: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe("Share of the rows held out for evaluation; rows of one group stay together. 0: none."),
  eval_data_file_paths: paths
    .prefault([])
    .describe("JSONL files to evaluate on, instead of `val_split_ratio`; as `data_file_paths`."),
  eval_image_folders: paths
    .prefault([])
    .describe("Folders of the pictures of `eval_data_file_paths`; as `image_folders`."),
  eval_steps: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Optimizer steps between evaluations. null: before the first and after the last step only. Needs held-out rows.",
    ),
  eval_estimators: z
    .union([estimator, z.array(estimator).min(1)])
    .nullable()
    .transform((value): ("sampled" | "greedy" | "expected")[] | null => (value === null ? null : [value].flat()))
    .prefault(null)
    .describe(
      "How held-out pictures are scored, each reported by itself: sampled (mean of `eval_samples` answers), greedy, expected (mean of the model's distribution over 1.00 to 5.99). null: greedy, or sampled where `eval_samples` is more than 1.",
    ),
  eval_samples: z.int().min(1).default(1).describe("Answers per held-out picture of the estimator sampled."),
  eval_expected_after: z
    .enum(["thinking", "prefix"])
    .nullable()
    .default(null)
    .describe(
      "Where the estimator expected reads: behind the model's own greedy thinking, or behind a forced answer tag (prefix). null: thinking where the question asks for it.",
    ),
  eval_bootstrap: z
    .int()
    .min(1)
    .default(1000)
    .describe("Resamples of the 95 % intervals of an evaluation; groups of rows are drawn as a whole."),
};
