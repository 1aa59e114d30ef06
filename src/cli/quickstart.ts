/**
 * `thurstone quickstart`: everything from nothing on a laptop. Degrades the bundled photographs, makes a small checkpoint
 * with random weights, teaches it the layout of an answer, and trains it with GRPO.
 *
 * @module
 */
import { resolve } from "node:path";
import { parseFlags } from "../config/index.js";
import { openRun } from "../runs/index.js";
import { train } from "../trainer/index.js";
import type { StepMetrics } from "../trainer/index.js";
import { followRun } from "./follow-run.js";
import { EXIT } from "./io.js";
import type { Command } from "./io.js";
import { makeData, makeStart, quickstartConfig } from "./quickstart-start.js";
import { quickstartText } from "./quickstart-text.js";

const USAGE = `Usage: thurstone quickstart [--folder output/quickstart] [--json] [--key value ...]

Trains a small model on the bundled photographs in a few minutes: no download, no GPU. Everything goes into the folder:
data, checkpoints and the run. Other flags change the settings of configs/quickstart.yaml, for example --max_steps 20.
`;

export const quickstartCommand: Command = async (args, io) => {
  if (args.includes("--help") || args.includes("-h")) {
    io.stdout.write(USAGE);
    return EXIT.done;
  }
  const json = args.includes("--json");
  const rest = args.filter((argument) => argument !== "--json");
  const { folder: asked = "output/quickstart", ...flags } = parseFlagsWithFolder(rest);
  const folder = resolve(io.cwd, asked);
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  const started = performance.now();

  const config = await quickstartConfig(folder, flags);
  await makeData(folder, config.seed, say);
  const taught = await makeStart(folder, config, say);
  const result = await followRun<StepMetrics>((options) => train(config, options), io);
  const seconds = (performance.now() - started) / 1000;
  const metrics = await (await openRun(result.folder)).metrics();
  const text = json
    ? JSON.stringify({ taught, seconds, ...result })
    : quickstartText({ result, metrics, taught, seconds }).join("\n");
  io.stdout.write(`${text}\n`);
  return EXIT.done;
};

function parseFlagsWithFolder(args: readonly string[]): { folder?: string } & Record<string, unknown> {
  const at = args.indexOf("--folder");
  if (at < 0 || args[at + 1] === undefined) return parseFlags(args);
  return { ...parseFlags([...args.slice(0, at), ...args.slice(at + 2)]), folder: args[at + 1]! };
}
