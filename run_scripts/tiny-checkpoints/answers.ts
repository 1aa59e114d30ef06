/**
 * Turns rows with labels into rows with answers, for the supervised steps that teach a tiny checkpoint to write.
 *
 *   npx tsx run_scripts/tiny-checkpoints/answers.ts --data CROPS/train.jsonl --out CROPS/zero.jsonl
 *     --scores true | uniform   the label, or a number drawn uniformly from 1 to 5 that has nothing to do with the picture
 *     [--first N] [--count N]   only these rows
 *     [--jitter 0.15]           deviation of the noise on true scores, so that the last digit is not learnt by heart
 *     [--seed 0]
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { answerLines, DEFAULT_JITTER } from "./answer-rows.js";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    out: { type: "string" },
    scores: { type: "string", default: "true" },
    first: { type: "string", default: "0" },
    count: { type: "string", default: "1000000" },
    jitter: { type: "string", default: String(DEFAULT_JITTER) },
    seed: { type: "string", default: "0" },
  },
});
const { data, out, scores } = values;
if (data === undefined || out === undefined) throw new Error("answers: give --data FILE and --out FILE.");
if (scores !== "true" && scores !== "uniform") throw new Error(`answers: --scores is "${scores}"; true or uniform.`);

const first = Number(values.first);
const rows = (await readFile(data, "utf8"))
  .trimEnd()
  .split("\n")
  .slice(first, first + Number(values.count));
const lines = answerLines(rows, { scores, jitter: Number(values.jitter), seed: Number(values.seed) });
await writeFile(out, lines.join(""));
process.stderr.write(`${lines.length} rows with ${scores} scores in ${out}\n`);
