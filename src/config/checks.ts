/**
 * Contradictions between keys. Each check names the keys it reads and states both numbers.
 *
 * @module
 */
import { adapterChecks } from "./adapter-checks.js";
import { advantageChecks } from "./advantage-checks.js";
import { BATCH_KEYS, batchSizes } from "./batch-arithmetic.js";
import { batchChecks } from "./batch-checks.js";
import { conflict, indivisible } from "./check.js";
import type { Check, Finding } from "./check.js";
import { rewardKeys } from "./keys/rewards.js";
import { nearestName } from "./nearest.js";
import { objectiveChecks } from "./objective-checks.js";
import { outputChecks } from "./output-checks.js";
import { pythonRewardNames } from "./python-reward.js";
import { parityChecks } from "./reference-parity.js";
import { orderContradiction } from "./order-contradiction.js";
import { BUILT_IN_REWARDS, readerChecks } from "./reward-readers.js";
import { savingChecks } from "./saving.js";
import type { ParsedConfig } from "./schema.js";
import { trainingStrategy } from "./training.js";

/** The floor `fidelity_variance` takes when none is given, in squared score points; "fixed" is Thurstone's case V. */
export function defaultVarianceFloor(kind: ParsedConfig["fidelity_variance"]): number {
  return kind === "fixed" ? 1 : 0.05;
}

function folderCount(folders: string, files: string, folderCounted: number, fileCounted: number): Finding | null {
  if (folderCounted <= 1 || folderCounted === fileCounted) return null;
  return {
    code: "CONFIG_LENGTH_MISMATCH",
    message: `${folders} has ${folderCounted} folders and ${files} has ${fileCounted} files. Give one folder per file, or one for all.`,
  };
}

const modelChecks: readonly Check[] = [
  ...adapterChecks,
  {
    keys: ["strategy", "num_processes"],
    find: ({ strategy, num_processes }) =>
      strategy === "single" && num_processes > 1
        ? conflict(
            `strategy is "single", which trains with one process, and num_processes is ${num_processes}. Use "ddp" or ` +
              '"fsdp2", or num_processes 1.',
          )
        : null,
  },
  {
    keys: ["worker_address", "worker_key_file"],
    find: ({ worker_address: address, worker_key_file: keys }) =>
      (address === null) !== (keys === null)
        ? conflict(
            address === null
              ? "worker_key_file is set, and no worker dials in: set worker_address as well, or remove it."
              : `worker_address is "${address}", and worker_key_file does not say whose keys may dial in there. Make them: ` +
                  "thurstone keys keys NAME, then worker_key_file keys/control.json.",
          )
        : null,
  },
  {
    keys: ["deepspeed", "strategy"],
    find: ({ deepspeed, strategy }) => {
      if (deepspeed === null) {
        return strategy === "deepspeed"
          ? conflict(
              'strategy is "deepspeed", and deepspeed is not set: it names the file of its settings, as configs/zero3.json.',
            )
          : null;
      }
      return strategy === null || strategy === "deepspeed"
        ? null
        : conflict(`deepspeed is "${deepspeed}", and strategy is "${strategy}". Remove one of them.`);
    },
  },
  {
    keys: ["ds3_gather_for_generation", "strategy", "num_processes", "deepspeed"],
    find: (config) => {
      const strategy = trainingStrategy(config);
      return config.ds3_gather_for_generation === false && (strategy === "single" || strategy === "ddp")
        ? conflict(
            `ds3_gather_for_generation is false, and under strategy "${strategy}" each process has all weights: there is ` +
              'nothing to gather. Use "fsdp2" with several processes, or deepspeed with ZeRO stage 3, or remove it.',
          )
        : null;
    },
  },
  {
    keys: ["torch_dtype", "bf16"],
    find: ({ torch_dtype, bf16 }) =>
      torch_dtype === "bfloat16" && !bf16
        ? conflict(
            'torch_dtype is "bfloat16" and bf16 is false: weights kept in bfloat16 alone lose small updates. ' +
              "Set bf16 to true (bfloat16 computation over float32 weights), or torch_dtype to float32.",
          )
        : null,
  },
  {
    keys: ["activation_offloading", "gradient_checkpointing"],
    find: ({ activation_offloading, gradient_checkpointing }) =>
      activation_offloading && !gradient_checkpointing
        ? conflict("activation_offloading is true and gradient_checkpointing is false. Set it to true.")
        : null,
  },
  {
    keys: ["gradient_checkpointing_kwargs", "gradient_checkpointing"],
    find: ({ gradient_checkpointing_kwargs: kwargs, gradient_checkpointing }) =>
      kwargs !== null && !gradient_checkpointing
        ? conflict("gradient_checkpointing_kwargs is set and gradient_checkpointing is false. Set it to true.")
        : null,
  },
  {
    keys: ["max_pixels", "min_pixels"],
    find: ({ max_pixels, min_pixels }) =>
      max_pixels !== null && min_pixels !== null && max_pixels < min_pixels
        ? conflict(`max_pixels is ${max_pixels}, which is less than min_pixels, ${min_pixels}.`)
        : null,
  },
];

