/**
 * What the service counts, in Prometheus's text format.
 *
 * @module
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** What is looked at when somebody asks. */
export interface ServiceState {
  /** 1 when pictures are rated. */
  readonly ready: () => number;
  readonly waiting: () => number;
  readonly running: () => number;
  readonly heldBytes: () => number;
}

export interface ServiceMetrics {
  /** @param status of the answer, or "gone" for a client that left before it */
  request(route: string, status: string, seconds: number): void;
  /** @param code of the record, or "ok" */
  picture(code: string): void;
  batch(pictures: number): void;
  text(): Promise<string>;
  readonly contentType: string;
}

const SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const PICTURES = [1, 2, 4, 8, 16, 32, 64];

/** With the process's own: memory, processor time, event loop, garbage collection. */
export function createServiceMetrics(state: ServiceState): ServiceMetrics {
  const register = new Registry();
  const registers = [register];
  const requests = new Counter({
    name: "thurstone_requests_total",
    help: "Requests by route and HTTP status; gone: the client left before its answer.",
    labelNames: ["route", "status"],
    registers,
  });
  const seconds = new Histogram({
    name: "thurstone_request_seconds",
    help: "Seconds from a request's headers to the end of its answer, by route.",
    labelNames: ["route"],
    buckets: SECONDS,
    registers,
  });
  const pictures = new Counter({
    name: "thurstone_pictures_total",
    help: "Pictures by what their record says: ok, or the code of why there is no score.",
    labelNames: ["code"],
    registers,
  });
  const batches = new Histogram({
    name: "thurstone_batch_pictures",
    help: "Pictures that went to the model together.",
    buckets: PICTURES,
    registers,
  });
  const gauge = (name: string, help: string, value: () => number): unknown =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge("thurstone_ready", "1 when the model is loaded and pictures are taken.", state.ready);
  gauge("thurstone_waiting_pictures", "Pictures that wait for the model.", state.waiting);
  gauge("thurstone_running_pictures", "Pictures in batches under way.", state.running);
  gauge("thurstone_held_bytes", "Bytes of pictures' files that requests under way hold.", state.heldBytes);
  collectDefaultMetrics({ register });

  return {
    request(route, status, duration) {
      requests.inc({ route, status });
      seconds.observe({ route }, duration);
    },
    picture: (code) => pictures.inc({ code }),
    batch: (count) => batches.observe(count),
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}
