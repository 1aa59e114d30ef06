/**
 * The HTTP service in a crowd: many clients at once, oversized, slow, malformed and leaving ones among them.
 *
 *     npm run bench -- serve [--seconds 60] [--clients 64] [--json]
 *
 * `thurstone serve` runs as a process of its own, on the bundled checkpoint, and clients ask one request after the other in
 * this one. Most pictures are new ones (512 x 384, 576 KiB), so that no cache helps; known ones must be rated to the bit as
 * before the crowd came. Lost is what gets no answer, or a wrong one: none may be. Memory is measured once the picture caches
 * are full; at the end it must be within a tenth of that. Linux only, for the memory. Exits with status 1 when a limit is
 * missed.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { table } from "../src/cli/table.js";
import { foldKey, uniform } from "../src/stats/index.js";
import { childrenOf, residentBytes } from "./support/process-cost.js";
import { another, form, KINDS, recordsOf, say } from "./support/serve-traffic.js";
import type { Client, Kind, KnownPicture, Traffic } from "./support/serve-traffic.js";

const ROOT = resolve(import.meta.dirname, "..");
const KNOWN = ["camera.jpg", "chelsea.jpg", "coffee.jpg", "rocket.jpg", "seeding.jpg", "raccoon.jpg"];
const MEBIBYTE = 2 ** 20;
const MAX_BODY = 3;
/** Small limits, so that a minute meets them. */
const FLAGS = [
  "--max-body",
  String(MAX_BODY),
  "--max-waiting",
  "40",
  "--header-timeout",
  "1",
  "--request-timeout",
  "4",
];
/** New pictures until no cache grows any more: Node's of 256 MiB holds 455 of them, the worker's of 4 MiB 150. */
const WARM_UP = 700;
const GROWTH = 1.1;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    clients: { type: "string", default: "64" },
    json: { type: "boolean", default: false },
  },
});

interface Count {
  sent: number;
  /** Times a full service sent it away. */
  busy: number;
  readonly outcomes: Map<string, number>;
  readonly lost: string[];
}

/** Bytes. */
interface Memory {
  readonly node: number;
  readonly worker: number;
}

const folder = await mkdtemp(join(tmpdir(), "thurstone-bench-serve-"));
for (const name of KNOWN) await copyFile(join(ROOT, "assets/photos", name), join(folder, name));
const service = spawn(
  process.execPath,
  ["--import", "tsx", "src/cli/main.ts", "serve", "--model", "rated", "--device", "cpu", "--threads", "1"].concat(
    ["--port", "0", "--json", "--image-cache", "4", "--root", folder],
    FLAGS,
  ),
  { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] },
);
const ended = once(service, "exit") as Promise<[number | null]>;

/** All clients until `done`; each request is one of the kinds, drawn by its shares. */
async function crowd(traffic: Traffic, clients: number, seed: number, done: () => boolean): Promise<Map<Kind, Count>> {
  const counts = new Map(KINDS.map((kind) => [kind, { sent: 0, busy: 0, outcomes: new Map(), lost: [] } as Count]));
  let number = 0;
  const client = async (index: number): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    let draws = 0;
    const draw = (): number => uniform(foldKey(seed, index, (draws += 1)));
    const own: Client = { agent, draw, next: () => seed * 2 ** 24 + (number += 1) };
    while (!done()) await askOnce(kindOf(draw()), traffic, own, counts);
    agent.destroy();
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  return counts;
}

async function askOnce(kind: Kind, traffic: Traffic, client: Client, counts: Map<Kind, Count>): Promise<void> {
  const count = counts.get(kind)!;
  count.sent += 1;
  try {
    for (;;) {
      const outcome = await kind.ask(traffic, client);
      if (outcome === 503 && kind.mayWait) {
        count.busy += 1;
        await sleep(200 + 600 * client.draw());
        continue;
      }
      const name = String(outcome);
      count.outcomes.set(name, (count.outcomes.get(name) ?? 0) + 1);
      return;
    }
  } catch (error) {
    count.lost.push(String(error));
  }
}

function kindOf(draw: number): Kind {
  let left = draw * KINDS.reduce((sum, { share }) => sum + share, 0);
  return KINDS.find(({ share }) => (left -= share) < 0) ?? KINDS[0]!;
}