const supervisedChecks: readonly Check[] = [
  {
    keys: ["packing", "max_seq_length"],
    find: ({ packing, max_seq_length }) =>
      packing && max_seq_length === null
        ? conflict("packing fills passes of max_seq_length tokens, and that is not set. Set both, or neither.")
        : null,
  },
];

const dataChecks: readonly Check[] = [
  {
    keys: ["image_folders", "data_file_paths"],
    find: ({ image_folders, data_file_paths }) =>
      folderCount("image_folders", "data_file_paths", image_folders.length, data_file_paths.length),
  },
  {
    keys: ["eval_image_folders", "eval_data_file_paths"],
    find: ({ eval_image_folders: folders, eval_data_file_paths: files }) =>
      folders.length > 0 && files.length === 0
        ? conflict("eval_image_folders is set and eval_data_file_paths is not: there is nothing to look up in them.")
        : folderCount("eval_image_folders", "eval_data_file_paths", folders.length, files.length),
  },
  {
    keys: ["val_split_ratio", "eval_data_file_paths"],
    find: ({ val_split_ratio, eval_data_file_paths }) =>
      val_split_ratio > 0 && eval_data_file_paths.length > 0
        ? conflict(`val_split_ratio is ${val_split_ratio} and eval_data_file_paths is set too. Choose one of them.`)
        : null,
  },
  {
    keys: ["load_best_model_at_end", "eval_steps", "save_only_model"],
    find: ({ load_best_model_at_end, eval_steps, save_only_model }) => {
      if (!load_best_model_at_end) return null;
      if (eval_steps === null) {
        return conflict(
          "load_best_model_at_end is true, and eval_steps is null: nothing tells which is best. Set eval_steps.",
        );
      }
      return save_only_model
        ? conflict(
            "load_best_model_at_end is true, and so is save_only_model: nothing can be loaded from such checkpoints. Set one " +
              "of them to false.",
          )
        : null;
    },
  },
  {
    keys: ["eval_steps", "val_split_ratio", "eval_data_file_paths"],
    find: ({ eval_steps, val_split_ratio, eval_data_file_paths }) =>
      eval_steps !== null && val_split_ratio === 0 && eval_data_file_paths.length === 0
        ? conflict(
            `eval_steps is ${eval_steps}, and no rows are held out. Set val_split_ratio or eval_data_file_paths.`,
          )
        : null,
  },
];

const orderChecks: readonly Check[] = [
  {
    keys: ["batch_datasets", "batch_groups", "dataset_weights", "curriculum_mix", "shuffle_dataset"],
    find: (config) => {
      const contradiction = orderContradiction(config);
      return contradiction === null ? null : conflict(contradiction);
    },
  },
  {
    keys: ["dataset_streaming", "val_split_ratio"],
    find: ({ dataset_streaming, val_split_ratio }) =>
      dataset_streaming && val_split_ratio > 0
        ? conflict(
            `dataset_streaming is true and val_split_ratio is ${val_split_ratio}: rows that are held out are kept in memory. ` +
              "Write them to a file of their own (eval_data_file_paths), or read all rows at once.",
          )
        : null,
  },
];

