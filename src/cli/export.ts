/**
 * `thurstone export`: a run, one of its checkpoints, or an adapter, as a folder that other programs read.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { Option } from "commander";
import { exportSource } from "../trainer/index.js";
import { EXIT } from "./io.js";
import type { Command } from "./io.js";
import { positiveInteger } from "./numbers.js";
import { dashes, ownProgram } from "./own-program.js";
import { untilInterrupted } from "./scoring/interrupt.js";

interface ExportFlags {
  readonly out: string;
  readonly merge?: true;
  readonly device?: string;
  readonly numProcesses?: number;
  readonly strategy?: (typeof STRATEGIES)[number];
  readonly deepspeed?: string;
}

/** Ways to spread a model over processes that can be asked for by name. */
const STRATEGIES = ["single", "ddp", "fsdp2"] as const;

export const exportCommand: Command = async (args, io) => {
  const program = ownProgram("export", io)
    .description("write a Hugging Face checkpoint folder, or the adapter of a run with use_peft as a PEFT folder")
    .argument(
      "<source>",
      "a run (its last checkpoint), a checkpoint folder of one, or a model or adapter: folder or hub id",
    )
    .requiredOption("--out <folder>", "where to; must not exist")
    .option("--merge", "add the adapter to what it adapts, and write the whole model")
    .option("--device <device>", "auto, cpu, cuda or cuda:N; default: as the run had, cpu for a model or adapter")
    .option("--num-processes <count>", "processes that hold the model of a checkpoint; default: 1", positiveInteger)
    .addOption(new Option("--strategy <strategy>", "how they share it").choices(STRATEGIES))
    .option("--deepspeed <file>", "a file of DeepSpeed's settings, in the place of a strategy")
    .action(async (source: string, { out, merge, device, numProcesses, strategy, deepspeed }: ExportFlags) => {
      const given = resolve(io.cwd, source);
      const { folder, step } = await untilInterrupted((signal) =>
        exportSource({
          source: existsSync(given) ? given : source,
          out: resolve(io.cwd, out),
          merge: merge === true,
          ...(device !== undefined && { device }),
          processes: {
            ...(numProcesses !== undefined && { num_processes: numProcesses }),
            ...(strategy !== undefined && { strategy }),
            ...(deepspeed !== undefined && { deepspeed }),
          },
          signal,
          onStderr: (line) => void io.stderr.write(`worker: ${line}\n`),
        }),
      );
      const kind = existsSync(join(folder, "adapter_config.json")) ? "adapter" : "model";
      const of = step === null ? source : `${source} at step ${step}`;
      io.stdout.write(`${kind} of ${of} written to ${relative(io.cwd, folder) || "."}\n`);
    });
  await program.parseAsync(args.map(dashes), { from: "user" });
  return EXIT.done;
};
