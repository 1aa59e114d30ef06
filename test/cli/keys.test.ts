/** `thurstone keys`: says which file goes where, and shows no secret. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { commandIo } from "./outputs.js";

async function keys(cwd: string, ...args: string[]) {
  const io = commandIo(cwd);
  const code = await runCommandLine(["keys", ...args], io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

it("makes files, adds to them, and overwrites none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-keys-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const made = await keys(folder, "keys", "B");
  const read = (name: string) => JSON.parse(readFileSync(join(folder, "keys", name), "utf8")) as Record<string, string>;
  const [control, own] = [read("control.json"), read("B.json")];
  expect(made).toEqual({
    code: 0,
    err: "",
    out:
      `keys/control.json  stays here (worker_key_file); public key ${control["public_key"]}\n` +
      `keys/B.json  goes to B (--key); public key ${own["public_key"]}\n`,
  });
  expect((await keys(folder, "keys", "C")).out).toContain("stays here (worker_key_file), to which they were added;");
  expect(await keys(folder, "keys", "B")).toMatchObject({
    code: 1,
    err: expect.stringContaining("KEYS_EXIST") as string,
  });
  expect(read("B.json")).toEqual(own);
  expect(await keys(folder, "keys")).toMatchObject({ code: 2 });
});
