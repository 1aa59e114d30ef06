/**
 * The trainings of `bench/ranking.ts`: by rewards, or by answers with the labels in them.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { answerLines } from "../../run_scripts/tiny-checkpoints/answer-rows.js";
import { readConfigSources } from "../../src/config/index.js";
import type { ConfigInput, SftConfigInput } from "../../src/config/index.js";
import { loadRows } from "../../src/data/index.js";
import { mean } from "../../src/stats/index.js";
import { sft, train } from "../../src/trainer/index.js";
import type { RunResult, StepValues, TrainerEvent, TrainingRun } from "../../src/trainer/index.js";
import type { LabelledRow } from "./controls.js";
import { cpuSeconds } from "./cpu-time.js";
import { commonSettings, rewardsOf } from "./ranking-conditions.js";
import type { AnswerCondition, Condition, RewardCondition } from "./ranking-conditions.js";
import type { RankingJob, RankingResult } from "./ranking-results.js";

/** What a run works on. */
export interface RankingSources {
  /** JSONL files; the pictures lie in their folders. */
  readonly train: string;
  readonly test: string;
  /** Settings that replace the common ones; supervised runs take over only those of model and question. */
  readonly settings: Partial<ConfigInput>;
  /** Steps of a supervised run; null: as the condition says. */
  readonly sftSteps: number | null;
}

/** A run as its process gets it. */
export interface RankingRun extends RankingJob, RankingSources {
  /** Whether grey pictures are shown as well after the training. */
  readonly blank: boolean;
  /** The checkpoint it starts from. */
  readonly model: string;
  /** Run folder; replaced. */
  readonly folder: string;
}

type Cost = Pick<RankingResult, "steps" | "seconds" | "cpuSeconds">;
type Course = Pick<RankingResult, "warmupEnd" | "collapses" | "curve">;

/** Steps that are one point of a curve. */
const CURVE_STEPS = 10;

/** A run writes one checkpoint, at its end: an interrupted one begins anew. */
const SAVING = { overwrite_output_dir: true, save_steps: 1_000_000, save_only_model: true } as const;

const SFT_FILE = resolve(import.meta.dirname, "../../run_scripts/tiny-checkpoints/sft.yaml");

/** Trains; the model lies in the run's folder then. */
export async function trainFrom(run: RankingRun, condition: Condition): Promise<{ model: string } & Cost & Course> {
  return condition.kind === "rewards" ? trainByRewards(run, condition) : trainByAnswers(run, condition);
}

async function trainByRewards(run: RankingRun, condition: RewardCondition) {
  const config: ConfigInput = {
    ...commonSettings,
    ...run.settings,
    ...condition.overrides,
    ...SAVING,
    model_name_or_path: run.model,
    data_file_paths: run.train,
    output_dir: run.folder,
    seed: run.seed,
    log_completions: false,
  };
  const rows = (await loadRows(config)).map(labelled);
  const { events, ...trained } = await measured(() =>
    train(config, { rewards: rewardsOf(condition, { seed: run.seed, rows }) }),
  );
  return { ...trained, ...courseOf(events) };
}

async function trainByAnswers(run: RankingRun, condition: AnswerCondition) {
  const answers = `${run.folder}.answers.jsonl`;
  const lines = (await readFile(run.train, "utf8")).trimEnd().split("\n");
  await writeFile(answers, answerLines(lines, { scores: "true", seed: run.seed }).join(""));
  const config: SftConfigInput = {
    ...(await answerSettings(condition, run)),
    ...SAVING,
    model_name_or_path: run.model,
    data_file_paths: answers,
    image_folders: dirname(run.train),
    output_dir: run.folder,
    seed: run.seed,
  };
  const { events: _, ...trained } = await measured(() => sft(config));
  return { ...trained, warmupEnd: null, collapses: [], curve: [] };
}

/** The settings of a supervised run, without where things lie. */
export async function answerSettings(
  { overrides }: AnswerCondition,
  { settings, sftSteps }: Pick<RankingSources, "settings" | "sftSteps">,
): Promise<Partial<SftConfigInput>> {
  const { values, problems } = await readConfigSources([SFT_FILE]);
  if (problems.length > 0) throw new Error(`${SFT_FILE}: ${problems.map(({ message }) => message).join("; ")}`);
  const { question_template, torch_dtype, device, worker_threads, freeze_vision_modules } = {
    ...commonSettings,
    ...settings,
  };
  return {
    ...(values as Partial<SftConfigInput>),
    question_template,
    torch_dtype,
    device,
    worker_threads,
    freeze_vision_modules,
    ...overrides,
    ...(sftSteps !== null && { max_steps: sftSteps }),
  };
}

/** Follows a training from its start to the end of its worker. */
async function measured<Metrics extends StepValues>(start: () => TrainingRun<Metrics>) {
  const cpuBefore = await cpuSeconds();
  const began = performance.now();
  const training = start();
  const events: TrainerEvent<Metrics>[] = [];
  for await (const event of training) events.push(event);
  const { model, step }: RunResult<Metrics> = await training.result;
  const seconds = (performance.now() - began) / 1000;
  const cpuAfter = await cpuSeconds();
  const cpu = cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore;
  return { model: model!, steps: step, seconds, cpuSeconds: cpu, events };
}

/** What the events tell of a run. */
function courseOf(events: readonly TrainerEvent[]): Course {
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
