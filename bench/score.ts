/**
 * Scoring on the bundled checkpoint: pictures per second, and whether memory stays flat.
 *
 *     npm run bench -- score [--rounds 3] [--pictures 10000] [--json]
 *
 * Speed: JPEG files that were never seen before, in turn decoded and hashed alone, rated one batch after the other (each
 * as a stream of its own, so that nothing overlaps), and rated as one stream, which reads the next batch while the model
 * works. The best that overlapping could do is the longer of decoding and all the rest. Medians of the rounds.
 * Memory: a stream of so many pictures, each a file of its own, resident bytes of Node and of the worker.
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
    json: { type: "boolean", default: false },
  },
});
const MIB = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), "thurstone-bench-score-"));
try {
  const speeds = await measureSpeed({ folder, rounds: Number(values.rounds) });
  const ok = (met: boolean): string => (met ? "met" : "MISSED");
  const speedLines = speeds.map(({ mode, size, decode, apart, together, best }) => [
    mode,
    size,
    ...[decode, apart, together].map((rate) => rate.toFixed(1)),
    (together / decode).toFixed(2),
    (together / best).toFixed(2),
    `>= ${SPEED_LIMIT} of the best overlap: ${ok(together >= SPEED_LIMIT * best)}`,
  ]);
  const header = ["mode", "picture", "decoding/s", "apart/s", "score/s", "of decoding", "of best", "limit"];
  process.stdout.write(`${table(header, speedLines).join("\n")}\n\n`);

  const memory = await measureMemory({ folder, pictures: Number(values.pictures) });
  const memoryLines = memory.map(({ process: name, points, peak, growth }) => [
    name,
    ...points.map(({ bytes }) => (bytes / MIB).toFixed(0)),
    (peak / MIB).toFixed(0),
    (growth / MIB).toFixed(1),
    `<= ${GROWTH_LIMIT / MIB} behind the first quarter: ${ok(growth <= GROWTH_LIMIT)}`,
  ]);
  const after = memory[0]!.points.map(({ pictures }) => `after ${pictures}`);
  process.stdout.write(`${table(["MiB", ...after, "peak", "growth", "limit"], memoryLines).join("\n")}\n`);
  if (values.json) process.stdout.write(`${JSON.stringify({ speeds, memory })}\n`);
  const met =
    speeds.every(({ together, best }) => together >= SPEED_LIMIT * best) &&
    memory.every(({ growth }) => growth <= GROWTH_LIMIT);
  process.exitCode = met ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
