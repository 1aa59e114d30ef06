/**
 * Contradictions between keys: both sides are named, and both numbers.
 *
 * @module
 */
import { expect, it } from "vitest";
import { said } from "./said.js";

it.each<[string, object, string]>([
  [
    "bfloat16 weights alone",
    { torch_dtype: "bfloat16" },
    'CONFIG_CONFLICT: torch_dtype is "bfloat16" and bf16 is false: weights kept in bfloat16 alone lose small updates. Set bf16 to true (bfloat16 computation over float32 weights), or torch_dtype to float32.',
  ],
  [
    "pixel limits the wrong way round",
    { min_pixels: 100, max_pixels: 50 },
    "CONFIG_CONFLICT: max_pixels is 50, which is less than min_pixels, 100.",
  ],
  [
    "neither one folder nor one per file",
    { data_file_paths: "a:b:c", image_folders: "x:y" },
    "CONFIG_LENGTH_MISMATCH: image_folders has 2 folders and data_file_paths has 3 files. Give one folder per file, or one for all.",
  ],
  [
    "mixed batches of one group",
    { batch_datasets: "mixed", batch_groups: "one" },
    'CONFIG_CONFLICT: batch_datasets is "mixed" and batch_groups is "one": a group lies in one data set, so its batches cannot be mixed. Set batch_datasets to "one".',
  ],
  [
    "a curriculum mixed with no shuffle",
    { curriculum_key: "hard", curriculum_mix: 0.5, shuffle_dataset: false },
    "CONFIG_CONFLICT: curriculum_mix is 0.5 and shuffle_dataset is false: there is no shuffle to mix with. Remove one of them.",
  ],
  [
    "held-out rows of a file that is not kept",
    { dataset_streaming: true, val_split_ratio: 0.2 },
    "CONFIG_CONFLICT: dataset_streaming is true and val_split_ratio is 0.2: rows that are held out are kept in memory. Write them to a file of their own (eval_data_file_paths), or read all rows at once.",
  ],
  [
    "folders for no evaluation files",
    { eval_image_folders: "x" },
    "CONFIG_CONFLICT: eval_image_folders is set and eval_data_file_paths is not: there is nothing to look up in them.",
  ],
  [
    "two ways to hold rows out",
    { val_split_ratio: 0.1, eval_data_file_paths: "x" },
    "CONFIG_CONFLICT: val_split_ratio is 0.1 and eval_data_file_paths is set too. Choose one of them.",
  ],
  [
    "evaluations of nothing",
    { eval_steps: 5 },
    "CONFIG_CONFLICT: eval_steps is 5, and no rows are held out. Set val_split_ratio or eval_data_file_paths.",
  ],
  [
    "a model exported beside training",
    { async_save: true, save_only_model: true },
    "CONFIG_CONFLICT: async_save is true, and so is save_only_model: a model is exported while training waits. Set one of them to false.",
  ],
  [
    "a reward that does not exist",
    { reward_funcs: ["fidelty"] },
    'CONFIG_UNKNOWN_REWARD: reward_funcs names "fidelty", which is no built-in reward. Did you mean "fidelity"? Own rewards need a module (rewards) or a Python file (python_reward).',
  ],
  [
    "a reward under both its names",
    { reward_funcs: ["accuracy", "fidelity"] },
    'CONFIG_CONFLICT: reward_funcs counts "fidelity" twice (accuracy is fidelity).',
  ],
  [
    "too few weights",
    { reward_weights: [1] },
    "CONFIG_LENGTH_MISMATCH: reward_weights has 1 entries and reward_funcs has 2. Give one weight per reward.",
  ],
  [
    "a floor for a variance without one",
    { fidelity_variance: "sample", fidelity_variance_floor: 0.2 },
    'CONFIG_CONFLICT: fidelity_variance_floor is 0.2, and fidelity_variance is "sample", which has no floor. Use "floored".',
  ],
  [
    "parity with another way of comparing",
    { reference_parity: true, tie_band: 0.5 },
    "CONFIG_CONFLICT: reference_parity is true, which does as the reference's code does and sets tie_band to 0, and tie_band is 0.5. Remove one of them.",
  ],
  [
    "parity with the value that is the default otherwise",
    { reference_parity: true, top_k: 0 },
    "CONFIG_CONFLICT: reference_parity is true, which does as the reference's code does and sets top_k to 50, and top_k is 0. Remove one of them.",
  ],
  [
    "parity with weights of rewards, which the reference never reads",
    { reference_parity: true, reward_weights: [1, 0.5] },
    "CONFIG_CONFLICT: reference_parity is true, and reward_weights is [1,0.5]: the reference's code adds its rewards up and never reads the weights. Remove one of them.",
  ],
  [
    "parity with one picture per device, of which the reference divides 0 by 0",
    { reference_parity: true, per_device_train_batch_size: 6, gradient_accumulation_steps: 2 },
    "CONFIG_NOT_DIVISIBLE: reference_parity is true, and per_device_train_batch_size is 6 with num_generations 6: the reference compares the 1 pictures of a device with each other, which takes a whole number of at least 2. Make it 12 or another multiple of 6.",
  ],
  [
    "one picture to compare with itself",
    { prompts_per_step: 1 },
    'CONFIG_TOO_FEW_IMAGES: prompts_per_step is 1, and the fidelity reward compares pictures with each other: it needs at least 2. Raise prompts_per_step, or use a reward of scope "score".',
  ],
  [
    "one picture by way of the device's batch",
    { per_device_train_batch_size: 6 },
    'CONFIG_TOO_FEW_IMAGES: prompts_per_step is 1, and the fidelity reward compares pictures with each other: it needs at least 2. Raise prompts_per_step, or use a reward of scope "score".',
  ],
  [
    "a warm-up for nothing",
    { fidelity_warmup: "win_probability", reward_funcs: ["binary", "format"] },
    'CONFIG_CONFLICT: fidelity_warmup is "win_probability", and fidelity is not among reward_funcs, binary, format: there is nothing to warm up for. Add fidelity, or remove fidelity_warmup.',
  ],
  [
    "a warm-up of the reference's rewards",
    { fidelity_warmup: "win_probability", reference_parity: true },
    'CONFIG_CONFLICT: fidelity_warmup is "win_probability" and reference_parity is true, which computes rewards as the reference code does, and that has no warm-up. Remove one of them.',
  ],
  [
    "votes and a reward of labels",
    { preference: "majority_vote", reward_funcs: ["fidelity", "margin"] },
    'CONFIG_CONFLICT: preference is "majority_vote", which compares without opinion scores, and the reward margin compares with their differences. Leave margin out.',
  ],
  [
    "votes and a tie in points of labels",
    { preference: "majority_vote", tie_band: 0.5 },
    'CONFIG_CONFLICT: preference is "majority_vote", which compares without opinion scores, and tie_band is 0.5 of their points. Remove tie_band.',
  ],
  [
    "votes and a warm-up that waits for labels",
    { preference: "majority_vote", fidelity_warmup: "win_probability" },
    'CONFIG_CONFLICT: preference is "majority_vote", which compares without opinion scores, and fidelity_warmup ends when the scores of a rollout batch correlate with them. Remove one of them.',
  ],
  [
    "an agreement of nobody",
    { vote_agreement: 0.7 },
    'CONFIG_CONFLICT: vote_agreement is 0.7, and preference is "order", so nobody votes. Set preference to "majority_vote", or remove vote_agreement.',
  ],
  [
    "the end of no warm-up",
    { fidelity_warmup_srcc: 0.5 },
    'CONFIG_CONFLICT: fidelity_warmup_srcc is 0.5, and fidelity_warmup is not set, so nothing would end there. Set fidelity_warmup to "win_probability", or remove fidelity_warmup_srcc.',
  ],
  [
    "a warm-up on two pictures, which have no correlation",
    { fidelity_warmup: "win_probability", prompts_per_step: 2 },
    "CONFIG_TOO_FEW_IMAGES: prompts_per_step is 2, and fidelity_warmup ends when the scores of a rollout batch correlate with the labels, which takes at least 3 pictures. Raise prompts_per_step, or remove fidelity_warmup.",
  ],
  [
    "comparison sets of different size",
    { comparison_set: 8, prompts_per_step: 20 },
    "CONFIG_NOT_DIVISIBLE: comparison_set is 8, which does not divide prompts_per_step, 20.",
  ],
  [
    "passes of nothing",
    { gradient_accumulation_steps: 4 },
    "CONFIG_CONFLICT: gradient_accumulation_steps is 4, which counts passes of per_device_train_batch_size, and that is not set. Set both, or neither.",
  ],
  [
    "completions that are no multiple of the group",
    { per_device_train_batch_size: 8 },
    "CONFIG_NOT_DIVISIBLE: per_device_train_batch_size x gradient_accumulation_steps is 8 x 1 = 8 completions, no multiple of num_generations, 6. Make it 6 or 12.",
  ],
  [
    "an update smaller than a group",
    { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 },
    "CONFIG_NOT_DIVISIBLE: per_device_train_batch_size x gradient_accumulation_steps is 2 x 2 = 4 completions, no multiple of num_generations, 6. Make it 6.",
  ],
  [
    "updates that do not divide the rollout batch",
    { prompts_per_step: 8, per_device_train_batch_size: 18 },
    "CONFIG_NOT_DIVISIBLE: per_device_train_batch_size x gradient_accumulation_steps is 18 x 1 = 18 completions per update, which does not divide the rollout batch of prompts_per_step x num_generations = 8 x 6 = 48 completions.",
  ],
  [
    "a run that ends within a rollout batch",
    { max_steps: 7, num_iterations: 2 },
    "CONFIG_NOT_DIVISIBLE: max_steps is 7, no multiple of the 2 updates that one rollout batch feeds. Make it 6 or 8.",
  ],
  [
    "two lengths of the warm-up",
    { warmup_ratio: 0.1, warmup_steps: 5 },
    "CONFIG_CONFLICT: warmup_ratio is 0.1 and warmup_steps is 5. Choose one of them.",
  ],
  [
    "a warm-up of a schedule that has none",
    { lr_scheduler_type: "constant", warmup_steps: 5 },
    'CONFIG_CONFLICT: lr_scheduler_type is "constant", which has no warm-up. Use "constant_with_warmup".',
  ],
  [
    "going on with a run that is deleted first",
    { overwrite_output_dir: true, resume_from_checkpoint: true },
    "CONFIG_CONFLICT: overwrite_output_dir would delete the run that resume_from_checkpoint goes on with. Set one of them.",
  ],
])("refuses %s", (_, input, message) => {
  expect(said(input)).toEqual([message]);
});

