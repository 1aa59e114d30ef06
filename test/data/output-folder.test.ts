import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, it } from "vitest";
import { writeFolder } from "../../src/data/output-folder.js";

const root = mkdtempSync(join(tmpdir(), "thurstone-output-"));
afterAll(() => rmSync(root, { recursive: true }));
const options = { folder: join(root, "set"), overwrite: true, entries: ["a.txt"] };

it("removes what a killed process left beside it, and nothing of one that runs", async () => {
  const module = pathToFileURL(join(import.meta.dirname, "../../src/data/output-folder.ts")).href;
  const program = `
    const { writeFolder } = await import(${JSON.stringify(module)});
    await writeFolder(${JSON.stringify(options)}, async () => {
      process.stdout.write("writing");
      await new Promise((resolve) => setTimeout(resolve, 3_600_000));
    });`;
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", program]);
  await once(child.stdout, "data");
  const left = readdirSync(root)[0]!;
  expect(left).toMatch(/^\.set\.partial-.+-\d+-/);

  const write = (): Promise<string[]> =>
    writeFolder(options, async (folder) => {
      writeFileSync(join(folder, "a.txt"), "");
      return Promise.resolve(readdirSync(root));
    });
  // A folder of another name, and one that another machine may still write into.
  const others = [".other.partial-x-1-abc", ".set.partial-x-1-abc"];
  for (const name of others) mkdirSync(join(root, name));
  expect(await write()).toContain(left);
  expect(readdirSync(root).toSorted()).toEqual([...others, left, "set"].toSorted());

  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await write()).not.toContain(left);
  expect(readdirSync(root).toSorted()).toEqual([...others, "set"].toSorted());
});