function memoryNow(): Memory {
  const [worker] = childrenOf(service.pid!);
  return { node: residentBytes(service.pid!).now, worker: residentBytes(worker!).now };
}

/** Highest of each over some seconds: one look may fall between two requests. */
async function memoryOver(seconds: number): Promise<Memory> {
  const looks: Memory[] = [];
  for (let look = 0; look < 4 * seconds; look += 1) {
    looks.push(memoryNow());
    await sleep(250);
  }
  return {
    node: Math.max(...looks.map(({ node }) => node)),
    worker: Math.max(...looks.map(({ worker }) => worker)),
  };
}

async function openTraffic(): Promise<Traffic> {
  const [line] = (await once(createInterface({ input: service.stdout }), "line")) as [string];
  const { url: base, port } = JSON.parse(line) as { url: string; port: number };
  const url = `${base}/v1/score`;
  const known: KnownPicture[] = [];
  for (const name of KNOWN) {
    const bytes = await readFile(join(folder, name));
    known.push({ name, bytes, record: recordsOf(await say(url, form([[name, bytes]])), 1)[0]! });
  }
  const photo = await sharp(join(folder, KNOWN[2]!))
    .resize(512, 384, { fit: "fill" })
    .tiff({ compression: "none" })
    .toBuffer();
  return { url, port, known, photo, tooLarge: new Uint8Array(MAX_BODY * MEBIBYTE + 1) };
}

/** New pictures only, eight at a time. */
async function warmUp({ url, photo }: Traffic): Promise<void> {
  let number = 0;
  const work = async (): Promise<void> => {
    while (number < WARM_UP) await say(url, form([["new.tif", another(photo, (number += 1))]]));
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

const seconds = Number(values.seconds);
const clients = Number(values.clients);
const traffic = await openTraffic();
await warmUp(traffic);
// The crowd itself takes memory, for connections and bodies, so that it is there before the first look.
await crowd(traffic, clients, 1, until(5));
const done = until(seconds);
const began = performance.now();
const running = crowd(traffic, clients, 2, done);
const start = await memoryOver(2);
await sleep(Math.max(0, 1000 * (seconds / 2 - 1) - (performance.now() - began)));
const middle = await memoryOver(2);
await sleep(Math.max(0, 1000 * (seconds - 2) - (performance.now() - began)));
const end = await memoryOver(2);
const counts = await running;
const took = (performance.now() - began) / 1000;
service.kill("SIGTERM");
const [exitCode] = await ended;
await rm(folder, { recursive: true });

function until(time: number): () => boolean {
  const last = performance.now() + 1000 * time;
  return () => performance.now() >= last;
}

const rows = [...counts].map(([{ name }, { sent, busy, outcomes, lost }]) => [
  name,
  String(sent),
  [...outcomes].map(([outcome, count]) => `${outcome}: ${count}`).join(", "),
  String(busy),
  String(lost.length),
]);
const all = [...counts.values()];
const lost = all.flatMap((count) => count.lost);
const sent = all.reduce((sum, count) => sum + count.sent, 0);
const flat = (["node", "worker"] as const).every((side) => end[side] <= GROWTH * start[side]);
const mebibytes = (bytes: number): string => (bytes / MEBIBYTE).toFixed(0);
const verdict = (met: boolean): string => (met ? "met" : "MISSED");
const text = [
  ...table(["request", "sent", "answers", "sent away (503), asked again", "lost"], rows),
  "",
  ...table(
    ["MiB resident", "start", "middle", "end"],
    (["node", "worker"] as const).map((side) => [side, ...[start, middle, end].map((one) => mebibytes(one[side]))]),
  ),
  "",
  `${clients} clients, ${took.toFixed(1)} s, ${sent} requests, ${(sent / took).toFixed(1)}/s; SIGTERM ended it with ${exitCode}`,
  `nothing lost: ${verdict(lost.length === 0)}; memory at the end within ${GROWTH} of the start: ${verdict(flat)}`,
  ...lost.slice(0, 10),
];
const report = { clients, seconds: took, requests: rows, start, middle, end, exitCode, lost };
process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : `${text.join("\n")}\n`);
process.exitCode = lost.length === 0 && flat && exitCode === 0 ? 0 : 1;
