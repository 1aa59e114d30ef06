/**
 * What `reference_parity` sets: the ways of VisualQuality-R1's training code as values of keys. Those of its rewards that no
 * key has are flags of the functions (`referenceQuirks` of the rewards). docs/parity.md goes through all of them.
 *
 * @module
 */
import { conflict } from "./check.js";
import type { Check } from "./check.js";
import type { ConfigKey, ParsedConfig } from "./schema.js";

/** By key; another value is a contradiction. */
export const REFERENCE_SETTINGS = {
  fidelity_variance: "additive",
  /** 1e-6 on the sum of two variances. */
  fidelity_variance_floor: 0.5e-6,
  fidelity_opponent: "mean",
  tie_band: 0,
  preference: "order",
  advantage_estimator: "group",
  scale_rewards: "group",
  dynamic_sampling: false,
  drop_zero_variance_groups: false,
  loss_type: "grpo",
  importance_sampling_level: "token",
  kl_estimator: "k3",
  kl_in_reward: false,
  delta: null,
  entropy_coefficient: 0,
  top_entropy_quantile: 1,
  mask_truncated_completions: false,
  importance_sampling_correction: false,
  temperature: 1,
  top_p: 1,
  /** The default of transformers' GenerationConfig, which the reference leaves on; its loss knows nothing of it. */
  top_k: 50,
  min_p: 0,
  repetition_penalty: 1,
  dataloader_drop_last: true,
  dataset_weights: "uniform",
} as const satisfies Partial<ParsedConfig>;

const KEYS = Object.keys(REFERENCE_SETTINGS) as readonly (keyof typeof REFERENCE_SETTINGS)[];

const SIZE_KEYS = [
  "per_device_train_batch_size",
  "num_generations",
  "reference_parity",
] as const satisfies readonly ConfigKey[];

/** Values of keys that are not given, where the input asks for the preset. */
export function presetOf(input: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return input["reference_parity"] === true ? REFERENCE_SETTINGS : {};
}

/** The reference compares the pictures of one device's batch with each other, however many devices there are. */
export function referenceComparisonSet(
  config: Pick<ParsedConfig, (typeof SIZE_KEYS)[number] | "comparison_set">,
): number | null {
  const { reference_parity, per_device_train_batch_size: perDevice, num_generations, comparison_set } = config;
  if (!reference_parity || perDevice === null) return comparison_set;
  return comparison_set ?? perDevice / num_generations;
}

/** What contradicts the preset. */
export const parityChecks: readonly Check[] = [
  {
    keys: ["reference_parity", ...KEYS],
    find: (config) => {
      if (!config.reference_parity) return null;
      const changed = KEYS.find((key) => config[key] !== REFERENCE_SETTINGS[key]);
      if (changed === undefined) return null;
      return conflict(
        `reference_parity is true, which does as the reference's code does and sets ${changed} to ` +
          `${JSON.stringify(REFERENCE_SETTINGS[changed])}, and ${changed} is ${JSON.stringify(config[changed])}. Remove one of them.`,
      );
    },
  },
  {
    keys: ["reference_parity", "reward_weights"],
    find: ({ reference_parity, reward_weights }) =>
      reference_parity && reward_weights !== null && reward_weights.some((weight) => weight !== 1)
        ? conflict(
            `reference_parity is true, and reward_weights is ${JSON.stringify(reward_weights)}: the reference's code adds ` +
              "its rewards up and never reads the weights. Remove one of them.",
          )
        : null,
  },
  {
    keys: SIZE_KEYS,
    find: ({ reference_parity, per_device_train_batch_size: perDevice, num_generations }) => {
      if (!reference_parity || perDevice === null) return null;
      const pictures = perDevice / num_generations;
      if (Number.isInteger(pictures) && pictures >= 2) return null;
      return {
        code: "CONFIG_NOT_DIVISIBLE",
        message:
          `reference_parity is true, and per_device_train_batch_size is ${perDevice} with num_generations ${num_generations}: ` +
          `the reference compares the ${pictures} pictures of a device with each other, which takes a whole number of at ` +
          `least 2. Make it ${2 * num_generations} or another multiple of ${num_generations}.`,
      };
    },
  },
  {
    keys: ["fidelity_warmup", "reference_parity"],
    find: ({ fidelity_warmup, reference_parity }) =>
      fidelity_warmup !== null && reference_parity
        ? conflict(
            `fidelity_warmup is "${fidelity_warmup}" and reference_parity is true, which computes rewards as the reference ` +
              "code does, and that has no warm-up. Remove one of them.",
          )
        : null,
  },
];