const rewardChecks: readonly Check[] = [
  {
    keys: ["reward_funcs", "rewards", "python_reward"],
    find: ({ reward_funcs, rewards, python_reward }, { customRewards }) => {
      // What a module exports is known only once it was loaded.
      if (rewards !== null && customRewards.length === 0) return null;
      const fromPython = pythonRewardNames(python_reward).map((one) => one.function);
      const known = [...new Set([...Object.keys(BUILT_IN_REWARDS), ...customRewards, ...fromPython])];
      const unknown = reward_funcs.find((name) => !known.includes(name));
      if (unknown === undefined) return null;
      const near = nearestName(unknown, known);
      const advice = near === null ? `Known are ${known.join(", ")}.` : `Did you mean "${near}"?`;
      return {
        code: "CONFIG_UNKNOWN_REWARD",
        message: `reward_funcs names "${unknown}", which is no built-in reward. ${advice} Own rewards need a module (rewards) or a Python file (python_reward).`,
      };
    },
  },
  {
    keys: ["python_reward"],
    find: ({ python_reward }) => {
      const names = pythonRewardNames(python_reward).map((one) => one.function);
      const taken = names.find((name) => Object.hasOwn(BUILT_IN_REWARDS, name));
      if (taken !== undefined) {
        return conflict(
          `python_reward names a function "${taken}", and so is a built-in reward called. Rename the function, or give it ` +
            "another name in the file: my_reward = " +
            `${taken}.`,
        );
      }
      const twice = names.find((name, index) => names.indexOf(name) < index);
      return twice === undefined
        ? null
        : conflict(`python_reward names two functions "${twice}", and rewards are told apart by name. Rename one.`);
    },
  },
  {
    keys: ["python_reward_format", "python_reward_timeout", "python_reward"],
    find: (config) => {
      if (config.python_reward !== null) return null;
      const keys = ["python_reward_format", "python_reward_timeout"] as const;
      const set = keys.find((key) => config[key] !== rewardKeys[key].parse(undefined));
      return set === undefined ? null : conflict(`${set} is set, and python_reward is not: nothing would read it.`);
    },
  },
  {
    keys: ["reward_funcs"],
    find: ({ reward_funcs }) => {
      const names = reward_funcs.map((name) => (name === "accuracy" ? "fidelity" : name));
      const twice = reward_funcs.find((_, index) => names.indexOf(names[index]!) < index);
      return twice === undefined ? null : conflict(`reward_funcs counts "${twice}" twice (accuracy is fidelity).`);
    },
  },
  {
    keys: ["reward_weights", "reward_funcs"],
    find: ({ reward_weights, reward_funcs }) =>
      reward_weights === null || reward_weights.length === reward_funcs.length
        ? null
        : {
            code: "CONFIG_LENGTH_MISMATCH",
            message: `reward_weights has ${reward_weights.length} entries and reward_funcs has ${reward_funcs.length}. Give one weight per reward.`,
          },
  },
  {
    keys: ["fidelity_variance_floor", "fidelity_variance"],
    find: ({ fidelity_variance_floor: floor, fidelity_variance: kind }) =>
      kind === "sample" && floor !== null && floor !== defaultVarianceFloor(kind)
        ? conflict(
            `fidelity_variance_floor is ${floor}, and fidelity_variance is "sample", which has no floor. Use "floored".`,
          )
        : null,
  },
  {
    keys: ["preference", "reward_funcs", "tie_band", "fidelity_warmup"],
    find: ({ preference, reward_funcs, tie_band, fidelity_warmup }) => {
      if (preference !== "majority_vote") return null;
      const without = 'preference is "majority_vote", which compares without opinion scores';
      if (reward_funcs.includes("margin")) {
        return conflict(`${without}, and the reward margin compares with their differences. Leave margin out.`);
      }
      if (tie_band > 0) return conflict(`${without}, and tie_band is ${tie_band} of their points. Remove tie_band.`);
      return fidelity_warmup === null
        ? null
        : conflict(
            `${without}, and fidelity_warmup ends when the scores of a rollout batch correlate with them. Remove one of them.`,
          );
    },
  },
  {
    keys: ["vote_agreement", "preference"],
    find: ({ vote_agreement, preference }) =>
      preference !== "majority_vote" && vote_agreement !== rewardKeys.vote_agreement.parse(undefined)
        ? conflict(
            `vote_agreement is ${vote_agreement}, and preference is "${preference}", so nobody votes. ` +
              'Set preference to "majority_vote", or remove vote_agreement.',
          )
        : null,
  },
  {
    keys: ["fidelity_warmup", "reward_funcs"],
    find: ({ fidelity_warmup, reward_funcs }) =>
      fidelity_warmup === null || reward_funcs.some((name) => name === "fidelity" || name === "accuracy")
        ? null
        : conflict(
            `fidelity_warmup is "${fidelity_warmup}", and fidelity is not among reward_funcs, ${reward_funcs.join(", ")}: ` +
              "there is nothing to warm up for. Add fidelity, or remove fidelity_warmup.",
          ),
  },
  {
    keys: ["fidelity_warmup_srcc", "fidelity_warmup"],
    find: ({ fidelity_warmup_srcc, fidelity_warmup }) =>
      fidelity_warmup === null && fidelity_warmup_srcc !== rewardKeys.fidelity_warmup_srcc.parse(undefined)
        ? conflict(
            `fidelity_warmup_srcc is ${fidelity_warmup_srcc}, and fidelity_warmup is not set, so nothing would end there. ` +
              'Set fidelity_warmup to "win_probability", or remove fidelity_warmup_srcc.',
          )
        : null,
  },
  {
    keys: ["prompts_per_step", "fidelity_warmup", ...BATCH_KEYS],
    find: (config) => {
      if (config.fidelity_warmup === null || batchSizes(config).promptsPerStep !== 2) return null;
      return {
        code: "CONFIG_TOO_FEW_IMAGES",
        message:
          "prompts_per_step is 2, and fidelity_warmup ends when the scores of a rollout batch correlate with the labels, " +
          "which takes at least 3 pictures. Raise prompts_per_step, or remove fidelity_warmup.",
      };
    },
  },
  {
    keys: ["prompts_per_step", "reward_funcs", ...BATCH_KEYS],
    find: (config) => {
      const ranking = config.reward_funcs.find((name) => BUILT_IN_REWARDS[name] === "compares");
      if (batchSizes(config).promptsPerStep !== 1 || ranking === undefined) return null;
      return {
        code: "CONFIG_TOO_FEW_IMAGES",
        message:
          `prompts_per_step is 1, and the ${ranking} reward compares pictures with each other: it needs at least 2. ` +
          'Raise prompts_per_step, or use a reward of scope "score".',
      };
    },
  },
  {
    keys: ["comparison_set", ...BATCH_KEYS],
    find: (config) => {
      const { promptsPerStep } = batchSizes(config);
      const { comparison_set: size } = config;
      return size === null || !Number.isInteger(promptsPerStep) || promptsPerStep % size === 0
        ? null
        : indivisible(`comparison_set is ${size}, which does not divide prompts_per_step, ${promptsPerStep}.`);
    },
  },
];

const scheduleChecks: readonly Check[] = [
  {
    keys: ["warmup_ratio", "warmup_steps"],
    find: ({ warmup_ratio, warmup_steps }) =>
      warmup_ratio > 0 && warmup_steps > 0
        ? conflict(`warmup_ratio is ${warmup_ratio} and warmup_steps is ${warmup_steps}. Choose one of them.`)
        : null,
  },
  {
    keys: ["lr_scheduler_type", "warmup_ratio", "warmup_steps"],
    find: ({ lr_scheduler_type, warmup_ratio, warmup_steps }) =>
      lr_scheduler_type === "constant" && (warmup_ratio > 0 || warmup_steps > 0)
        ? conflict('lr_scheduler_type is "constant", which has no warm-up. Use "constant_with_warmup".')
        : null,
  },
];

/** All checks, in the order in which people read the keys. */
export const checks: readonly Check[] = [
  ...modelChecks,
  ...dataChecks,
  ...savingChecks,
  ...orderChecks,
  ...rewardChecks,
  ...readerChecks,
  ...parityChecks,
  ...objectiveChecks,
  ...advantageChecks,
  ...supervisedChecks,
  ...batchChecks,
  ...scheduleChecks,
  ...outputChecks,
];
