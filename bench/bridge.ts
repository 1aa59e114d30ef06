/**
 * The bridge against a raw unix socket, both between Node and Python, in turns within the same seconds.
 *
 *     npm run bench -- bridge [--json]
 *
 * Round trips carry the bytes both ways, one call at a time. MB/s are of one way, "there" to Python or "back" from it,
 * with a small answer or question the other way and as many calls under way on both sides of the comparison. Exits with
 * status 1 when a limit of the last column is missed.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startWorker, tensor } from "../src/bridge/index.js";
import type { Caller } from "../src/bridge/index.js";
import { findPython } from "../src/python/index.js";
import { percentile, timeCalls, timeTogether } from "./support/measure.js";
import { startRawSocket } from "./support/raw-socket.js";
import type { RawSocket } from "./support/raw-socket.js";

const KB = 1024;
const MB = 1024 * KB;
const ROUNDS = 7;

/** Largest p50 of a call without tensors, in microseconds. */
const CALL_LIMIT = 300;
/** Smallest throughput as a share of the raw socket's, between 1 and 16 MB. */
const SHARE_LIMIT = 0.8;

interface Size {
  readonly name: string;
  readonly bytes: number;
  /** Calls of one round: one after another, and several at once. */
  readonly calls: number;
  readonly together: number;
  readonly inFlight: number;
  readonly limited: boolean;
}

const SIZES: readonly Size[] = [
  { name: "1 KB", bytes: KB, calls: 200, together: 1000, inFlight: 16, limited: false },
  { name: "16 KB", bytes: 16 * KB, calls: 200, together: 1000, inFlight: 16, limited: false },
  { name: "100 KB", bytes: 100 * KB, calls: 100, together: 400, inFlight: 8, limited: false },
  { name: "1 MB", bytes: MB, calls: 40, together: 100, inFlight: 4, limited: true },
  { name: "4 MB", bytes: 4 * MB, calls: 15, together: 40, inFlight: 4, limited: true },
  { name: "16 MB", bytes: 16 * MB, calls: 6, together: 12, inFlight: 4, limited: true },
  { name: "100 MB", bytes: 100 * MB, calls: 2, together: 4, inFlight: 2, limited: false },
];

/** Sends so many bytes and waits for so many. */
type Exchange = (sent: number, wanted: number) => Promise<unknown>;

function overRawSocket(raw: RawSocket, payload: Uint8Array): Exchange {
  // Something has to come back, or the end of a call could not be seen.
  return (sent, wanted) => raw.exchange(payload.subarray(0, sent), Math.max(1, wanted));
}

function overBridge(caller: Caller, payload: Uint8Array): Exchange {
  return (sent, wanted) => {
    const tensors = sent === 0 ? {} : { payload: tensor("u8", [sent], payload.subarray(0, sent)) };
    return caller.call("give", { bytes: wanted }, { tensors });
  };
}

interface Times {
  /** Microseconds of the calls made one after another. */
  readonly roundTrips: number[];
  /** MB/s of each round. */
  readonly there: number[];
  readonly back: number[];
}

interface Row {
  readonly size: string;
  readonly limit: number | null;
  readonly raw: Times;
  readonly bridge: Times;
}

async function measure(size: Size, exchanges: { readonly raw: Exchange; readonly bridge: Exchange }): Promise<Row> {
  const { bytes, calls, together, inFlight } = size;
  const sides = (["raw", "bridge"] as const).map((name) => {
    return { exchange: exchanges[name], times: { roundTrips: [], there: [], back: [] } as Times };
  });
  const rate = async (call: () => Promise<unknown>): Promise<number> =>
    (bytes * together) / MB / ((await timeTogether(together, inFlight, call)) / 1000);
  for (let round = -1; round < ROUNDS; round += 1) {
    // The first round only warms up.
    const record = (values: number[], more: readonly number[]): void => void (round >= 0 && values.push(...more));
    for (const { exchange, times } of sides)
      record(times.roundTrips, await timeCalls(calls, () => exchange(bytes, bytes)));
    for (const { exchange, times } of sides) record(times.there, [await rate(() => exchange(bytes, 0))]);
    for (const { exchange, times } of sides) record(times.back, [await rate(() => exchange(0, bytes))]);
  }
  return { size: size.name, limit: size.limited ? SHARE_LIMIT : null, raw: sides[0]!.times, bridge: sides[1]!.times };
}

