/**
 * Turns rows with labels into rows with answers, for the supervised steps that teach a tiny checkpoint to write.
 *
 *   npx tsx run_scripts/tiny-checkpoints/answers.ts --data CROPS/train.jsonl --out CROPS/zero.jsonl
 *     --scores true | uniform   the label, or a number drawn uniformly from 1 to 5 that has nothing to do with the picture
 *     [--first N] [--count N]   only these rows
 *     [--jitter 0.15]           deviation of the noise on true scores, so that the last digit is not learnt by heart
 *     [--seed 0]
 *
 * An answer is <think>KIND OF DISTORTION</think><answer>D.DD</answer>; the kind is always the true one.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { foldKey, uniform } from "../../src/stats/index.js";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    out: { type: "string" },
    scores: { type: "string", default: "true" },
    first: { type: "string", default: "0" },
    count: { type: "string", default: "1000000" },
    jitter: { type: "string", default: "0.15" },
    seed: { type: "string", default: "0" },
  },
});
const { data, out, scores } = values;
if (data === undefined || out === undefined) throw new Error("answers: give --data FILE and --out FILE.");
if (scores !== "true" && scores !== "uniform") throw new Error(`answers: --scores is "${scores}"; true or uniform.`);

interface CropRow {
  readonly type_name: string;
  readonly conversations: readonly [{ readonly from: string; readonly value: string }, { readonly value: number }];
}

const first = Number(values.first);
const rows = (await readFile(data, "utf8"))
  .trimEnd()
  .split("\n")
  .slice(first, first + Number(values.count));
const lines = rows.map((line, index) => {
  const row = JSON.parse(line) as CropRow;
  const [question, { value: mos }] = row.conversations;
  const draw = (purpose: number): number => uniform(foldKey(Number(values.seed), index, purpose));
  const noise = Number(values.jitter) * Math.sqrt(-2 * Math.log(1 - draw(0))) * Math.cos(2 * Math.PI * draw(1));
  const score = scores === "uniform" ? 1 + 4 * draw(2) : Math.min(5, Math.max(1, mos + noise));
  const answer = `<think>${row.type_name}</think><answer>${score.toFixed(2)}</answer>`;
  return `${JSON.stringify({ ...row, conversations: [question, { from: "gpt", value: answer }] })}\n`;
});
await writeFile(out, lines.join(""));
process.stderr.write(`${lines.length} rows with ${scores} scores in ${out}\n`);
