/**
 * Contradictions between keys of what lies between rewards and the batch: estimators, groups without spread,
 * overlong shaping.
 *
 * @module
 */
import { conflict } from "./check.js";
import type { Check } from "./check.js";
import { objectiveKeys } from "./keys/objective.js";
import type { ParsedConfig } from "./schema.js";

type Estimator = ParsedConfig["advantage_estimator"];
type Scale = Exclude<ParsedConfig["scale_rewards"], "auto">;

/** What an estimator can be divided by; the first where nothing is asked for. */
const SCALES: Readonly<Record<Estimator, readonly [Scale, ...Scale[]]>> = {
  group: ["group", "batch", "none"],
  rloo: ["none", "batch"],
  reinforce_plus_plus_baseline: ["batch"],
  gdpo: ["batch"],
  pass_at_k: ["group", "none"],
};

/** What advantages are divided by, "auto" resolved. */
export function scaleOf({
  scale_rewards: scale,
  advantage_estimator: estimator,
}: Pick<ParsedConfig, "scale_rewards" | "advantage_estimator">): Scale {
  return scale === "auto" ? SCALES[estimator][0] : scale;
}

const DEFAULT_TRIES = objectiveKeys.dynamic_sampling_tries.parse(undefined);

export const advantageChecks: readonly Check[] = [
  {
    keys: ["scale_rewards", "advantage_estimator"],
    find: ({ scale_rewards: scale, advantage_estimator: estimator }) =>
      scale === "auto" || SCALES[estimator].includes(scale)
        ? null
        : conflict(
            `scale_rewards is "${scale}", and advantage_estimator is "${estimator}", which has ` +
              `${SCALES[estimator].map((one) => `"${one}"`).join(" or ")}. Remove scale_rewards, or choose another estimator.`,
          ),
  },
  {
    keys: ["pass_at_k", "advantage_estimator"],
    find: ({ pass_at_k: k, advantage_estimator: estimator }) => {
      if (estimator === "pass_at_k" && k === null) {
        return conflict(
          'advantage_estimator is "pass_at_k", and pass_at_k, the size of its subsets, is not set. Set it.',
        );
      }
      return estimator !== "pass_at_k" && k !== null
        ? conflict(
            `pass_at_k is ${k}, and advantage_estimator is "${estimator}", which has no subsets. ` +
              'Set advantage_estimator to "pass_at_k", or remove pass_at_k.',
          )
        : null;
    },
  },
  {
    keys: ["pass_at_k", "num_generations"],
    find: ({ pass_at_k: k, num_generations }) =>
      k !== null && k >= num_generations
        ? conflict(
            `pass_at_k is ${k}, and num_generations is ${num_generations}: all subsets of so many completions are the same, ` +
              "so that nothing could be learnt. Raise num_generations, or lower pass_at_k.",
          )
        : null,
  },
  {
    keys: ["dynamic_sampling_tries", "dynamic_sampling"],
    find: ({ dynamic_sampling_tries: tries, dynamic_sampling }) =>
      !dynamic_sampling && tries !== DEFAULT_TRIES
        ? conflict(
            `dynamic_sampling_tries is ${tries}, and dynamic_sampling is false, so nothing is tried. Set it to true, or ` +
              "remove dynamic_sampling_tries.",
          )
        : null,
  },
  {
    keys: ["kl_in_reward", "advantage_estimator"],
    find: ({ kl_in_reward, advantage_estimator }) =>
      kl_in_reward && advantage_estimator === "gdpo"
        ? conflict(
            'kl_in_reward is true, which takes the KL off the sum of the rewards, and advantage_estimator is "gdpo", which ' +
              "normalises each reward apart. Remove kl_in_reward (the KL then stays in the loss), or choose another estimator.",
          )
        : null,
  },
  {
    keys: ["overlong_cache", "max_completion_length"],
    find: ({ overlong_cache: cache, max_completion_length: longest }) =>
      cache !== null && cache > longest
        ? conflict(`overlong_cache is ${cache}, more than max_completion_length, ${longest}. Lower it.`)
        : null,
  },
];
