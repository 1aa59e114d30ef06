/**
 * Every loss type on the quickstart's data: the same rewards, steps and seeds, from a checkpoint that rates a little.
 *
 *   npm run bench -- losses [options]
 *
 *   --folder output/losses   data, run folders and results.jsonl
 *   --start assets/part      the checkpoint all runs begin with
 *   --losses a,b             these loss types alone
 *   --seeds 0,1,2            seeds of the runs
 *   --steps 50               optimizer updates of a run, two per rollout batch
 *   --svg docs/images/losses.svg   where the curves go
 *   --report                 writes the curves and prints the table of the results there are, and does nothing else
 *
 * Each finished run is one line of results.jsonl. Runs that are there already are left out: call it again after an
 * interruption. Prints a Markdown table at the end.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { makeData } from "../src/cli/quickstart.js";
import { lossesPlot, lossesTable } from "./support/losses-report.js";
import { appendLoss, LOSSES, lossesRun, readLosses, runLoss } from "./support/losses-runs.js";
import { parseNames, parseNumber } from "./support/ranking-options.js";
import { requireSame } from "./support/results-file.js";

/** Of the data, which all runs share. */
const DATA_SEED = 42;

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: "output/losses" },
    start: { type: "string", default: "assets/part" },
    losses: { type: "string", default: Object.keys(LOSSES).join(",") },
    seeds: { type: "string", default: "0,1,2" },
    steps: { type: "string", default: "50" },
    svg: { type: "string", default: "docs/images/losses.svg" },
    report: { type: "boolean", default: false },
  },
});
const folder = resolve(values.folder);
const file = join(folder, "results.jsonl");
const say = (line: string): void => void process.stderr.write(`${line}\n`);

if (!values.report) await runAll();
const results = await readLosses(file);
await mkdir(dirname(resolve(values.svg)), { recursive: true });
await writeFile(values.svg, lossesPlot(results));
process.stdout.write(lossesTable(results));

/** Seed by seed, so that an interrupted benchmark has compared all of them. */
async function runAll(): Promise<void> {
  const settings = { folder, start: resolve(values.start), steps: parseNumber("steps", values.steps, 2) };
  await makeData(folder, DATA_SEED, say);
  for (const seed of parseNames(values.seeds)) {
    for (const loss of parseNames(values.losses)) {
      const run = await lossesRun(loss, parseNumber("seeds", seed, 0), settings);
      const done = (await readLosses(file)).find((one) => one.loss === run.loss && one.seed === run.seed);
      if (done !== undefined) {
        requireSame(`${loss}, seed ${seed}`, done, run);
        continue;
      }
      const result = await runLoss(run);
      await appendLoss(file, result);
      say(
        `${loss}, seed ${seed}: SRCC ${result.before?.toFixed(3)} to ${result.after?.toFixed(3)} in ${result.seconds.toFixed(0)} s`,
      );
    }
  }
}
