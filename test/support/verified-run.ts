/**
 * Runs of a fake worker that are verified.
 *
 * @module
 */
import { verifyRun } from "../../src/index.js";
import type { ConfigInput, TrainOptions, Verification, VerifyOptions } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakePrompt, FakeWorker } from "../../src/testing/index.js";
import type { DataSet } from "./data-set.js";
import { runFake } from "./fake-run.js";

/** Texts of many lengths, so that the fake's loss is not 0; some cannot be read. */
export const complete = ({ draw, version, sample }: FakePrompt): string =>
  draw > 0.9
    ? "no idea"
    : `<think>${"x".repeat(Math.floor(20 * draw))}${version}</think><answer>${(1 + ((4 * draw + sample / 3) % 4)).toFixed(3)}</answer>`;

/** Trains to the end, in a folder of the set. @returns the run folder */
export async function recordRun(
  set: DataSet,
  name: string,
  more: Partial<ConfigInput> = {},
  options: TrainOptions = {},
): Promise<string> {
  const config = set.config(name, more);
  await runFake(config, options, { complete });
  return config.output_dir!;
}

/** Verifies with a worker of its own. */
export const verify = (
  folder: string,
  options: VerifyOptions = {},
  worker: FakeWorker = createFakeWorker({ complete }),
) => verifyRun(folder, { connect: worker.connect, ...options });

/**
 * What differs and follows from nothing else: its subject, its step, and where. The fake exports its weight as JSON, which
 * counts as a file beside the weights: one that follows from nothing. It is left out.
 */
export const causesOf = ({ differences }: Verification): unknown[] =>
  differences
    .filter(({ follows, what }) => !follows && what !== "weight.json")
    .map(({ about, step, what }) => [about, step, what]);
