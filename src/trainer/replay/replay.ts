/**
 * Reward replay: the recorded completions of a run are scored again, with its own rewards or with others, and what became
 * of rewards and advantages is told. No worker and no model is needed, only the data files and their pictures.
 *
 * @module
 */
import { advantagesOf, flatGroups } from "../../advantages/index.js";
import { batchSizes } from "../../config/index.js";
import type { ResolvedConfig } from "../../config/index.js";
import { loadRows } from "../../data/index.js";
import type { Row } from "../../data/index.js";
import { RunError } from "../../errors.js";
import { closeRewards, openRewards, scoreRewards } from "../../rewards/index.js";
import type { FidelityWarmup, RewardGroup, RewardRecord, RewardSet, ScoredRewards } from "../../rewards/index.js";
import { openRun } from "../../runs/index.js";
import type { Run } from "../../runs/index.js";
import { lessPenalties } from "../corrections.js";
import { advantageOptions } from "../objective.js";
import { prepareRewards } from "../prepare.js";
import { keptOf, spreadAdvantages } from "../rollout.js";
import { rewardsInForce } from "../warm-up.js";
import { countChanges, flips, isSame } from "./compare.js";
import type { ReplayCounts, ReplayedCompletion } from "./compare.js";
import { replayInput } from "./input.js";
import type { ReplayKeys } from "./input.js";
import { readRollout } from "./record.js";
import type { RolloutRecord } from "./record.js";

