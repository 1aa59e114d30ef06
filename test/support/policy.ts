/**
 * Policies over fake workers, and rows made by hand, for tests of the policy room.
 *
 * @module
 */
import { createWorkerPolicy } from "../../src/policy/index.js";
import type { Picture, Policy, PolicySettings, TrainGroup } from "../../src/policy/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker } from "../../src/testing/index.js";
import { meddle } from "./fake-run.js";
import type { Meddling } from "./fake-run.js";

/** A row of these tests: its text and its pictures. */
export interface TestRow {
  readonly text: string;
  readonly pictures?: readonly Picture[];
}

/** Rows that are all text. */
export const textRows: readonly TestRow[] = [{ text: "one" }, { text: "second" }, { text: "third row" }];

/** A picture of one colour, 28 x 28; `reads` counts how often its pixels were asked for. */
export function testPicture(key: string, pixels = 28 * 28): Picture & { readonly reads: number } {
  let reads = 0;
  const height = pixels / 28;
  return {
    key,
    hash: `hash of ${key}`,
    height,
    width: 28,
    targetHeight: 28,
    targetWidth: 28,
    get reads() {
      return reads;
    },
    async pixels() {
      reads += 1;
      return new Uint8Array(pixels * 3).fill(7);
    },
  };
}

const SETTINGS: PolicySettings = {
  seed: 42,
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  maxCompletionLength: 64,
  maxGradNorm: 1,
  planner: {},
};

export interface TestPolicyOptions extends Meddling {
  readonly worker?: FakeWorker;
  readonly settings?: Partial<PolicySettings>;
  readonly planner?: PolicySettings["planner"];
  /** How the ranks are told to train one model. */
  readonly strategy?: string;
  /** Whether the worker's ranks train one model. Default: where there are several. */
  readonly together?: boolean;
}

/** A policy whose rows are `TestRow`s; the n-th row of a call is line n of file 0. */
export async function createTestPolicy(options: TestPolicyOptions = {}): Promise<Policy<TestRow>> {
  const { worker = createFakeWorker(), settings = {}, planner = {}, together, strategy, ...meddling } = options;
  const connection = await meddle(worker, meddling)();
  const several = connection.callers.length > 1;
  return createWorkerPolicy<TestRow>({
    callers: connection.callers,
    close: () => connection.close(),
    load: { model: "none", ...(strategy !== undefined && { strategy }) },
    ...((together ?? several) && { ranks: { rendezvous: "/meeting", timeout: 60 } }),
    settings: { ...SETTINGS, planner, ...settings },
    prepare: async (rows) =>
      rows.map((row, index) => ({
        row,
        source: { file: 0, line: index + 1 },
        messages: [
          {
            role: "user",
            content: [...(row.pictures ?? []).map(() => ({ type: "image" })), { type: "text", text: row.text }],
          },
        ],
        images: row.pictures ?? [],
      })),
  });
}

/** A group of these lengths, all zeros. */
export function emptyGroup(firstIndex: number, prompt: number, completions: readonly number[]): TrainGroup {
  return {
    promptIds: new Int32Array(prompt),
    images: [],
    firstIndex,
    sequences: completions.map((length) => ({
      tokenIds: new Int32Array(length),
      advantages: new Float32Array(length),
      weights: new Float32Array(length),
    })),
  };
}
