/**
 * The rewards of a run that is verified: those that are there are computed again; of the others the recorded values are
 * taken, and that is told.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pythonRewardNames, resolveConfig } from "../../config/index.js";
import type { ConfigInput } from "../../config/index.js";
import { ConfigError, RunError } from "../../errors.js";
import { builtInRewards, defineReward, isReward } from "../../rewards/index.js";
import type { Reward, RewardRecord } from "../../rewards/index.js";
import { loadOwnRewards } from "../own-rewards.js";
import type { Comparisons } from "./comparisons.js";
import type { RecordedBatch } from "./verified.js";

/** What a run is prepared with. */
export interface VerifiedRewards {
  readonly config: ConfigInput;
  /** In the place of the configuration's; undefined where those are there. */
  readonly rewards: RewardRecord | undefined;
  /** Names of rewards whose recorded values are taken as they are. */
  readonly taken: readonly string[];
}

/** Keys of own rewards, which have no meaning where the rewards are given in code. */
const OWN_KEYS: readonly string[] = ["rewards", "python_reward", "python_reward_format", "python_reward_timeout"];

/**
 * @param given rewards in code, as `train` was given them
 * @param asked names of rewards that shall not be computed again
 * @param recordOf the rollout batch under way
 * @throws ConfigError for own rewards that are there and cannot be loaded, and for a name in `asked` that no reward has
 */
export async function verifiedRewards(
  config: Readonly<Record<string, unknown>>,
  given: RewardRecord,
  asked: readonly string[],
  recordOf: () => RecordedBatch,
  comparisons: Comparisons,
): Promise<VerifiedRewards> {
  const names = config["reward_funcs"] as readonly string[];
  const weights = config["reward_weights"] as readonly number[];
  const unknown = asked.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new ConfigError("CONFIG_UNKNOWN_REWARD", `the run has no reward "${unknown}". It has ${names.join(", ")}.`);
  }
  // Code that nothing needs is not run.
  const needed = names.some((name) => !isBuiltIn(name) && !asked.includes(name) && !Object.hasOwn(given, name));
  const own = await loadOwnRewards(needed ? presentSources(config, comparisons) : {});
  const isKnown = (name: string): boolean => isBuiltIn(name) || Object.hasOwn(given, name) || own.names.includes(name);
  const taken = names.filter((name) => asked.includes(name) || !isKnown(name));
  if (taken.length === 0 && Object.keys(given).length === 0) {
    return { config: config as unknown as ConfigInput, rewards: undefined, taken };
  }

  const bare = Object.fromEntries(
    Object.entries(config).filter(([key]) => !OWN_KEYS.includes(key)),
  ) as unknown as ConfigInput;
  const options = Object.fromEntries(Object.entries(config).filter(([key]) => OWN_KEYS.includes(key)));
  const ofConfig = own.rewards({ ...resolveConfig(bare, { customRewards: names }), ...options });
  const rewards = names.map((name, index): [string, RewardRecord[string]] => {
    const weight = weights[index]!;
    if (taken.includes(name)) return [name, { reward: asRecorded(name, recordOf), weight }];
    const reward = rewardIn(given[name]) ?? ofConfig[name];
    return [name, reward === undefined ? weight : { reward, weight }];
  });
  for (const name of taken) {
    const why = asked.includes(name) ? "as was asked for" : "because its function is not given";
    comparisons.leaveOut(`The reward "${name}": its recorded values were taken as they are, ${why}.`);
  }
  return { config: bare, rewards: Object.fromEntries(rewards), taken };
}

/** Files of own rewards that are there; those that are not are told. */
function presentSources(config: Readonly<Record<string, unknown>>, comparisons: Comparisons) {
  const present = (key: string, pathOf: (entry: string) => string): string[] =>
    [config[key] ?? []]
      .flat()
      .filter((entry) => typeof entry === "string")
      .filter((entry) => {
        const there = existsSync(resolve(pathOf(entry)));
        if (!there) comparisons.leaveOut(`The rewards of ${entry} (${key}): there is no such file.`);
        return there;
      });
  return {
    rewards: present("rewards", (path) => path),
    python_reward: present("python_reward", (entry) => pythonRewardNames([entry])[0]?.path ?? entry),
    reward_funcs: config["reward_funcs"],
  };
}

function isBuiltIn(name: string): boolean {
  return name === "accuracy" || Object.hasOwn(builtInRewards, name);
}

function rewardIn(entry: RewardRecord[string] | undefined): Reward | undefined {
  if (entry === undefined || typeof entry === "number") return undefined;
  return isReward(entry) ? entry : entry.reward;
}

function asRecorded(name: string, recordOf: () => RecordedBatch): Reward {
  return defineReward({
    name,
    scoreBatch: () => recordOf()!.map((group) => group.map(({ rewards }) => rewards[name]!)),
  });
}

/** @throws RunError VERIFY_REWARD_MISSING for a value that is to be taken from a record that does not have it */
export function requireRecorded(records: RecordedBatch, taken: readonly string[], step: number): void {
  const missing = taken.find(
    (name) => records === null || records.flat().some(({ rewards }) => rewards[name] === undefined),
  );
  if (missing === undefined) return;
  throw new RunError(
    "VERIFY_REWARD_MISSING",
    `nothing says what the reward "${missing}" was in step ${step}: the record has no value of it, and its function is not given. Give it: rewards or python_reward, or in TypeScript the option rewards.`,
    { fields: { step, reward: missing } },
  );
}
