/**
 * Every picture by every model, one model at a time, so that only one is in memory.
 *
 * @module
 */
import { createMetric } from "../../trainer/index.js";
import type { MetricOptions } from "../../trainer/index.js";
import type { ScoreRecord } from "./formats.js";
import type { ScoreInput } from "./inputs.js";
import type { ModelRun } from "./score-text.js";

/** What a test gives instead of a worker, Ctrl-C and a clock. */
export interface ScoreSurroundings extends Pick<MetricOptions, "connect" | "signal"> {
  /** Milliseconds from anywhere. Default: the process's clock. */
  readonly now?: () => number;
}

/** A model by the name that records give it. */
export interface AskedModel {
  readonly model: string;
  readonly options: MetricOptions;
}

export interface RateOptions extends ScoreSurroundings {
  readonly inputs: readonly ScoreInput[];
  readonly models: readonly AskedModel[];
  readonly batch: number;
  /** What need not be rated again. */
  readonly standing: readonly ScoreRecord[];
  /** Called for every record of the result, as it comes, those that stand first. */
  readonly keep: (record: ScoreRecord, isNew: boolean) => Promise<void>;
  readonly say: (line: string) => void;
}

export interface RatedPictures {
  /** In the order of the inputs, each with one record per model; pictures that no model has come to are left out. */
  readonly pictures: readonly (readonly ScoreRecord[])[];
  readonly runs: readonly ModelRun[];
  /** Whether the signal ended it. */
  readonly stopped: boolean;
}

/** Lines of progress per model, about. */
const PROGRESS = 20;

export async function ratePictures(options: RateOptions): Promise<RatedPictures> {
  const { inputs, models, signal, keep } = options;
  const known = new Map(options.standing.map((record) => [keyOf(record.model, record.path), record]));
  const pictures: ScoreRecord[][] = inputs.map(() => []);
  const runs: ModelRun[] = [];
  for (const { model } of models) {
    for (const [place, { name }] of inputs.entries()) {
      const record = known.get(keyOf(model, name));
      if (record === undefined) continue;
      pictures[place]!.push(record);
      await keep(record, false);
    }
  }
  const result = (stopped: boolean): RatedPictures => ({
    pictures: pictures.filter((records) => records.length > 0),
    runs,
    stopped,
  });
  for (const asked of models) {
    const open = [...inputs.entries()].filter(([, { name }]) => !known.has(keyOf(asked.model, name)));
    const run = { model: asked.model, rated: 0, seconds: 0 };
    runs.push(run);
    try {
      for await (const [place, record] of rateWith(asked, open, run, options)) {
        pictures[place]!.push(record);
        await keep(record, true);
      }
    } catch (error) {
      if (signal?.aborted === true) return result(true);
      throw error;
    }
  }
  return result(false);
}

/** @param run counts along */
async function* rateWith(
  { model, options }: AskedModel,
  open: readonly (readonly [number, ScoreInput])[],
  run: { rated: number; seconds: number },
  { batch, connect, signal, say, now = () => performance.now() }: RateOptions,
): AsyncGenerator<[number, ScoreRecord]> {
  if (open.length === 0) return;
  const stopping = signal && { signal };
  const onStderr = (line: string): void => say(`worker: ${line}`);
  await using metric = await createMetric({ ...options, onStderr, ...(connect && { connect }), ...stopping });
  const paths = open.map(([, { path }]) => path);
  const begin = now();
  for await (const { id: _, ...rating } of metric.score(paths, { batch, start: open[0]![0], ...stopping })) {
    const [place, { name }] = open[run.rated]!;
    run.rated += 1;
    run.seconds = (now() - begin) / 1000;
    yield [place, { path: name, model, ...rating }];
    if (run.rated === open.length || run.rated % Math.ceil(open.length / PROGRESS) === 0) {
      say(`${model}: ${run.rated} of ${open.length} pictures, ${(run.rated / run.seconds).toFixed(1)}/s`);
    }
  }
}

function keyOf(model: string, path: string): string {
  return JSON.stringify([model, path]);
}
