/**
 * The results of `bench/ranking.ts`, and the jobs that lack one.
 *
 * @module
 */
import { z } from "zod";
import { appendRecord, readRecords, requireSame } from "./results-file.js";

const figure = z.number().nullable();
const estimator = z.object({
  srcc: figure,
  /** 95 %, by photograph. */
  low: figure,
  high: figure,
  /** Standard deviation of the scores over pictures. */
  spread: figure,
  formatRate: figure,
  /** Pictures without a score. */
  unscored: z.number().int(),
  /** [pictures] */
  scores: z.array(figure),
});
const evaluation = z.object({ sampled: estimator, greedy: estimator, expected: estimator });

const record = z.object({
  /** "start": a checkpoint as it is; else a condition's name. */
  condition: z.string(),
  /** Folder name of the checkpoint that the run began with. */
  start: z.string(),
  seed: z.number().int(),
  /** Digest of everything that decides the result: settings, data, checkpoint. */
  digest: z.string(),
  /** Of the training, evaluation left out; null for a start. */
  steps: z.number().int().nullable(),
  seconds: figure,
  /** Processor time of the same, worker and Node, from loading to the exported model; null as well where nobody took it. */
  cpuSeconds: figure.default(null),
  /** Step at which `fidelity_warmup` ended; null where it did not, or is not on. */
  warmupEnd: z.number().int().nullable(),
  /** Steps at which the alarm for collapse began. */
  collapses: z.array(z.number().int()),
  /** Correlation within the rollout batch, means of ten steps each. */
  curve: z.array(figure),
  evaluation,
  /** The same with a grey picture in the place of every picture; null where that was not asked for. */
  blank: evaluation.nullable().default(null),
  /** [pictures] what the scores are compared with, and whose resampling the intervals draw. */
  labels: z.array(z.number()),
  groups: z.array(z.string()),
});

export const ESTIMATORS = ["sampled", "greedy", "expected"] as const;

/** One finished run, or a start. */
export type RankingResult = z.output<typeof record>;

/** What has to be done. */
export type RankingJob = Pick<RankingResult, "condition" | "start" | "seed" | "digest">;

/** Names a run among those of a results file. */
export function nameOf({ condition, start, seed }: Pick<RankingJob, "condition" | "start" | "seed">): string {
  return condition === "start" ? `start ${start}` : `${condition} from ${start}, seed ${seed}`;
}

/** The results so far, as `readRecords`. */
export function readResults(file: string): Promise<RankingResult[]> {
  return readRecords(file, record);
}

/** @param line as a run wrote it */
export function appendResult(file: string, line: string): Promise<RankingResult> {
  return appendRecord(file, record, JSON.parse(line));
}

/**
 * The jobs that are not done.
 *
 * @throws Error when a result under a job's name was made with other settings, data or checkpoint
 */
export function openJobs(jobs: readonly RankingJob[], results: readonly RankingResult[]): RankingJob[] {
  const done = new Map(results.map((result) => [nameOf(result), result]));
  return jobs.filter((job) => {
    const result = done.get(nameOf(job));
    if (result !== undefined) requireSame(nameOf(job), result, job);
    return result === undefined;
  });
}