it("accepts the neighbours of what it refuses", () => {
  expect(said({ torch_dtype: "bfloat16", bf16: true })).toEqual([]);
  expect(said({ data_file_paths: "a:b:c", image_folders: "x" })).toEqual([]);
  expect(said({ prompts_per_step: 1, reward_funcs: ["format"] })).toEqual([]);
  expect(said({ reference_parity: true, fidelity_variance_floor: 0.5e-6, reward_weights: [1, 1] })).toEqual([]);
  expect(said({ comparison_set: 8, prompts_per_step: 24 })).toEqual([]);
  expect(said({ fidelity_warmup: "win_probability", reward_funcs: "accuracy", prompts_per_step: 3 })).toEqual([]);
  expect(said({ fidelity_warmup: null, fidelity_warmup_srcc: 0.45 })).toEqual([]);
  expect(said({ prompts_per_step: 8, per_device_train_batch_size: 12 })).toEqual([]);
  expect(said({ per_device_train_batch_size: 4, gradient_accumulation_steps: 3 })).toEqual([]);
  expect(said({ max_steps: 8, num_iterations: 2 })).toEqual([]);
});

it("knows rewards that the caller supplies, and leaves those of a module to who loads it", () => {
  expect(said({ reward_funcs: ["brief"] }, { customRewards: ["brief"] })).toEqual([]);
  expect(said({ reward_funcs: ["brief"], rewards: "reward.ts" })).toEqual([]);
  expect(said({ reward_funcs: ["brif"], rewards: "reward.ts" }, { customRewards: ["brief"] })).toHaveLength(1);
});

it("does not speak of a contradiction when a value is wrong by itself", () => {
  expect(said({ num_generations: 0, per_device_train_batch_size: 8 })).toEqual([
    "CONFIG_INVALID_VALUE: num_generations is 0; it must be a whole number at least 2",
  ]);
});
