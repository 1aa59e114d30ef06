/**
 * One run of `bench/ranking.ts`: trains from a start with the rewards of a condition, then evaluates.
 *
 * @module
 */
import type { ConfigInput } from "../../src/config/index.js";
import { loadRows } from "../../src/data/index.js";
import { mean } from "../../src/stats/index.js";
import { digestFile, digestModel, digestText } from "../../src/trainer/evaluation/digests.js";
import { train } from "../../src/trainer/index.js";
import type { TrainerEvent } from "../../src/trainer/index.js";
import type { LabelledRow } from "./controls.js";
import { commonSettings, conditions } from "./ranking-conditions.js";
import type { Condition } from "./ranking-conditions.js";
import { rateCheckpoint } from "./rate-checkpoint.js";
import type { RankingJob, RankingResult } from "./ranking-results.js";

/** What a run works on. */
export interface RankingSources {
  /** JSONL files; the pictures lie in their folders. */
  readonly train: string;
  readonly test: string;
  /** Settings that replace the common ones. */
  readonly settings: Partial<ConfigInput>;
}

/** A run as its process gets it. */
export interface RankingRun extends RankingJob, RankingSources {
  /** The checkpoint it starts from. */
  readonly model: string;
  /** Run folder; replaced. */
  readonly folder: string;
}

/** Steps that are one point of a curve. */
const CURVE_STEPS = 10;

/** @returns the condition of a name. @throws Error for a name that is none */
export function conditionOf(name: string): Condition {
  const found = conditions.find((condition) => condition.name === name);
  if (found !== undefined) return found;
  throw new Error(`there is no condition "${name}"; there are ${conditions.map((one) => one.name).join(", ")}.`);
}

/** Everything that decides a result, by content. */
export async function digestOf(
  { condition, seed }: Pick<RankingJob, "condition" | "seed">,
  model: string,
  { train: trainFile, test, settings }: RankingSources,
): Promise<string> {
  const asked = { ...commonSettings, ...settings };
  const { question_template, max_completion_length, torch_dtype } = asked;
  const content = [
    condition,
    // Nothing else concerns an evaluation.
    { question_template, max_completion_length, torch_dtype },
    condition === "start"
      ? null
      : { seed, ...asked, ...conditionOf(condition).overrides, data: (await digestFile(trainFile)).sha256 },
    (await digestFile(test)).sha256,
    (await digestModel(model)).sha256,
  ];
  return digestText(JSON.stringify(content)).slice(0, 16);
}

/** Does the run, from the checkpoint to the figures. */
export async function runJob(run: RankingRun): Promise<RankingResult> {
  const { condition, start, seed, digest } = run;
  const trained = condition === "start" ? null : await trainFrom(run);
  const settings = { ...commonSettings, ...run.settings };
  const evaluated = await rateCheckpoint({ model: trained?.model ?? run.model, data: run.test, settings });
  const { steps = null, seconds = null, warmupEnd = null, collapses = [], curve = [] } = trained ?? {};
  return { condition, start, seed, digest, steps, seconds, warmupEnd, collapses, curve, ...evaluated };
}

async function trainFrom(run: RankingRun) {
  const condition = conditionOf(run.condition);
  const config: ConfigInput = {
    ...commonSettings,
    ...run.settings,
    ...condition.overrides,
    model_name_or_path: run.model,
    data_file_paths: run.train,
    output_dir: run.folder,
    overwrite_output_dir: true,
    seed: run.seed,
    // One checkpoint at the end is enough: an interrupted run begins anew.
    save_steps: 1_000_000,
    save_only_model: true,
    log_completions: false,
  };
  const rows = (await loadRows(config)).map(labelled);
  const began = performance.now();
  const training = train(config, { rewards: condition.rewards({ seed: run.seed, rows }) });
  const events: TrainerEvent[] = [];
  for await (const event of training) events.push(event);
  const { model, step } = await training.result;
  const seconds = (performance.now() - began) / 1000;
  return { model: model!, steps: step, seconds, ...courseOf(events) };
}

/** What the events tell of a run. */
function courseOf(events: readonly TrainerEvent[]): Pick<RankingResult, "warmupEnd" | "collapses" | "curve"> {
  const steps = events.flatMap((event) => (event.type === "step-end" ? [event.metrics["batch_srcc"] ?? null] : []));
  const pieces = Array.from({ length: Math.ceil(steps.length / CURVE_STEPS) }, (_, piece) =>
    steps.slice(piece * CURVE_STEPS, (piece + 1) * CURVE_STEPS).filter((value) => value !== null),
  );
  return {
    warmupEnd: events.find((event) => event.type === "fidelity-warmup-end")?.step ?? null,
    collapses: events.flatMap((event) => (event.type === "alarm" && event.name === "collapse" ? [event.step] : [])),
    curve: pieces.map(mean),
  };
}

function labelled({ mos, dataset, source, id }: Awaited<ReturnType<typeof loadRows>>[number]): LabelledRow {
  if (mos === undefined) throw new Error(`row ${id} has no label, and these rewards compare labels.`);
  return { mos, dataset, source };
}
