/**
 * Scoring on the bundled checkpoint: pictures per second, and whether memory stays flat.
 *
 *     npm run bench -- score [--rounds 3] [--pictures 10000] [--only speed|memory] [--json]
 *
 * Speed: JPEG files that were never seen before, in turn decoded and hashed alone, rated one batch after the other (each
 * as a stream of its own), and rated as one stream, which reads the next batch while the model works. The best that this
 * overlap could give is the longer of decoding and all the rest. Medians of the rounds; "cores" is what a stream kept busy.
 * Memory: a stream of so many pictures, each a file of its own; resident bytes of Node and of the worker, and what they grow
 * by once a quarter of the pictures is rated.
 * Exits with status 1 when a limit of the last column is missed. Linux only.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { SPEED_LIMIT, measureSpeed } from "./support/score-speed.js";
import { GROWTH_LIMIT, measureMemory } from "./support/score-memory.js";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    pictures: { type: "string", default: "10000" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
if (values.only !== undefined && !["speed", "memory"].includes(values.only)) {
  throw new Error(`--only ${values.only}: it must be speed or memory.`);
}
const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), "thurstone-bench-score-"));
const verdicts: boolean[] = [];

/** The cell of a limit, which is remembered. */
function judged(limit: string, met: boolean): string {
  verdicts.push(met);
  return `${limit}: ${met ? "met" : "MISSED"}`;
}

function print(lines: readonly string[], results: unknown): void {
  process.stdout.write(`${lines.join("\n")}\n\n`);
  if (values.json) process.stdout.write(`${JSON.stringify(results)}\n`);
}

try {
  if (values.only !== "memory") {
    const speeds = await measureSpeed({ folder, rounds: Number(values.rounds) });
    const lines = speeds.map(({ mode, size, decode, apart, together, best, busy }) => [
      mode,
      size,
      ...[decode, apart, together].map((rate) => rate.toFixed(1)),
      (together / decode).toFixed(2),
      (together / best).toFixed(2),
      busy.toFixed(1),
      judged(`of best >= ${SPEED_LIMIT}`, together >= SPEED_LIMIT * best),
    ]);
    const header = ["mode", "picture", "decoding/s", "apart/s", "score/s", "of decoding", "of best", "cores", "limit"];
    print(table(header, lines), speeds);
  }
  if (values.only !== "speed") {
    const courses = await measureMemory({ folder, pictures: Number(values.pictures) });
    const lines = courses.map(({ process: name, points, peak, growth }) => [
      name,
      ...points.map(({ bytes }) => (bytes / MIB).toFixed(0)),
      (peak / MIB).toFixed(0),
      (growth / MIB).toFixed(1),
      judged(`growth <= ${GROWTH_LIMIT / MIB}`, growth <= GROWTH_LIMIT),
    ]);
    const after = courses[0]!.points.map(({ pictures }) => `after ${pictures}`);
    print(table(["MiB", ...after, "peak", "growth", "limit"], lines), courses);
  }
  process.exitCode = verdicts.every(Boolean) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
