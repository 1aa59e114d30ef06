/**
 * What must outlive a power cut: files and folders that are told to the disk.
 *
 * @module
 */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

/** Returns when the disk has what was written to a file, or which names a folder holds: that is what makes a rename last. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The same for all that is in a folder. */
export async function syncTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) await sync(join(entry.parentPath, entry.name));
  await sync(folder);
}
