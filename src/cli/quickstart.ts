/**
 * `thurstone quickstart`: reinforcement learning teaches a model to rank, on a laptop in a few minutes. Degrades the
 * bundled photographs, trains the bundled checkpoint `zero` with GRPO and a ranking reward, and rates photographs that
 * no stage has seen before and after.
 *
 * @module
 */
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { loadConfig, parseFlags } from "../config/index.js";
import type { ResolvedConfig } from "../config/index.js";
import { writeQuickstartSet } from "../data/index.js";
import { ConfigError } from "../errors.js";
import { PACKAGE_ROOT } from "../python/index.js";
import { openRun } from "../runs/index.js";
import { train } from "../trainer/index.js";
import type { StepMetrics } from "../trainer/index.js";
import { followRun } from "./follow-run.js";
import { EXIT } from "./io.js";
import type { Command } from "./io.js";
import { quickstartPlot } from "./quickstart-plot.js";
import { quickstartText, riseOf } from "./quickstart-text.js";
import type { QuickstartOutcome } from "./quickstart-text.js";

const USAGE = `Usage: thurstone quickstart [--folder output/quickstart] [--json] [--key value ...]

Trains a small model on the bundled photographs in a few minutes: no download, no GPU. Everything goes into the folder:
data, checkpoints and the run. Other flags change the settings of configs/quickstart.yaml, for example --max_steps 20.
--json ends with one line: the rank correlation on unseen photographs before and after, by estimator.
`;

const FOLDER = "--folder";

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
  const result = await followRun<StepMetrics>((options) => train(config, options), io, config.termination_grace);
  const metrics = await (await openRun(result.folder)).metrics();
  const rise = riseOf(result.evaluations);
  const plot = join(result.folder, "quickstart.svg");
  await writeFile(plot, quickstartPlot(metrics, rise));

  const outcome = { config, result, metrics, rise, plot, seconds: (performance.now() - started) / 1000 };
  const text = json ? JSON.stringify(summaryOf(outcome)) : quickstartText(outcome).join("\n");
  io.stdout.write(`${text}\n`);
  return EXIT.done;
};

/** The configuration of a quickstart in `folder`. */
export async function quickstartConfig(
  folder: string,
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<ResolvedConfig> {
  return loadConfig([join(PACKAGE_ROOT, "configs/quickstart.yaml")], {
    model_name_or_path: join(PACKAGE_ROOT, "assets/zero"),
    data_file_paths: [join(folder, "data/train.jsonl")],
    eval_data_file_paths: [join(folder, "data/test.jsonl")],
    output_dir: join(folder, "run"),
    // A folder of the quickstart's own may be replaced; one that somebody names may not, unless they say so.
    overwrite_output_dir: overrides["output_dir"] === undefined,
    ...overrides,
  });
}

/** Degrades the bundled photographs into `folder`/data. */
export async function makeData(folder: string, seed: number, say: (line: string) => void): Promise<void> {
  const { train: trained, test } = await writeQuickstartSet({
    photosDir: join(PACKAGE_ROOT, "assets/photos"),
    meansFile: join(PACKAGE_ROOT, "assets/kadid/means.json"),
    outDir: join(folder, "data"),
    seed,
  });
  say(`data: ${trained.rows} pictures to train on, ${test.rows} of photographs that no stage has seen`);
}

/** What --json prints. */
function summaryOf({ rise, result, seconds }: QuickstartOutcome): object {
  const scores = (when: "before" | "after"): object =>
    Object.fromEntries(rise.map((one) => [one.estimator, one[when]?.srcc ?? null]));
  return { before: scores("before"), after: scores("after"), seconds, run: result.folder };
}

/** The command's own flag beside those of the configuration, in either form: --folder X, --folder=X. */
export function parseFlagsWithFolder(args: readonly string[]): { folder?: string } & Record<string, unknown> {
  const at = args.findIndex((argument) => argument === FOLDER || argument.startsWith(`${FOLDER}=`));
  if (at < 0) return parseFlags(args);
  const joined = args[at]!.slice(FOLDER.length + 1);
  const separate = args[at] === FOLDER;
  const folder = separate ? args[at + 1] : joined;
  if (folder === undefined || folder === "" || folder.startsWith("--")) {
    throw new ConfigError("CONFIG_FLAG", `${FOLDER} needs a folder, as in "${FOLDER} output/quickstart".`);
  }
  return { ...parseFlags([...args.slice(0, at), ...args.slice(at + (separate ? 2 : 1))]), folder };
}
