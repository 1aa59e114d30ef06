/**
 * The bridge against two raw unix sockets, all between Node and Python, in turns within the same seconds.
 *
 *     npm run bench -- bridge [--json]
 *
 * Round trips carry the bytes both ways, one call at a time. MB/s are of one way, "there" to Python or "back" from it,
 * with a small answer or question the other way and as many calls under way on all sides of the comparison. Shares are of
 * a socket whose ends read into memory that they keep ("kept"), which no receiver can do that hands messages over, and of
 * one whose ends read each message into memory of its own ("new"), as the bridge has to. Exits with status 1 when a limit
 * of the last column is missed, which counts against "kept".
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
/** Smallest throughput as a share of a raw socket's, between 1 and 16 MB. */
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

const SIDES = ["kept", "new", "bridge"] as const;
type Sides<Of> = Readonly<Record<(typeof SIDES)[number], Of>>;

interface Row extends Sides<Times> {
  readonly size: string;
  readonly limit: number | null;
}

async function measure(size: Size, exchanges: Sides<Exchange>): Promise<Row> {
  const { bytes, calls, together, inFlight } = size;
  const sides = SIDES.map((name) => {
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
  const [kept, fresh, bridge] = sides.map(({ times }) => times);
  return { size: size.name, limit: size.limited ? SHARE_LIMIT : null, kept: kept!, new: fresh!, bridge: bridge! };
}

/** Median over the rounds of the bridge's throughput as a share of a raw socket's. */
function shareOf(row: Row, way: "there" | "back", raw: "kept" | "new"): number {
  return percentile(
    row.bridge[way].map((rate, round) => rate / row[raw][way][round]!),
    0.5,
  );
}

/** The smaller share of both ways. */
function leastShare(row: Row, raw: "kept" | "new"): number {
  return Math.min(shareOf(row, "there", raw), shareOf(row, "back", raw));
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
  const { size, limit, kept, bridge } = row;
  const times = [kept, bridge].flatMap(({ roundTrips }) => [percentile(roundTrips, 0.5), percentile(roundTrips, 0.99)]);
  const cellsOf = (way: "there" | "back"): string[] => [
    ...SIDES.map((side) => percentile(row[side][way], 0.5).toFixed(0)),
    ...(["kept", "new"] as const).map((raw) => shareOf(row, way, raw).toFixed(2)),
  ];
  return [
    size,
    ...times.map(microseconds),
    ...cellsOf("there"),
    ...cellsOf("back"),
    limit === null ? "" : verdict(leastShare(row, "kept") >= limit, `of kept >= ${limit}`),
    limit === null ? "" : verdict(leastShare(row, "new") >= limit, `of new >= ${limit}`),
  ];
}

function tableOf(small: SmallCalls, rows: readonly Row[]): string {
  const blanks = (count: number): string[] => Array.from({ length: count }, () => "");
  const rates = ["kept", "new", "bridge", "of kept", "of new"];
  const table = [
    ["", "round trip", ...blanks(3), "MB/s there", ...blanks(4), "MB/s back", ...blanks(4), "limits", ""],
    ["", "kept p50", "kept p99", "p50", "p99", ...rates, ...rates, "", ""],
    [
      "no bytes",
      ...blanks(2),
      microseconds(small.p50),
      microseconds(small.p99),
      ...blanks(10),
      verdict(small.p50 < CALL_LIMIT, `p50 < ${CALL_LIMIT} us`),
      "",
    ],
    ...rows.map(lineOf),
  ];
  const widths = table[1]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  const lines = table.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("  "));
  return `${lines.join("\n")}\n${small.perSecond.toFixed(0)} calls without bytes a second with 64 under way\n`;
}

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const { python, pythonPath } = findPython();
await using kept = await startRawSocket({ python, memory: "kept" });
await using fresh = await startRawSocket({ python, memory: "new" });
await using worker = await startWorker({
  python,
  args: [fileURLToPath(new URL("support/bridge_worker.py", import.meta.url))],
  env: { PYTHONPATH: pythonPath },
});

const payload = new Uint8Array(Math.max(...SIZES.map(({ bytes }) => bytes))).fill(7);
const exchanges = {
  kept: overRawSocket(kept, payload),
  new: overRawSocket(fresh, payload),
  bridge: overBridge(worker.caller, payload),
};
const small = await measureSmallCalls(exchanges.bridge);
const rows: Row[] = [];
for (const size of SIZES) rows.push(await measure(size, exchanges));

process.stdout.write(values.json ? `${JSON.stringify({ small, sizes: rows }, undefined, 2)}\n` : tableOf(small, rows));
const missed = rows.filter((row) => row.limit !== null && leastShare(row, "kept") < row.limit);
process.exitCode = missed.length > 0 || small.p50 >= CALL_LIMIT ? 1 : 0;
