/**
 * `thurstone export`: a run, one of its checkpoints, or an adapter, as a folder that other programs read.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { exportSource } from "../trainer/index.js";
import { EXIT } from "./io.js";
import type { Command } from "./io.js";
import { dashes, ownProgram } from "./own-program.js";
import { untilInterrupted } from "./scoring/interrupt.js";

interface ExportFlags {
  readonly out: string;
  readonly merge?: true;
  readonly device?: string;
}

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
    .action(async (source: string, { out, merge, device }: ExportFlags) => {
      const given = resolve(io.cwd, source);
      const { folder, step } = await untilInterrupted((signal) =>
        exportSource({
          source: existsSync(given) ? given : source,
          out: resolve(io.cwd, out),
          merge: merge === true,
          ...(device !== undefined && { device }),
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
