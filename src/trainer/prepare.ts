/**
 * Everything that can be known, and refused, before a model is loaded: configuration, rows, rewards, plan.
 *
 * @module
 */
import { createSchedule, planRun, readDeepSpeed, resolveConfig } from "../config/index.js";
import type { ConfigInput, ResolvedConfig, RunPlan, Schedule, SharedConfig } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { dataError } from "../data/index.js";
import type { CurriculumFunction, Row } from "../data/index.js";
import { asksForThinking } from "../prompts/index.js";
import {
  checkRewards,
  combineRewards,
  createFidelityWarmup,
  findRowProblems,
  withFidelityWarmup,
} from "../rewards/index.js";
import type {
  BuiltInRewardOptions,
  FidelityOptions,
  FidelityWarmup,
  RewardRecord,
  RewardSet,
} from "../rewards/index.js";
import { openData } from "./open-data.js";
import type { TrainingData } from "./open-data.js";
import { loadOwnRewards, namedRewards } from "./own-rewards.js";

/** What every run has that could start, whatever it trains for. */
export interface RunBasis extends TrainingData {
  readonly config: SharedConfig;
  readonly plan: RunPlan;
  /** Where `fidelity_warmup` stands at the beginning; null where nothing is to be warmed up. */
  readonly fidelityWarmup: FidelityWarmup | null;
}

/** A run of `train` that could start. */
export interface PreparedRun extends RunBasis {
  readonly config: ResolvedConfig;
  readonly rewards: RewardSet;
}

/** A configuration, and the rewards that it comes to. */
export interface PreparedRewards {
  readonly config: ResolvedConfig;
  readonly rewards: RewardSet;
}

/**
 * @param given rewards of the caller; without them the configuration's `reward_funcs` and own rewards count
 * @throws ConfigError with every problem listed; CONFIG_CONFLICT where the configuration brings rewards besides `given`
 */
export async function prepareRewards(
  input: ConfigInput | ResolvedConfig,
  given?: RewardRecord,
): Promise<PreparedRewards> {
  if (given !== undefined) refuseOthers(input);
  const brought = await loadOwnRewards(input);
  const config = resolveConfig(
    { ...input, ...(given === undefined ? namedRewards(input, brought) : keysOfGiven(given)) },
    {
      customRewards: [...brought.names, ...Object.keys(given ?? {})],
      require: ["data_file_paths"],
    },
  );
  const own = brought.rewards(config);
  const named = Object.fromEntries(
    config.reward_funcs.map((name, index) => {
      const weight = config.reward_weights[index]!;
      const reward = own[name];
      return [name, reward === undefined ? weight : { reward, weight }];
    }),
  );
  return { config, rewards: combineRewards(given ?? named, rewardOptions(config)) };
}

/**
 * @param given rewards of the caller; without them the configuration's count
 * @param curriculum sorts the rows instead of `curriculum_key`
 * @throws ConfigError, DataError with every problem listed
 */
export async function prepareRun(
  input: ConfigInput | ResolvedConfig,
  given?: RewardRecord,
  curriculum?: CurriculumFunction,
): Promise<PreparedRun> {
  const { config, rewards } = await prepareRewards(input, given);
  if (config.deepspeed !== null) await readDeepSpeed(config.deepspeed, config);
  // Refuses a fidelity of one's own before anything starts.
  const fidelityWarmup = config.fidelity_warmup === null ? null : createFidelityWarmup();
  if (fidelityWarmup !== null) withFidelityWarmup(rewards, fidelityWarmup);
  checkRewards(rewards, { promptsPerStep: config.prompts_per_step, numGenerations: config.num_generations });

  const data = await openData(config, {
    answers: "score",
    check: (rows) => checkRows(rows, rewards, config),
    ...(curriculum && { curriculum }),
  });
  const plan = planRun(config, data.facts);
  return { config, rewards, ...data, plan, fidelityWarmup };
}

/** Rows that a reward cannot use are named before anything starts, all at once, by file and line. */
async function checkRows(rows: readonly Row[], rewards: RewardSet, config: ResolvedConfig): Promise<void> {
  const problems = await findRowProblems(rows, rewards);
  if (problems.length === 0) {
    checkDeviations(rows, config);
    return checkTypes(rows, config);
  }
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

/** A preference that comes from what no row has would be the order of the labels without a word; in a stream nobody knows. */
function checkDeviations(rows: readonly Row[], { preference, dataset_streaming: streaming }: ResolvedConfig): void {
  if (preference !== "soft" || streaming || rows.some(({ mosStd }) => mosStd !== undefined)) return;
  throw new ConfigError(
    "CONFIG_NO_DEVIATIONS",
    'preference is "soft", which comes from the deviations of the opinions, and no row has one (mos_std). Add them, or use "order".',
  );
}

/** Without a type the distortion reward judges nothing, and would not say so. */
function checkTypes(rows: readonly Row[], { reward_funcs: names, dataset_streaming: streaming }: ResolvedConfig): void {
  if (!names.includes("distortion") || streaming || rows.some(({ type }) => type !== undefined)) return;
  throw new ConfigError(
    "CONFIG_NO_TYPES",
    "reward_funcs names distortion, which asks for the type of a picture's distortion, and no row has one (type). Add them, or remove distortion.",
  );
}

/** Files of rewards that would be run and then not count. */
function refuseOthers(input: ConfigInput | ResolvedConfig): void {
  const key = (["rewards", "python_reward"] as const).find((one) => (input[one] ?? null) !== null);
  if (key === undefined) return;
  throw new ConfigError(
    "CONFIG_CONFLICT",
    `rewards are given in code, and ${key} of the configuration brings others, which would not count. Remove ${key}, or give all rewards in one place.`,
    { fields: { key } },
  );
}

/** Rewards given in code as the configuration's own keys, so that checks and records speak of what is used. */
function keysOfGiven(given: RewardRecord): { readonly reward_funcs: string[]; readonly reward_weights: number[] } {
  const weights = Object.values(given).map((entry) => {
    if (typeof entry === "number") return entry;
    return "weight" in entry ? (entry.weight ?? 1) : 1;
  });
  return { reward_funcs: Object.keys(given), reward_weights: weights };
}

/** The learning rate of every step. */
export function scheduleOf({ config, plan }: Pick<RunBasis, "config" | "plan">): Schedule {
  return createSchedule({
    type: config.lr_scheduler_type,
    learningRate: config.learning_rate,
    warmupSteps: plan.warmupSteps,
    totalSteps: plan.steps,
  });
}

/** The options of built-in rewards that the configuration asks for. */
export function rewardOptions(config: ResolvedConfig): BuiltInRewardOptions {
  return {
    ...fidelityOptions(config),
    thinking: asksForThinking(config.question_template),
    seed: config.seed,
    maxCompletionLength: config.max_completion_length,
    ...(config.overlong_cache !== null && { overlongCache: config.overlong_cache }),
    preference: config.preference,
    voteAgreement: config.vote_agreement,
    distortionTypeWeight: config.distortion_type_weight,
    ...(config.comparison_set !== null && { comparisonSet: config.comparison_set }),
  };
}

/** How the configuration compares two pictures, whatever decides which one is better. */
export function fidelityOptions(config: ResolvedConfig): FidelityOptions {
  return {
    referenceParity: config.reference_parity,
    variance: config.fidelity_variance,
    varianceFloor: config.fidelity_variance_floor,
    opponent: config.fidelity_opponent,
    tieBand: config.tie_band,
  };
}
