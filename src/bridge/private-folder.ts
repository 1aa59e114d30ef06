/**
 * A fresh folder that only this user can enter: its mode is what keeps strangers off the sockets in it.
 *
 * @module
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BridgeError } from "../errors.js";

/** Longest path of a unix socket in bytes (macOS; Linux takes 107), less the longest file name used in the folder. */
const LONGEST_PATH = 103 - "/control".length;

export interface PrivateFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** @throws BridgeError BRIDGE_FOLDER when no folder can be made that is ours alone and short enough */
export async function createPrivateFolder(): Promise<PrivateFolder> {
  // mkdtemp creates with mode 0700 and fails on an existing name, so nobody can have prepared the folder.
  const path = await mkdtemp(join(tmpdir(), "thurstone-"));
  const { mode, uid } = await stat(path);
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true });
  const problem =
    (mode & 0o077) !== 0
      ? "others can enter it"
      : uid !== process.getuid?.()
        ? "it belongs to somebody else"
        : Buffer.byteLength(path) > LONGEST_PATH
          ? "its path is too long for a socket; set TMPDIR to a shorter one"
          : undefined;
  if (problem === undefined) return { path, remove };
  await remove();
  throw new BridgeError("BRIDGE_FOLDER", `the folder ${path} cannot hold the worker's sockets: ${problem}.`);
}
