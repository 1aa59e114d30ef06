/**
 * What a report is about, by content: the files of a model and of the data, whatever folder they lie in.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";

/** One file. */
export interface FileDigest {
  readonly name: string;
  readonly bytes: number;
  /** In hex. */
  readonly sha256: string;
}

/** A checkpoint: a folder by the content of its files, a hub id by its name and revision. */
export interface ModelDigest {
  /** Last part of the path, or the hub id. */
  readonly name: string;
  /** Revision of a hub id; null: its main branch, or a folder. */
  readonly revision: string | null;
  /** Files of the folder; null for a hub id, whose files are the hub's. */
  readonly files: readonly FileDigest[] | null;
  /** SHA-256 over names and digests of the files; null for a hub id. */
  readonly sha256: string | null;
}

/**
 * @param model folder or hub id
 * @throws the system's error for a path that is there and cannot be looked at
 */
export async function digestModel(model: string, revision: string | null = null): Promise<ModelDigest> {
  // What is not there is no folder, so it is a hub id; whether that exists shows when it is loaded.
  const folder = await stat(model).catch((error: NodeJS.ErrnoException) => {
    // ENOTDIR: the first part of a hub id is the name of a file here.
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw error;
  });
  if (folder?.isDirectory() !== true) return { name: model, revision, files: null, sha256: null };
  const entries = await readdir(model, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink()).map(({ name }) => name);
  const files: FileDigest[] = [];
  for (const name of names.sort()) files.push(await digestFile(join(model, name)));
  return { name: basename(resolve(model)), revision, files, sha256: digestText(JSON.stringify(files)) };
}

/** Name, size and content of a file, which may be larger than memory. */
export async function digestFile(path: string): Promise<FileDigest> {
  const hash = createHash("sha256");
  let bytes = 0;
  await pipeline(createReadStream(path), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  });
  return { name: basename(path), bytes, sha256: hash.digest("hex") };
}

/** SHA-256 of a text in hex. */
export function digestText(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