/** Median over the rounds of the bridge's throughput as a share of the raw socket's. */
function shareOf(row: Row, way: "there" | "back"): number {
  return percentile(
    row.bridge[way].map((rate, round) => rate / row.raw[way][round]!),
    0.5,
  );
}

interface SmallCalls {
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  /** With 64 under way. */
  readonly perSecond: number;
}

async function measureSmallCalls(bridge: Exchange): Promise<SmallCalls> {
  const call = (): Promise<unknown> => bridge(0, 0);
  await timeCalls(1000, call);
  const times = await timeCalls(4000, call);
  const milliseconds = await timeTogether(10_000, 64, call);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99), perSecond: 10_000_000 / milliseconds };
}

function verdict(met: boolean, limit: string): string {
  return `${limit}: ${met ? "met" : "MISSED"}`;
}

function microseconds(value: number): string {
  return value < 10_000 ? `${value.toFixed(0)} us` : `${(value / 1000).toFixed(1)} ms`;
}

function lineOf(row: Row): string[] {
  const { size, limit, raw, bridge } = row;
  const shares = [shareOf(row, "there"), shareOf(row, "back")];
  const times = [raw, bridge].flatMap(({ roundTrips }) => [percentile(roundTrips, 0.5), percentile(roundTrips, 0.99)]);
  const rates = [raw.there, bridge.there, raw.back, bridge.back].map((values) => percentile(values, 0.5).toFixed(0));
  return [
    size,
    ...times.map(microseconds),
    rates[0]!,
    rates[1]!,
    shares[0]!.toFixed(2),
    rates[2]!,
    rates[3]!,
    shares[1]!.toFixed(2),
    limit === null ? "" : verdict(Math.min(...shares) >= limit, `shares >= ${limit}`),
  ];
}

function tableOf(small: SmallCalls, rows: readonly Row[]): string {
  const blank = "";
  const table = [
    [blank, "round trip", blank, blank, blank, "MB/s there", blank, blank, "MB/s back", blank, blank, "limit"],
    [blank, "raw p50", "raw p99", "p50", "p99", "raw", "bridge", "share", "raw", "bridge", "share", blank],
    [
      "no bytes",
      blank,
      blank,
      microseconds(small.p50),
      microseconds(small.p99),
      ...Array.from({ length: 6 }, () => blank),
      verdict(small.p50 < CALL_LIMIT, `p50 < ${CALL_LIMIT} us`),
    ],
    ...rows.map(lineOf),
  ];
  const widths = table[1]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  const lines = table.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  "));
  return `${lines.join("\n")}\n${small.perSecond.toFixed(0)} calls without bytes a second with 64 under way\n`;
}

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const { python, pythonPath } = findPython();
await using raw = await startRawSocket({ python });
await using worker = await startWorker({
  python,
  args: [fileURLToPath(new URL("support/bridge_worker.py", import.meta.url))],
  env: { PYTHONPATH: pythonPath },
});

const payload = new Uint8Array(Math.max(...SIZES.map(({ bytes }) => bytes))).fill(7);
const exchanges = { raw: overRawSocket(raw, payload), bridge: overBridge(worker.caller, payload) };
const small = await measureSmallCalls(exchanges.bridge);
const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(size, exchanges));

process.stdout.write(values.json ? `${JSON.stringify({ small, sizes: rows }, undefined, 2)}\n` : tableOf(small, rows));
const missed = rows.filter(
  (row) => row.limit !== null && Math.min(shareOf(row, "there"), shareOf(row, "back")) < row.limit,
);
process.exitCode = missed.length > 0 || small.p50 >= CALL_LIMIT ? 1 : 0;
