/**
 * Services on real sockets, with a model that answers at once or when it is told to.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as turn } from "node:timers/promises";
import { afterAll, afterEach } from "vitest";
import { DEFAULT_LIMITS, startService } from "../../src/serve/index.js";
import type { Service, ServiceOptions } from "../../src/serve/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import { createMetric } from "../../src/trainer/index.js";
import type { Metric, Rating } from "../../src/trainer/index.js";
import { ask } from "./client.js";
import type { Asked, Said } from "./client.js";

export const PICTURE = readFileSync(resolve(import.meta.dirname, "../golden/decode/rgb.png"));

/** Rates every picture 3.25, greedily. */
export const metric = await createMetric({
  model: "fake",
  mode: "greedy",
  connect: createFakeWorker({ complete: () => "<answer>3.25</answer>" }).connect,
});
afterAll(() => metric.close());

const services: Service[] = [];
afterEach(async () => {
  for (const service of services.splice(0)) await service.stop(0);
});

export interface Serving extends Service {
  readonly say: (path: string, asked?: Omit<Asked, "url">) => Promise<Said>;
  readonly score: (asked: Omit<Asked, "url">) => Promise<Said>;
  readonly failures: unknown[];
}

export interface ServeOptions extends Partial<Omit<ServiceOptions, "limits">> {
  readonly limits?: Partial<ServiceOptions["limits"]>;
}

/** A service until the end of the test. @param model null: none is loaded yet */
export async function serve(
  { limits, ...options }: ServeOptions = {},
  model: Metric | null = metric,
): Promise<Serving> {
  const failures: unknown[] = [];
  const service = await startService({
    model: "m",
    host: "127.0.0.1",
    port: 0,
    token: null,
    root: null,
    limits: { ...DEFAULT_LIMITS, ...limits },
    onFailure: (error) => failures.push(error),
    ...options,
  });
  services.push(service);
  if (model !== null) service.open(model);
  const say: Serving["say"] = (path, asked = {}) => ask({ url: service.url + path, ...asked });
  return { ...service, say, score: (asked) => say("/v1/score", asked), failures };
}

/** A metric whose ratings come when it is told to. */
export function slowMetric(): {
  readonly metric: Metric;
  readonly asked: { readonly go: () => void; readonly signal: AbortSignal }[];
} {
  const asked: { go: () => void; signal: AbortSignal }[] = [];
  async function* score(inputs: Parameters<Metric["score"]>[0], { signal }: { signal?: AbortSignal } = {}) {
    await new Promise<void>((go, fail) => {
      asked.push({ go, signal: signal! });
      signal!.addEventListener("abort", () => fail(signal!.reason as Error));
    });
    for await (const _ of inputs) yield { id: "", score: 3, std: null, scores: [], status: "ok" } satisfies Rating;
  }
  return { metric: { ...metric, score }, asked };
}

/** A metric that fails at every batch. */
export function failingMetric(error: Error): Metric {
  return {
    ...metric,
    score: async function* () {
      yield* await Promise.reject<Rating[]>(error);
    },
  };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn(5);
}

/** Value of a series in Prometheus's text; 0 where it is missing. */
export function valueOf(text: string, series: string): number {
  const line = text.split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}
