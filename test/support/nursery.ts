/**
 * Workers of the end-to-end tests are forked from one process that has imported torch and transformers, since importing
 * takes longer than most of these runs. Everything else about them is as it always is.
 *
 * @module
 */
import type { TestProject } from "vitest/node";
import { startNursery } from "../../bench/support/worker-nursery.js";

/** vitest's global set-up, for one project. @returns its tear-down, where the system has what the nursery needs */
export async function setup({ config }: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (process.platform !== "linux") return undefined;
  const nursery = await startNursery();
  config.env["PYTHON_BIN"] = nursery.python(null, "/dev/null");
  return async () => {
    await nursery[Symbol.asyncDispose]();
  };
}
