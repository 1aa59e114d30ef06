/**
 * Configuration keys of the section "Order of the data": which rows a batch takes, and which batch comes when.
 *
 * @module
 */
import { z } from "zod";

export const orderKeys = {
  shuffle_dataset: z
    .boolean()
    .default(true)
    .describe("Draw a new order of the rows for every pass. false: as they stand in the files, pass after pass."),
  dataloader_drop_last: z
    .boolean()
    .default(false)
    .describe(
      "Leave out, in every pass, the rows that fill no batch of `prompts_per_step`, other ones each time. false: they begin " +
        "the first batch of the next pass.",
    ),
  dataset_weights: z
    .union([z.enum(["proportional", "uniform"]), z.record(z.string().min(1), z.number().positive())])
    .default("proportional")
    .describe(
      "How much each data set gives to an epoch, which draws as many rows as there are: proportional (its own rows, each " +
        "once), uniform (all sets the same), or a number for each data set by name, of any sum.",
    ),
  batch_datasets: z
    .enum(["one", "mixed"])
    .nullable()
    .default(null)
    .describe(
      "Whether a batch holds rows of one data set, which rewards that compare pictures can use in full, or of all. " +
        "null: one; mixed in `sft`, which compares nothing.",
    ),
  batch_groups: z
    .enum(["any", "one", "together", "apart"])
    .default("any")
    .describe(
      "How rows of a group (the same content) come into batches: any (by chance), one (a batch holds rows of one group " +
        "only), together (a batch holds whole groups), apart (no two rows of a group in a batch). A row without a group is " +
        "a group of its own.",
    ),
  curriculum_key: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Field of the data file, a number in every row, that each pass is sorted by: mos, mos_std, level or one of your own. " +
        "null: none. In TypeScript a function may take its place.",
    ),
  curriculum_order: z
    .enum(["ascending", "descending"])
    .default("ascending")
    .describe("Whether the smallest or the largest values of the curriculum come first."),
  curriculum_mix: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      "How far rows stray from their place in the curriculum: 0 not at all, 1 anywhere. The order is by the mean of place " +
        "by value and place in the shuffle, with this weight for the latter.",
    ),
  dataset_streaming: z
    .boolean()
    .default(false)
    .describe(
      "For JSONL files larger than memory: keep an index of the lines, and read and check a row again, with its pictures, " +
        "when its batch is due. The batches are the same. Held-out rows must come from `eval_data_file_paths`.",
    ),
};
