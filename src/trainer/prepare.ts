/**
 * Everything that can be known, and refused, before a model is loaded: configuration, rows, rewards, plan.
 *
 * @module
 */
import { planRun, resolveConfig } from "../config/index.js";
import type { ConfigInput, ResolvedConfig, RunPlan } from "../config/index.js";
import { createSampler, dataError, loadRows, splitRows } from "../data/index.js";
import type { Row, Sampler } from "../data/index.js";
import type { LossSpec } from "../policy/index.js";
import { asksForThinking } from "../prompts/index.js";
import {
  checkRewards,
  combineRewards,
  createFidelityWarmup,
  findRowProblems,
  withFidelityWarmup,
} from "../rewards/index.js";
import type { BuiltInRewardOptions, FidelityOptions, RewardRecord, RewardSet } from "../rewards/index.js";
import { loadRewardModules, namedRewards } from "./reward-modules.js";

/** A run that could start. */
export interface PreparedRun {
  readonly config: ResolvedConfig;
  readonly rewards: RewardSet;
  readonly rows: readonly Row[];
  readonly heldOut: readonly Row[];
  readonly sampler: Sampler;
  readonly plan: RunPlan;
}

/**
 * @param given rewards of the caller; without them the configuration's `reward_funcs` and `rewards` count
 * @throws ConfigError, DataError with every problem listed
 */
export async function prepareRun(input: ConfigInput | ResolvedConfig, given?: RewardRecord): Promise<PreparedRun> {
  const paths = [input.rewards ?? []].flat();
  const own = await loadRewardModules(paths);
  const config = resolveConfig(
    { ...input, ...(given === undefined ? namedRewards(input, own) : rewardKeys(given)) },
    {
      customRewards: [...Object.keys(own), ...Object.keys(given ?? {})],
      require: ["data_file_paths"],
    },
  );
  const named = Object.fromEntries(
    config.reward_funcs.map((name, index) => {
      const weight = config.reward_weights[index]!;
      const reward = own[name];
      return [name, reward === undefined ? weight : { reward, weight }];
    }),
  );
  const rewards = combineRewards(given ?? named, rewardOptions(config));
  // Refuses a fidelity of one's own before anything starts.
  if (config.fidelity_warmup !== null) withFidelityWarmup(rewards, createFidelityWarmup());
  checkRewards(rewards, { promptsPerStep: config.prompts_per_step, numGenerations: config.num_generations });

  const all = await loadRows(config);
  await checkRows(all, rewards, config);
  const { train, heldOut } = await holdOut(config, all);
  const sampler = createSampler(train, config);
  const plan = planRun(config, { rows: countByDataset(train), heldOutRows: heldOut.length });
  return { config, rewards, rows: train, heldOut, sampler, plan };
}

/** Rows that a reward cannot use are named before anything starts, all at once, by file and line. */
async function checkRows(rows: readonly Row[], rewards: RewardSet, config: ResolvedConfig): Promise<void> {
  const problems = await findRowProblems(rows, rewards);
  if (problems.length === 0) return;
  throw dataError(
    problems.map(({ reward, index, message }) => {
      const { file, line } = rows[index]!.source;
      const advice = "Add what is missing, or leave the reward out.";
      return {
        code: "DATA_REWARD_ROW",
        file: config.data_file_paths[file]!,
        line,
        message: `the reward "${reward}" cannot use this row: ${message}. ${advice}`,
      };
    }),
  );
}

/** Rewards given in code as the configuration's own keys, so that checks and records speak of what is used. */
function rewardKeys(given: RewardRecord): { readonly reward_funcs: string[]; readonly reward_weights: number[] } {
  const weights = Object.values(given).map((entry) => {
    if (typeof entry === "number") return entry;
    return "weight" in entry ? (entry.weight ?? 1) : 1;
  });
  return { reward_funcs: Object.keys(given), reward_weights: weights };
}

/** The loss that the configuration asks for. */
export function lossOf({ epsilon, epsilon_high, beta }: ResolvedConfig): LossSpec {
  return { surrogate: "clip", epsilon, epsilonHigh: epsilon_high, beta, kl: "k3" };
}

/** The options of built-in rewards that the configuration asks for. */
export function rewardOptions(config: ResolvedConfig): BuiltInRewardOptions {
  return {
    ...fidelityOptions(config),
    thinking: asksForThinking(config.question_template),
    seed: config.seed,
    ...(config.comparison_set !== null && { comparisonSet: config.comparison_set }),
  };
}

/** How the configuration compares two pictures. */
export function fidelityOptions(config: ResolvedConfig): FidelityOptions {
  return {
    referenceParity: config.reference_parity,
    variance: config.fidelity_variance,
    varianceFloor: config.fidelity_variance_floor,
    opponent: config.fidelity_opponent,
    tieBand: config.tie_band,
  };
}

async function holdOut(config: ResolvedConfig, all: readonly Row[]): Promise<{ train: Row[]; heldOut: Row[] }> {
  if (config.eval_data_file_paths.length > 0) {
    const heldOut = await loadRows({
      data_file_paths: config.eval_data_file_paths,
      image_folders: config.eval_image_folders,
      dataset_name: config.dataset_name,
    });
    return { train: [...all], heldOut };
  }
  if (config.val_split_ratio === 0) return { train: [...all], heldOut: [] };
  return splitRows(all, { ratio: config.val_split_ratio, seed: config.data_seed });
}

function countByDataset(rows: readonly Row[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const row of rows) counts[row.dataset] = (counts[row.dataset] ?? 0) + 1;
  return counts;
}
