/**
 * Workers of other machines write checkpoints into a folder of the run, so they must see it: found out before the model
 * is loaded, not at the first checkpoint.
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Caller } from "../bridge/index.js";
import { WorkerError } from "../errors.js";
import { writing } from "../runs/index.js";

/**
 * Has every rank read what is written here, and write beside it. Makes the folder; leaves nothing in it.
 *
 * @param callers by rank
 * @throws WorkerError FOLDER_NOT_SHARED, PATH_NOT_ALLOWED or WRITE_FAILED, which names rank and machine; RunError
 *   RUN_WRITE_FAILED
 */
export async function requireSharedFolder(folder: string, callers: readonly Caller[]): Promise<void> {
  const path = resolve(folder);
  const [name, token] = [`.shared-${randomUUID()}`, randomUUID()];
  const file = join(path, name);
  await writing("create", path, async () => {
    await mkdir(path, { recursive: true });
    await writeFile(file, token, { flag: "wx" });
  });
  try {
    await Promise.all(callers.map((caller, rank) => ask(caller, rank, { folder: path, name, token })));
  } finally {
    await writing("clear", file, () => rm(file, { force: true }));
  }
}

async function ask(caller: Caller, rank: number, params: { folder: string; name: string; token: string }) {
  try {
    await caller.call("checkFolder", params);
  } catch (error) {
    if (!(error instanceof WorkerError)) throw error;
    throw new WorkerError(error.code, `rank ${rank}: ${error.message}`, {
      cause: error,
      fields: { ...error.fields, rank, folder: params.folder },
    });
  }
}
