/**
 * The service: one model behind HTTP, from its first address to its last answer.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { BridgeError, EnvironmentError, WorkerError } from "../errors.js";
import type { Metric } from "../trainer/index.js";
import { checkToken, createDoor } from "./access.js";
import { createBudget } from "./budget.js";
import { createHttpServer } from "./http-server.js";
import type { Answer, Exchange } from "./http-server.js";
import { checkLimits } from "./limits.js";
import type { ServeLimits } from "./limits.js";
import { Refusal } from "./refusal.js";
import { openRoot } from "./root-folder.js";
import { createScheduler } from "./scheduler.js";
import type { Scheduler } from "./scheduler.js";
import { scoreRequest } from "./score-request.js";
import { createServiceMetrics } from "./service-metrics.js";

export interface ServiceOptions {
  /** Name of the model, as records give it. */
  readonly model: string;
  /** An address, or a name that has one. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** null: none is asked for, which only an address of this machine allows. */
  readonly token: string | null;
  /** Folder whose files requests may name, absolute; null: none. */
  readonly root: string | null;
  readonly limits: ServeLimits;
  /** Told of what went wrong in here, with a text for the log. */
  readonly onFailure?: (error: unknown) => void;
  /** Milliseconds from anywhere. Default: the process's clock. */
  readonly now?: () => number;
}

export interface Service {
  readonly url: string;
  readonly port: number;
  /** From here on pictures are rated; until then they are refused, and GET /readyz says so. */
  open(metric: Metric): void;
  /** Resolves with the error when the model's worker is lost, which it stays. */
  readonly lost: Promise<Error>;
  /** Takes no more, finishes what is under way within so many milliseconds, ends the rest. */
  stop(grace: number): Promise<void>;
}

/** Milliseconds for answers to those whose pictures were not rated within the grace. */
const FLUSH_TIME = 1000;
const FAILED = "the pictures could not be rated; the service's log says why.";
/** After these no call to the worker comes back. */
const LOST = ["WORKER_DIED", "WORKER_UNRESPONSIVE", "WORKER_STALLED", "BRIDGE_CLOSED", "BRIDGE_UNREACHABLE"];

interface Route {
  readonly method: "GET" | "POST";
  /** Answered to anybody: a supervisor has no token. */
  readonly isPublic?: true;
  readonly answer: (exchange: Exchange) => Answer | Promise<Answer>;
}

