/**
 * What is set for the sake of a reward that is not among `reward_funcs`: it would be ignored, and so it is refused.
 *
 * @module
 */
import { conflict } from "./check.js";
import type { Check } from "./check.js";
import { rewardKeys } from "./keys/rewards.js";
import { pythonRewardNames } from "./python-reward.js";

/** Built-in rewards, and whether they compare pictures with each other. */
export const BUILT_IN_REWARDS: Readonly<Record<string, "compares" | "rates">> = {
  fidelity: "compares",
  accuracy: "compares",
  win_probability: "compares",
  binary: "compares",
  margin: "compares",
  threshold: "rates",
  regression: "rates",
  distortion: "rates",
  format: "rates",
  overlong: "rates",
};

const PREFERRING = ["fidelity", "accuracy", "win_probability", "binary"] as const;

/** By key: the rewards that read it. */
const READERS = {
  comparison_set: [...PREFERRING, "margin"],
  vote_agreement: PREFERRING,
  distortion_type_weight: ["distortion"],
  overlong_cache: ["overlong"],
} as const satisfies Partial<Record<keyof typeof rewardKeys, readonly string[]>>;

type ReadKey = keyof typeof READERS;

/** The keys that none of these rewards reads. */
export function unreadKeys(rewards: readonly string[]): ReadKey[] {
  return (Object.keys(READERS) as ReadKey[]).filter(
    (key) => !READERS[key].some((reader: string) => rewards.includes(reader)),
  );
}

/** `reference_parity` sets such keys whatever is rewarded. */
const ofKeys = (Object.keys(READERS) as ReadKey[]).map((key): Check => ({
  keys: [key, "reward_funcs"],
  find: (config) => {
    const value = config[key];
    if (config.reference_parity || value === rewardKeys[key].parse(undefined)) return null;
    if (!unreadKeys(config.reward_funcs).includes(key)) return null;
    return conflict(
      `${key} is ${value}, and none of reward_funcs (${config.reward_funcs.join(", ")}) reads it. ` +
        `Add one of ${READERS[key].join(", ")}, or remove ${key}.`,
    );
  },
}));

export const readerChecks: readonly Check[] = [
  ...ofKeys,
  {
    keys: ["preference", "reward_funcs"],
    find: ({ preference, reward_funcs: names }) =>
      preference === "majority_vote" && unreadKeys(names).includes("vote_agreement")
        ? conflict(
            `preference is "majority_vote", and none of reward_funcs (${names.join(", ")}) prefers one picture to another. ` +
              `Add one of ${PREFERRING.join(", ")}, or remove preference.`,
          )
        : null,
  },
  {
    keys: ["python_reward", "reward_funcs"],
    // Without own rewards nobody has asked for them yet: a loop of one's own may bring others.
    find: ({ python_reward, reward_funcs: names }, { customRewards }) => {
      const idle = pythonRewardNames(python_reward).find((one) => !names.includes(one.function));
      const misspelt = names.some((name) => !Object.hasOwn(BUILT_IN_REWARDS, name) && !customRewards.includes(name));
      return idle === undefined || customRewards.length === 0 || misspelt
        ? null
        : conflict(
            `python_reward brings "${idle.function}", and reward_funcs (${names.join(", ")}) does not name it: it would never run. ` +
              "Add it there, or remove it here.",
          );
    },
  },
];
