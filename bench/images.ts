/**
 * From the JPEG file to the pixels the model is given: decoding, hashing and sending in Node, resizing in the worker.
 *
 *     npm run bench -- images [--rounds 5] [--json]
 *
 * Against a Python loop that decodes and resizes with Pillow alone, in turn. Processor milliseconds per picture of all
 * processes together, so that what is compared is pictures per core; medians of the rounds, each with pictures that were
 * never seen before. Prompts are encoded with their pictures; what they cost once the worker has the pictures is taken
 * off. Decoding and hashing are measured alone as well. Exits with status 1 when the limit of the last column is missed.
 * Linux only.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";
import { table } from "../src/cli/table.js";
import { decodeImage, hashPixels } from "../src/images/decode.js";
import { smartResize } from "../src/images/index.js";
import { loadRows, openPolicy } from "../src/index.js";
import type { ConfigInput } from "../src/index.js";
import { findPython } from "../src/python/index.js";
import { percentile } from "./support/measure.js";
import { childNamed, cpuSeconds } from "./support/process-cost.js";

const SIZES = [
  { width: 512, height: 384 },
  { width: 1024, height: 768 },
] as const;
/** Pictures of one round. */
const COUNT = 24;
/** Least pictures per core and second, as a multiple of the Pillow loop's. */
const LIMIT = 1.5;
/** What the checkpoint says of pictures. */
const RESIZE = { factor: 28, minPixels: 3136, maxPixels: 1_003_520 };
const SECONDS = z.object({ decode: z.number(), resize: z.number() });

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
});
const { python, pythonPath } = findPython();

function runPython(args: readonly (string | number)[]): string {
  // One thread: idle threads of numerical libraries would spin, and their time be counted.
  const env = { ...process.env, PYTHONPATH: pythonPath, OMP_NUM_THREADS: "1" };
  return execFileSync(python, args.map(String), { env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

function helper(...args: readonly (string | number)[]): string {
  return runPython([fileURLToPath(new URL("support/images_pillow.py", import.meta.url)), ...args]);
}

function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Milliseconds per picture of one round. */
interface Round {
  readonly pillow: number;
  readonly ours: number;
  /** Parts of `ours`, measured alone; Pillow's resizing is the worker's too. */
  readonly decode: number;
  readonly hash: number;
  readonly resize: number;
}

function configOf(folder: string, checkpoint: string, count: number): ConfigInput {
  const rows = Array.from({ length: count }, (_, id) => {
    const question = { from: "human", value: "How good is the quality of this picture?" };
    return JSON.stringify({ id, dataset_name: "bench", image: `${id}.jpg`, conversations: [question] });
  });
  writeFileSync(join(folder, "rows.jsonl"), rows.join("\n"));
  return {
    model_name_or_path: checkpoint,
    torch_dtype: "float32",
    device: "cpu",
    worker_threads: 1,
    question_template: "{Question}",
    data_file_paths: join(folder, "rows.jsonl"),
  };
}

async function measureSize(root: string, size: (typeof SIZES)[number], rounds: number): Promise<Round[]> {
  const folder = join(root, String(size.width));
  // One round more, to warm up.
  const total = COUNT * (rounds + 1);
  helper("make", folder, size.width, size.height, total);
  const target = smartResize({ ...size, ...RESIZE });
  const config = configOf(folder, join(root, "model"), total);
  const rows = await loadRows(config);
  await using policy = await openPolicy(config, { inference: true });
  const worker = childNamed("thurstone_runtime");
  const measured: Round[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const first = round * COUNT;
    const pillow = SECONDS.parse(JSON.parse(helper("loop", folder, first, COUNT, target.width, target.height)));
    const encode = async (): Promise<number> => {
      const began = ownSeconds() + cpuSeconds(worker);
      await policy.encode(rows.slice(first, first + COUNT));
      return ownSeconds() + cpuSeconds(worker) - began;
    };
    const everything = await encode();
    const ours = everything - (await encode());
    const decoding = ownSeconds();
    const images = [];
    for (let number = first; number < first + COUNT; number += 1) {
      images.push(await decodeImage(join(folder, `${number}.jpg`)));
    }
    const hashing = ownSeconds();
    for (const image of images) await hashPixels(image);
    const hash = ownSeconds() - hashing;
    const each = (seconds: number): number => (1000 * seconds) / COUNT;
    if (round === 0) continue;
    measured.push({
      pillow: each(pillow.decode + pillow.resize),
      ours: each(ours),
      decode: each(hashing - decoding - hash),
      hash: each(hash),
      resize: each(pillow.resize),
    });
  }
  return measured;
}

const root = mkdtempSync(join(tmpdir(), "thurstone-bench-images-"));
try {
  runPython(["-m", "thurstone_runtime.make_checkpoint", join(root, "model"), "--preset", "micro"]);
  const results = [];
  for (const size of SIZES) {
    const rounds = await measureSize(root, size, Number(values.rounds));
    const names = ["pillow", "ours", "decode", "hash", "resize"] as const;
    const milliseconds = Object.fromEntries(
      names.map((name) => [
        name,
        percentile(
          rounds.map((round) => round[name]),
          0.5,
        ),
      ]),
    ) as unknown as Round;
    const ratio = percentile(
      rounds.map(({ pillow, ours }) => pillow / ours),
      0.5,
    );
    results.push({ size: `${size.width} x ${size.height}`, ...milliseconds, ratio });
  }
  const header = ["milliseconds per picture", "Pillow alone", "ours", "decode", "hash", "resize", "the rest", "ratio"];
  const lines = results.map(({ size, pillow, ours, decode, hash, resize, ratio }) => [
    size,
    ...[pillow, ours, decode, hash, resize, ours - decode - hash - resize].map((value) => value.toFixed(2)),
    ratio.toFixed(2),
    `>= ${LIMIT}: ${ratio >= LIMIT ? "met" : "MISSED"}`,
  ]);
  process.stdout.write(`${table([...header, "limit"], lines).join("\n")}\n`);
  if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  process.exitCode = results.every(({ ratio }) => ratio >= LIMIT) ? 0 : 1;
} finally {
  rmSync(root, { recursive: true });
}
