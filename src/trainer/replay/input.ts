/**
 * The configuration a replay is made with: that of the run, with other rewards in their place where they are asked for.
 *
 * @module
 */
import { pythonRewardNames, rewardKeys, unreadKeys } from "../../config/index.js";
import type { ConfigInput } from "../../config/index.js";

/** Keys that decide what a recorded completion earns and is worth, and where its row lies. */
export const REPLAY_KEYS = [
  ...(Object.keys(rewardKeys) as (keyof typeof rewardKeys)[]),
  "advantage_estimator",
  "scale_rewards",
  "pass_at_k",
  "drop_zero_variance_groups",
  "data_file_paths",
  "image_folders",
  "dataset_name",
  "python_bin",
] as const satisfies readonly (keyof ConfigInput)[];

/** What may differ from the run. */
export type ReplayKeys = Partial<Pick<ConfigInput, (typeof REPLAY_KEYS)[number]>>;

/** Where own rewards come from. */
const SOURCES = ["rewards", "python_reward"] as const;
const OF_PYTHON = ["python_reward_format", "python_reward_timeout"] as const;
const OF_WARMUP = ["fidelity_warmup", "fidelity_warmup_srcc"] as const;

/**
 * New rewards (files, or given in code) take the place of those of the run, and count with a weight of 1 unless
 * `reward_funcs` says which rewards do; other `reward_funcs` have weights of their own. Keys that no reward reads any more
 * are left out.
 *
 * @param inCode the rewards are given in code, under the names in `changed.reward_funcs`
 */
export function replayInput(
  recorded: Readonly<Record<string, unknown>>,
  changed: ReplayKeys,
  { inCode }: { readonly inCode: boolean },
): ConfigInput {
  const { reward_funcs: funcs } = changed;
  const replaced = inCode || SOURCES.some((key) => changed[key] !== undefined);
  const chosen = replaced || funcs !== undefined;
  // Without fidelity there is nothing to warm up for, and the configuration would say so.
  const names = [funcs ?? []].flat();
  const warming = !chosen || names.some((name) => name === "fidelity" || name === "accuracy");
  const unread = chosen ? unreadKeys(names) : [];
  const functions = named(recorded["python_reward"], funcs === undefined ? null : names);
  const dropped: readonly string[] = [
    ...(functions === null ? OF_PYTHON : []),
    ...(replaced ? [...SOURCES, ...OF_PYTHON, "reward_funcs"] : []),
    ...(chosen ? ["reward_weights", ...unread] : []),
    ...(unread.includes("vote_agreement") ? ["preference"] : []),
    ...(warming ? [] : OF_WARMUP),
  ];
  const kept = Object.entries(recorded).filter(([key]) => !dropped.includes(key));
  const python = replaced ? {} : { python_reward: functions };
  return { ...Object.fromEntries(kept), ...python, ...changed } as ConfigInput;
}

/** The Python functions of the run that still count; those that no name asks for would be refused. */
function named(recorded: unknown, names: readonly string[] | null): string[] | null {
  const entries = [recorded ?? []].flat().filter((entry) => typeof entry === "string");
  const counting = entries.filter(
    (entry) => names === null || pythonRewardNames(entry).some((one) => names.includes(one.function)),
  );
  return counting.length === 0 ? null : counting;
}
