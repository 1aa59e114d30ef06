/**
 * Run folders in which something was changed after they were written.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";

/** Any JSON object. */
export type Json = Record<string, unknown>;

/** A copy of the run in the folder `name` beside it. */
export function copyRun(folder: string, name: string): string {
  const copy = join(folder, "..", name);
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** Changes lines of a log. */
export function editLines(path: string, change: (line: Json, index: number) => void): void {
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  const changed = lines.map((text, index) => {
    const line = JSON.parse(text) as Json;
    change(line, index);
    return `${JSON.stringify(line)}\n`;
  });
  writeFileSync(path, changed.join(""));
}

/** Changes the recorded completions of a step. */
export function editCompletions(folder: string, step: number, change: (line: Json, index: number) => void): void {
  editLines(join(folder, `rollouts/step_${String(step).padStart(6, "0")}.jsonl`), change);
}

/** Changes a JSON or YAML file. */
export function editFile(path: string, change: (content: Json) => void): void {
  const yaml = path.endsWith(".yaml");
  const text = readFileSync(path, "utf8");
  const content = (yaml ? parse(text) : JSON.parse(text)) as Json;
  change(content);
  writeFileSync(path, yaml ? stringify(content) : `${JSON.stringify(content, null, 2)}\n`);
}

/** Makes the manifest of a checkpoint say what its files hold now, as somebody would who changed one. */
export function reseal(checkpoint: string): void {
  editFile(join(checkpoint, "manifest.json"), (manifest) => {
    const sha256 = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex");
    for (const file of manifest["files"] as Json[]) {
      const data = readFileSync(join(checkpoint, file["name"] as string));
      Object.assign(file, { bytes: data.length, sha256: sha256(data) });
    }
    const { digest: _, ...content } = manifest;
    manifest["digest"] = sha256(JSON.stringify(content));
  });
}
