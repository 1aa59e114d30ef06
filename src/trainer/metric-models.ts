/**
 * Which checkpoints come with the package, and what is meant by the name of a model.
 *
 * @module
 */
import { existsSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { nearestName } from "../config/index.js";
import { ConfigError } from "../errors.js";
import { PACKAGE_ROOT } from "../python/index.js";
import { SCORE_RANGE } from "../rewards/index.js";

/** A checkpoint that comes with the package, for trying things out. */
export interface BundledModel {
  /** What `createMetric` and the command line take. */
  readonly name: string;
  readonly description: string;
  readonly folder: string;
  /** The one question that it was taught, and how it is put. */
  readonly question: string;
  readonly questionTemplate: string;
  /** It was taught to name the distortion before the score: behind a forced answer tag it writes something else at times. */
  readonly expectedAfter: "thinking";
  /** Area of the largest picture that it can read, in pixels; larger ones are reduced to it. */
  readonly maxPixels: number;
  /** Higher scores are better. */
  readonly lowerBetter: false;
  readonly scoreRange: readonly [1, 5];
}

const DESCRIPTIONS = {
  rated: "taught the scores of degraded photographs: the one to try scoring with",
  part: "taught a little of that: where reinforcement learning can go on",
  zero: "taught to answer, with scores that mean nothing: the start of the quickstart",
} as const;

/** The bundled checkpoints. Each has 2.5 million parameters, and was taught on windows of 56 x 56 pixels. */
export function listModels(): BundledModel[] {
  return Object.entries(DESCRIPTIONS).map(([name, description]) => ({
    name,
    description,
    folder: join(PACKAGE_ROOT, "assets", name),
    question: "Rate the quality of this image from 1 to 5.",
    questionTemplate: "{Question}",
    expectedAfter: "thinking",
    maxPixels: 9408,
    lowerBetter: false,
    scoreRange: [SCORE_RANGE.minimum, SCORE_RANGE.maximum],
  }));
}

/** What is known of a model by its name alone. */
export interface FoundModel {
  /** Folder or hub id. */
  readonly model: string;
  /** The bundled checkpoint that it is. */
  readonly bundled: BundledModel | null;
}

/** How the hub names a checkpoint. */
const HUB_ID = /^[\w-][\w.-]*\/[\w.-]+$/;

export interface FindModelOptions {
  /** Where relative folders are looked for. Default: the current folder. */
  readonly cwd?: string;
  /** Take a name that is none of those as it stands: a worker on another machine may know it. Default false. */
  readonly anyName?: boolean;
}

/**
 * A folder, else a bundled name, else a hub id. The folder of a bundled checkpoint is that checkpoint.
 *
 * @throws ConfigError METRIC_MODEL that lists the names
 */
export function findModel(model: string, { cwd = process.cwd(), anyName = false }: FindModelOptions = {}): FoundModel {
  const models = listModels();
  const folder = resolve(cwd, model);
  if (existsSync(folder)) {
    const real = realpathSync(folder);
    return {
      model: folder,
      bundled: models.find((one) => existsSync(one.folder) && realpathSync(one.folder) === real) ?? null,
    };
  }
  const bundled = models.find(({ name }) => name === model);
  if (bundled !== undefined) return { model: bundled.folder, bundled };
  if (anyName || HUB_ID.test(model)) return { model, bundled: null };
  const names = models.map(({ name }) => name);
  const near = nearestName(model, names);
  throw new ConfigError(
    "METRIC_MODEL",
    `"${model}" is no folder below ${cwd}, none of the bundled models (${names.join(", ")}), and no hub id, which has the form owner/name.${near === null ? " Give one of these." : ` Did you mean "${near}"?`}`,
    { fields: { model, bundled: names } },
  );
}