/** Options of `replayRewards`. */
export interface ReplayRewardsOptions {
  /** Rewards by name with their weights, in the place of those of the run. Default: the configuration's. */
  readonly rewards?: RewardRecord;
  /** Keys that shall be others than in the run. */
  readonly config?: ReplayKeys;
  /** Ends the replay; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** A step that was scored again. */
export interface ReplayedStep extends ReplayCounts {
  /** Optimizer step, and number of the rollout batch. */
  readonly step: number;
  readonly rollout: number;
  /** Completions whose advantage changed its sign. */
  readonly flips: readonly ReplayedCompletion[];
}

/** What a replay showed. */
export interface RewardReplay {
  readonly folder: string;
  /** Weights of the rewards, in the run and now. */
  readonly weights: {
    readonly before: Readonly<Record<string, number>>;
    readonly after: Readonly<Record<string, number>>;
  };
  readonly steps: readonly ReplayedStep[];
  readonly total: ReplayCounts;
  /** Nothing changed by a single bit: no reward, before or after weighting, and no advantage. */
  readonly identical: boolean;
}

/**
 * Scores the recorded completions of a run again. With the run's own rewards the result is the record, bit for bit.
 *
 * Completions have no log-probabilities then: they are not recorded.
 *
 * @param folder the run folder
 * @throws RunError RUN_NOT_FOUND, REPLAY_NOTHING (no completions were recorded), REPLAY_VERSION, REPLAY_RECORD,
 *   REPLAY_INCOMPLETE, REPLAY_ROW_MISSING, REPLAY_ROW_CHANGED; ConfigError, DataError; RewardError by name, step and row
 */
export async function replayRewards(folder: string, options: ReplayRewardsOptions = {}): Promise<RewardReplay> {
  const { signal } = options;
  const run = await openRun(folder);
  const steps = await run.rolloutSteps();
  if (steps.length === 0) throw nothing(folder);
  // Looked at first: what another version recorded is better refused by that than by a key of its configuration.
  readRollout(await run.rollouts(steps[0]!), steps[0]!);

  const named = options.rewards && { reward_funcs: Object.keys(options.rewards) };
  const input = replayInput(
    await run.config(),
    { ...options.config, ...named },
    { inCode: options.rewards !== undefined },
  );
  const { config, rewards } = await prepareRewards(input, options.rewards);
  const rows = await rowsByPlace(config);
  await openRewards(rewards, { ...(signal && { signal }) });
  await using _closed = { [Symbol.asyncDispose]: () => closeRewards(rewards) };

  const replayed: { readonly step: ReplayedStep; readonly completions: readonly ReplayedCompletion[] }[] = [];
  for (const step of steps) {
    const groups = readRollout(await run.rollouts(step), step);
    const completions = await replayStep(groups, { step, config, rewards, rows, signal });
    const { rollout } = groups[0]![0]!;
    replayed.push({
      step: { step, rollout, ...countChanges(completions), flips: completions.filter(flips) },
      completions,
    });
  }
  const all = replayed.flatMap(({ completions }) => completions);
  return {
    folder,
    weights: { before: await weightsOf(run), after: weightsIn(rewards) },
    steps: replayed.map(({ step }) => step),
    total: countChanges(all),
    identical: all.every(isSame),
  };
}

interface StepContext {
  readonly step: number;
  readonly config: ResolvedConfig;
  readonly rewards: RewardSet;
  readonly rows: ReadonlyMap<string, Row>;
  readonly signal: AbortSignal | undefined;
}

async function replayStep(
  records: readonly (readonly RolloutRecord[])[],
  { step, config, rewards, rows, signal }: StepContext,
): Promise<ReplayedCompletion[]> {
  const groups = records.map(([first, ...more]): RewardGroup => ({
    prompt: { row: rowOf(first!, rows, step) },
    completions: [first!, ...more].map(({ text, token_ids, finish }) => ({
      text,
      tokenIds: Int32Array.from(token_ids),
      finishReason: finish,
    })),
  }));
  const { rollout, fidelity_warmup } = records[0]![0]!;
  const inForce = rewardsInForce(
    { config, rewards },
    config.fidelity_warmup === null ? null : stateOf(fidelity_warmup),
  );
  const scored = await scoreRewards(groups, inForce, { step: rollout, ...(signal && { signal }) });
  const advantages = valueOf(groups, scored, records, config);
  return records.flatMap((group, prompt) =>
    group.map((record, sample) => ({
      row: record.row,
      prompt,
      sample,
      reward: { before: record.reward, after: scored.totals[prompt]![sample]! },
      rewards: {
        before: record.rewards,
        after: Object.fromEntries(
          Object.entries(scored.breakdown).map(([name, values]) => [name, values[prompt]![sample]!]),
        ),
      },
      advantage: { before: record.advantage, after: advantages[prompt]![sample]! },
    })),
  );
}

/** [P][G] advantages as a step of the run takes them: flat prompts may be left out, and the KL may be paid for. */
function valueOf(
  groups: readonly RewardGroup[],
  scored: ScoredRewards,
  records: readonly (readonly RolloutRecord[])[],
  config: ResolvedConfig,
): number[][] {
  const options = advantageOptions(config);
  const kept = keptOf(
    { groups, scored, flat: flatGroups(scored, options) },
    {
      dropZeroVariance: config.drop_zero_variance_groups,
      updates: batchSizes(config).updatesPerBatch / config.num_iterations,
    },
  );
  // What the policy strayed from its reference is what it was, whatever the rewards are.
  const penalties = kept.groups.map((group) =>
    records[groups.indexOf(group)]!.map(({ kl_penalty: penalty }) => penalty ?? 0),
  );
  const totals = lessPenalties(kept.earned.totals, penalties);
  const advantages = advantagesOf({ ...kept.earned, totals }, options);
  return spreadAdvantages(groups, kept.groups, advantages);
}

/** Only whether the warm-up is over decides which rewards are in force; a run without one is as after it. */
function stateOf(warmingUp: boolean | null): FidelityWarmup {
  return { batches: 0, surplus: null, srcc: null, endedAfter: warmingUp === true ? null : 0 };
}

async function rowsByPlace(config: ResolvedConfig): Promise<ReadonlyMap<string, Row>> {
  const rows = await loadRows(config);
  return new Map(rows.map((row) => [placeOf(row), row]));
}

function placeOf({ source: { file, line } }: Pick<Row, "source">): string {
  return `${file}:${line}`;
}

function rowOf(record: RolloutRecord, rows: ReadonlyMap<string, Row>, step: number): Row {
  const { file, line } = record.source;
  const row = rows.get(placeOf(record));
  const where = `line ${line} of data file ${file + 1}`;
  const advice = "Give the data files of the run, in their order (--data_file_paths), unchanged but for added fields";
  if (row === undefined) {
    throw new RunError(
      "REPLAY_ROW_MISSING",
      `step ${step} was sampled from row ${record.row}, ${where}, and there is none. ${advice}.`,
      { fields: { step, row: record.row, file, line } },
    );
  }
  if (row.id === record.row && row.dataset === record.dataset && (row.mos ?? null) === record.mos) return row;
  const now = `row ${row.id} of "${row.dataset}" with the score ${row.mos ?? "none"}`;
  const then = `row ${record.row} of "${record.dataset}" with the score ${record.mos ?? "none"}`;
  throw new RunError(
    "REPLAY_ROW_CHANGED",
    `${where} holds ${now}, and step ${step} was sampled when it held ${then}. ${advice}.`,
    { fields: { step, row: record.row, file, line } },
  );
}

function weightsIn(rewards: RewardSet): Record<string, number> {
  return Object.fromEntries(rewards.map(({ name, weight }) => [name, weight]));
}

async function weightsOf(run: Run): Promise<Record<string, number>> {
  const { reward_funcs: names, reward_weights: weights } = (await run.config()) as Partial<ResolvedConfig>;
  return Object.fromEntries((names ?? []).map((name, index) => [name, weights?.[index] ?? 1]));
}

function nothing(folder: string): RunError {
  return new RunError(
    "REPLAY_NOTHING",
    `the run in ${folder} has recorded no completions, so there is nothing to score again. Runs record them unless log_completions is false.`,
    { fields: { folder } },
  );
}
