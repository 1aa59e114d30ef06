/**
 * Does a model learn to rank pictures, and from which rewards? Trains from given checkpoints with every reward that compares
 * pictures, with controls from which nothing can be learnt, and by supervision with true scores, and evaluates on other photographs before and after.
 *
 *   npx tsx bench/ranking.ts --train TRAIN.jsonl --test TEST.jsonl --results RESULTS.jsonl [options] STARTS...
 *   npx tsx bench/ranking.ts --results RESULTS.jsonl --report
 *
 *   STARTS                folders of checkpoints, named FAMILY-NUMBER, for example zero-0 zero-1 part-0
 *   --evaluate FOLDER     a checkpoint that is only evaluated (may be repeated)
 *   --only a,b            these conditions alone
 *   --seeds 0,1           seeds of the runs from each start; default 0
 *   --jobs 2              runs side by side, each in its own process
 *   --set '{"max_steps": 100}'   settings that replace the common ones (bench/support/ranking-conditions.ts); of these, supervised
 *                         runs take over only those of model and question
 *   --runs FOLDER         run folders and logs; default output/ranking
 *   --sft-steps 280       steps of supervised runs; default as in that file, where they take about the processor time of the others
 *   --blank a,b           these conditions are also evaluated with grey pictures; "start" is one of them
 *   --report              prints the results as Markdown tables and does nothing else
 *
 * Each finished run is one line of the results file. Runs that are there already are left out: call it again after an
 * interruption. Exits with status 1 when a run failed; its log says why.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { conditionOf, conditions } from "./support/ranking-conditions.js";
import { parseNames, parseNumber, parseSettings } from "./support/ranking-options.js";
import { reportMarkdown } from "./support/ranking-report.js";
import { appendResult, nameOf, openJobs, readResults } from "./support/ranking-results.js";
import { digestOf, runJob } from "./support/ranking-run.js";
import type { RankingRun, RankingSources } from "./support/ranking-training.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    train: { type: "string" },
    test: { type: "string" },
    results: { type: "string" },
    evaluate: { type: "string", multiple: true, default: [] },
    only: { type: "string", default: conditions.map(({ name }) => name).join(",") },
    seeds: { type: "string", default: "0" },
    jobs: { type: "string", default: "1" },
    set: { type: "string", default: "{}" },
    "sft-steps": { type: "string" },
    blank: { type: "string" },
    runs: { type: "string", default: "output/ranking" },
    report: { type: "boolean", default: false },
    // How a run is told to its own process.
    run: { type: "string" },
  },
});

if (values.run !== undefined) {
  // The pipe ends with the process that asked: nobody would read the result.
  process.stdin.on("end", () => process.exit(1)).resume();
  const result = await runJob(JSON.parse(values.run) as RankingRun);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.stdin.destroy();
} else if (values.report) {
  process.stdout.write(reportMarkdown(await readResults(required("results"))));
} else {
  await runAll();
}

async function runAll(): Promise<void> {
  const results = required("results");
  const jobs = parseNumber("jobs", values.jobs, 1);
  const runs = await plannedRuns();
  const open = new Set(openJobs(runs, await readResults(results)));
  const waiting = runs.filter((run) => open.has(run));
  const total = waiting.length;
  say(`${runs.length} runs, ${runs.length - total} of them done before`);

  let failed = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
      try {
        const { evaluation } = await appendResult(results, await inOwnProcess(run));
        done += 1;
        const { sampled, greedy, expected } = evaluation;
        const figures = [sampled, greedy, expected].map(({ srcc }) => srcc?.toFixed(3) ?? "-").join(" ");
        say(`${done} of ${total}: ${nameOf(run)}: SRCC sampled, greedy, expected ${figures}`);
      } catch (error) {
        failed += 1;
        say(`failed: ${nameOf(run)}: ${(error as Error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  if (failed > 0) process.exitCode = 1;
}

/** All runs: seed by seed, start by start, each start itself first. */
async function plannedRuns(): Promise<RankingRun[]> {
  const sources: RankingSources = {
    train: resolve(required("train")),
    test: resolve(required("test")),
    settings: parseSettings("set", values.set),
    sftSteps: values["sft-steps"] === undefined ? null : parseNumber("sft-steps", values["sft-steps"], 1),
  };
  const chosen = parseNames(values.only).map((name) => conditionOf(name).name);
  const grey = parseNames(values.blank ?? "").map((name) => (name === "start" ? name : conditionOf(name).name));
  const seeds = parseNames(values.seeds).map((seed) => parseNumber("seeds", seed, 0));
  const jobs = [...positionals, ...values.evaluate].map((model) => ({ model, condition: "start", seed: 0 }));
  for (const seed of seeds) {
    for (const model of positionals) jobs.push(...chosen.map((condition) => ({ model, condition, seed })));
  }
  const runs: RankingRun[] = [];
  for (const { model: folder, condition, seed } of jobs) {
    const model = resolve(folder);
    const start = basename(model);
    const blank = grey.includes(condition);
    runs.push({
      ...sources,
      condition,
      start,
      seed,
      model,
      blank,
      digest: await digestOf({ condition, seed, blank }, model, sources),
      folder: resolve(values.runs, `${start}-${condition}-${seed}`),
    });
  }
  return runs;
}

/** @returns the line that the run's process wrote */
async function inOwnProcess(run: RankingRun): Promise<string> {
  await mkdir(resolve(values.runs), { recursive: true });
  const log = `${run.folder}.log`;
  const child = spawn(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), fileURLToPath(import.meta.url), "--run", JSON.stringify(run)],
    { stdio: ["pipe", "pipe", "pipe"] },
  );
  const file = child.stderr.pipe(createWriteStream(log));
  let written = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (written += text));
  const code = await new Promise<number | null>((settle, reject) => child.on("close", settle).on("error", reject));
  await finished(file);
  if (code !== 0) throw new Error(`its process ended with status ${code}; see ${log}`);
  return written.trim();
}

function required(name: "train" | "test" | "results"): string {
  const value = values[name];
  if (value === undefined)
    throw new Error(`ranking: give --${name}; the head of bench/ranking.ts explains the options.`);
  return value;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
