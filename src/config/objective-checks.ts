/**
 * Contradictions between keys of the section "Objective".
 *
 * @module
 */
import { conflict } from "./check.js";
import type { Check } from "./check.js";
import { objectiveKeys } from "./keys/objective.js";
import type { ConfigKey, ParsedConfig } from "./schema.js";

/** The losses that clip the ratio, and so have `epsilon` and `delta`. */
const CLIPPING: readonly ParsedConfig["loss_type"][] = ["grpo", "dapo", "bnpo", "dr_grpo", "gspo", "luspo"];

/** Clip range above 1, or cap of the ratio, where nothing is said. */
export function defaultEpsilonHigh({ loss_type, epsilon }: Pick<ParsedConfig, "loss_type" | "epsilon">): number {
  return loss_type === "cispo" ? 1 + epsilon : epsilon;
}

/** Where ratios are taken when nothing is said. */
export function defaultRatioLevel({ loss_type }: Pick<ParsedConfig, "loss_type">): "token" | "sequence" {
  return loss_type === "gspo" || loss_type === "luspo" ? "sequence" : "token";
}

/** Keys that only matter under a condition, which the check states when one of them is set and it does not hold. */
function onlyWhere<K extends keyof typeof objectiveKeys & ConfigKey>(
  keys: readonly K[],
  condition: ConfigKey,
  missing: (config: ParsedConfig) => string | null,
): Check[] {
  return keys.map((key) => ({
    keys: [key, condition],
    find: (config) => {
      const reason = missing(config);
      const asked = config[key];
      if (reason === null || asked === objectiveKeys[key].parse(undefined)) return null;
      return conflict(`${key} is ${JSON.stringify(asked)}, and ${reason}, so it would change nothing. Remove it.`);
    },
  }));
}

export const objectiveChecks: readonly Check[] = [
  {
    keys: ["importance_sampling_level", "loss_type"],
    find: ({ importance_sampling_level: level, loss_type }) => {
      if (loss_type === "gspo" && level === "token") {
        return conflict(
          'importance_sampling_level is "token", and loss_type gspo has one ratio per sequence. Use loss_type grpo, or remove it.',
        );
      }
      return (loss_type === "cispo" || loss_type === "sapo") && level === "sequence"
        ? conflict(
            `importance_sampling_level is "sequence", and loss_type ${loss_type} is made of ratios per token. Use gspo, or remove it.`,
          )
        : null;
    },
  },
  {
    keys: ["delta", "loss_type"],
    find: ({ delta, loss_type }) => {
      if (delta === null || (CLIPPING.includes(loss_type) && loss_type !== "gspo")) return null;
      const advice =
        loss_type === "gspo" ? "Use grpo with importance_sampling_level sequence, or remove delta." : "Remove it.";
      return conflict(`delta is ${delta}, and loss_type ${loss_type} has no dual clip. ${advice}`);
    },
  },
  {
    keys: ["delta", "epsilon_high", "epsilon", "loss_type"],
    find: ({ delta, epsilon, epsilon_high, loss_type }) => {
      const high = 1 + (epsilon_high ?? epsilon);
      return delta === null || !CLIPPING.includes(loss_type) || delta > high
        ? null
        : conflict(
            `delta is ${delta}, which is not above 1 + epsilon_high = ${high}, where ratios are clipped anyway. Raise it.`,
          );
    },
  },
  {
    keys: ["epsilon_high", "loss_type"],
    find: ({ epsilon_high: cap, loss_type }) =>
      loss_type === "cispo" && cap !== null && cap <= 1
        ? conflict(
            `epsilon_high is ${cap}, and with loss_type cispo it is the cap of the ratio itself, as in TRL: below 1 it would shrink every token. Use ${1 + cap}, or the usual 5.`,
          )
        : null,
  },
  {
    keys: ["epsilon", "epsilon_high", "loss_type"],
    find: ({ epsilon, epsilon_high: cap, loss_type }) =>
      loss_type === "cispo" &&
      epsilon !== objectiveKeys.epsilon.parse(undefined) &&
      cap !== null &&
      // As a configuration that was resolved without a cap has it.
      cap !== defaultEpsilonHigh({ loss_type, epsilon })
        ? conflict(
            `epsilon is ${epsilon} and epsilon_high is ${cap}, and with loss_type cispo epsilon_high alone is the cap of the ratio, so epsilon would change nothing. Remove it.`,
          )
        : null,
  },
  {
    keys: ["epsilon", "epsilon_high", "loss_type"],
    find: ({ epsilon, epsilon_high, loss_type }) =>
      loss_type === "sapo" &&
      (epsilon !== objectiveKeys.epsilon.parse(undefined) || (epsilon_high ?? epsilon) !== epsilon)
        ? conflict(
            `epsilon is ${epsilon} and epsilon_high is ${epsilon_high}, and loss_type sapo has no clip: its gate closes by sapo_temperature_pos and sapo_temperature_neg. Remove them.`,
          )
        : null,
  },
  ...onlyWhere(["sapo_temperature_pos", "sapo_temperature_neg"], "loss_type", ({ loss_type }) =>
    loss_type === "sapo" ? null : `loss_type is ${loss_type}`,
  ),
  ...onlyWhere(["kl_estimator", "kl_in_reward"], "beta", ({ beta }) =>
    beta > 0 ? null : "beta is 0: there is no KL term",
  ),
  ...onlyWhere(
    ["importance_sampling_mode", "importance_sampling_clip_max", "importance_sampling_clip_min"],
    "importance_sampling_correction",
    ({ importance_sampling_correction: on }) => (on ? null : "importance_sampling_correction is false"),
  ),
  {
    keys: ["importance_sampling_clip_min", "importance_sampling_clip_max"],
    find: ({ importance_sampling_clip_min: low, importance_sampling_clip_max: high }) =>
      low !== null && high !== null && low >= high
        ? conflict(`importance_sampling_clip_min is ${low}, which is not below importance_sampling_clip_max, ${high}.`)
        : null,
  },
];