/**
 * Listens; nothing is rated before `open`.
 *
 * @throws ConfigError SERVE_TOKEN, SERVE_LIMITS, SERVE_ROOT; EnvironmentError SERVE_LISTEN
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { model, token, limits, onFailure = () => undefined, now = () => performance.now() } = options;
  checkLimits(limits);
  const { address } = await lookup(options.host).catch((cause: unknown) => Promise.reject(unreachable(options, cause)));
  checkToken(address, token);
  const root = options.root === null ? null : await openRoot(options.root);
  const admit = createDoor(token);
  const budget = createBudget(limits.maxHeldBytes);
  let rated: { readonly metric: Metric; readonly scheduler: Scheduler } | null = null;
  let ending: Refusal | null = null;
  let tellLost: (error: Error) => void;
  const lost = new Promise<Error>((resolve) => {
    tellLost = resolve;
  });

  const metrics = createServiceMetrics({
    ready: () => (rated === null || ending !== null ? 0 : 1),
    waiting: () => rated?.scheduler.waiting ?? 0,
    running: () => rated?.scheduler.running ?? 0,
    heldBytes: () => budget.bytes,
  });

  function whenReady(): NonNullable<typeof rated> {
    if (ending !== null) throw ending;
    if (rated !== null) return rated;
    throw new Refusal("SERVE_LOADING", "the model is being loaded. Ask again later.", { "Retry-After": "5" });
  }

  function describe(): Answer {
    const { metric } = whenReady();
    const { mode, scoreRange, lowerBetter } = metric;
    const { family, device, dtype } = metric.model;
    return json({ model, mode, scoreRange, lowerBetter, family, device, dtype, paths: root !== null, limits });
  }

  async function score(exchange: Exchange): Promise<Answer> {
    const { scheduler } = whenReady();
    const ratings = await scoreRequest(exchange, scheduler, { model, limits, budget, root });
    for (const { code } of ratings) metrics.picture(code ?? "ok");
    return json({ ratings });
  }

  const routes = new Map<string, Route>([
    ["/", { method: "GET", answer: describe }],
    ["/v1/model", { method: "GET", answer: describe }],
    ["/v1/score", { method: "POST", answer: score }],
    ["/healthz", { method: "GET", isPublic: true, answer: () => json({ status: "alive" }) }],
    ["/readyz", { method: "GET", isPublic: true, answer: () => (whenReady(), json({ status: "ready" })) }],
    [
      "/metrics",
      {
        method: "GET",
        answer: async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
      },
    ],
  ]);

  async function answer(exchange: Exchange): Promise<Answer> {
    const { url = "", method = "", headers } = exchange.request;
    const route = routes.get(url);
    if (route?.isPublic !== true) admit(headers);
    if (route === undefined) {
      throw new Refusal("SERVE_NOT_FOUND", `there is no such path. There are: ${[...routes.keys()].join(", ")}.`);
    }
    if (method !== route.method && !(method === "HEAD" && route.method === "GET")) {
      throw new Refusal("SERVE_METHOD", `this path takes ${route.method}.`, { Allow: route.method });
    }
    return route.answer(exchange);
  }

  const { server, idle } = createHttpServer({
    ...limits,
    answer,
    onFailure,
    closing: () => ending !== null,
    onEnd: (request, status, seconds) => {
      const known = routes.has(request?.url ?? "");
      metrics.request(known ? request!.url! : "other", status, seconds);
    },
    now,
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(unreachable(options, cause)));
    server.listen(options.port, address, resolve);
  });
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://${address.includes(":") ? `[${address}]` : address}:${port}`,
    port,
    lost,
    open(metric) {
      const scheduler: Scheduler = createScheduler({
        ...limits,
        score: metric.score,
        mixed: metric.mode !== "sampled",
        onBatch: metrics.batch,
        explain: (error) => {
          onFailure(error);
          if (!isLost(error)) return new Refusal("SERVE_FAILED", FAILED);
          ending ??= new Refusal("SERVE_FAILED", "the model is lost, and the service ends.");
          scheduler.stop(ending);
          tellLost(error);
          return ending;
        },
        now,
      });
      rated = { metric, scheduler };
    },
    async stop(grace) {
      ending ??= new Refusal("SERVE_STOPPING", "the service is being stopped. Ask another one.", {
        "Retry-After": "5",
      });
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await within(grace, idle());
      rated?.scheduler.stop(ending);
      await within(FLUSH_TIME, idle());
      server.closeAllConnections();
      await closed;
    },
  };
}

function isLost(error: unknown): error is WorkerError | BridgeError {
  return (error instanceof WorkerError || error instanceof BridgeError) && LOST.includes(error.code);
}

function json(value: unknown): Answer {
  return { status: 200, type: "application/json", body: `${JSON.stringify(value)}\n` };
}

async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  const late = new AbortController();
  const timer = sleep(milliseconds, undefined, { signal: late.signal }).catch(() => undefined);
  await Promise.race([work, timer]);
  late.abort();
}

function unreachable({ host, port }: Pick<ServiceOptions, "host" | "port">, cause: unknown): EnvironmentError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const advice = code === "EADDRINUSE" ? "Another program listens there: stop it, or give another --port." : message;
  return new EnvironmentError("SERVE_LISTEN", `cannot listen on ${host} port ${port} (${code}). ${advice}`, { cause });
}
