/**
 * `thurstone keys`: key files for a control plane and the workers that may dial in to it.
 *
 * @module
 */
import { relative, resolve } from "node:path";
import { makeKeys } from "../bridge/index.js";
import { EXIT } from "./io.js";
import type { Command } from "./io.js";
import { ownProgram } from "./own-program.js";

export const keysCommand: Command = async (args, io) => {
  const program = ownProgram("keys", io)
    .description(
      "make a key file for every named worker, and the control plane's (control.json) where the folder has none yet; " +
        "called again with other names it adds them. Secrets are written to files of mode 0600 and never shown.",
    )
    .argument("<folder>", "where the files are, and will be")
    .argument("<names...>", "names of workers or machines: NAME.json is the file that goes there")
    .action(async (folder: string, names: string[]) => {
      const { control, workers } = await makeKeys(resolve(io.cwd, folder), names);
      const shown = (path: string): string => relative(io.cwd, path);
      const state = control.made ? "" : ", to which they were added";
      io.stdout.write(
        `${shown(control.path)}  stays here (worker_key_file)${state}; public key ${control.publicKey}\n`,
      );
      for (const { name, path, publicKey } of workers) {
        io.stdout.write(`${shown(path)}  goes to ${name} (--key); public key ${publicKey}\n`);
      }
    });
  await program.parseAsync(args, { from: "user" });
  return EXIT.done;
};
