/**
 * Runs against a fake worker, and ways to meddle with what it is asked and answers.
 *
 * @module
 */
import type { Caller, PlainMap, Reply, Tensor, Tensors } from "../../src/bridge/index.js";
import type { ConfigInput, RunResult, TrainerEvent, TrainOptions } from "../../src/index.js";
import { train } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakeWorker, FakeWorkerOptions } from "../../src/testing/index.js";

export interface FakeRun {
  readonly worker: FakeWorker;
  readonly events: readonly TrainerEvent[];
  readonly result: RunResult;
}

/** Trains to the end and collects all events. */
export async function runFake(
  config: ConfigInput,
  options: TrainOptions = {},
  fake: FakeWorkerOptions = {},
): Promise<FakeRun> {
  const worker = createFakeWorker(fake);
  const run = train(config, { connect: worker.connect, ...options });
  const events: TrainerEvent[] = [];
  for await (const event of run) events.push(event);
  return { worker, events, result: await run.result };
}

/** Events of one type. */
export function eventsOf<T extends TrainerEvent["type"]>(
  events: readonly TrainerEvent[],
  type: T,
): Extract<TrainerEvent, { type: T }>[] {
  return events.filter((event): event is Extract<TrainerEvent, { type: T }> => event.type === type);
}

export interface Meddling {
  /** Runs before a call is sent; throwing refuses it. */
  readonly before?: (method: string, params: PlainMap) => void | Promise<void>;
  /** Replaces a reply. @param sent tensors of the request */
  readonly after?: (method: string, reply: Reply, params: PlainMap, sent: Tensors) => Reply;
}

interface Connected {
  readonly callers: readonly Caller[];
}

/** A worker's `connect`, be it a fake's or a real one's, with someone in between. */
export function meddle<Given extends unknown[], Connection extends Connected>(
  worker: { readonly connect: (...given: Given) => Promise<Connection> },
  { before, after }: Meddling,
): (...given: Given) => Promise<Connection> {
  return async (...given) => {
    const connection = await worker.connect(...given);
    return {
      ...connection,
      callers: connection.callers.map((caller): Caller => ({
        close: () => caller.close(),
        async call(method, params, options) {
          await before?.(method, params);
          const reply = await caller.call(method, params, options);
          return after?.(method, reply, params, options?.tensors ?? {}) ?? reply;
        },
      })),
    };
  };
}

/** The reply with fields of its result replaced. */
export function withResult(reply: Reply, fields: PlainMap): Reply {
  return { ...reply, result: { ...reply.result, ...fields } };
}

/** The reply with tensors replaced. */
export function withTensors(reply: Reply, tensors: Record<string, Tensor>): Reply {
  return { ...reply, tensors: { ...reply.tensors, ...tensors } };
}

/** Methods of the calls, in order, without those named. */
export function methodsOf(worker: FakeWorker, without: readonly string[] = ["images", "encode", "describe"]): string[] {
  return worker.calls.map(({ method }) => method).filter((method) => !without.includes(method));
}
