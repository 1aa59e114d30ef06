/** Workers must see the run's folder: here they look with the file system, there with Python (test_joining.py). */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { Caller, PlainMap } from "../../src/bridge/index.js";
import { WorkerError } from "../../src/errors.js";
import { requireSharedFolder } from "../../src/trainer/shared-folder.js";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-shared-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A machine on which the run's folder is what `at` makes of it. */
function machine(at: (folder: string) => string): Caller {
  return {
    async call(method, params: PlainMap) {
      expect(method).toBe("checkFolder");
      const { folder, name } = params as { folder: string; name: string };
      try {
        expect(readFileSync(join(at(folder), name), "utf8")).toBe(params["token"]);
      } catch (cause) {
        throw new WorkerError("FOLDER_NOT_SHARED", "node7 does not see it", { cause });
      }
      return { result: {}, tensors: {} };
    },
    close: () => Promise.resolve(),
  };
}

it("a folder that all see is made, and left empty", async () => {
  const folder = join(temporary(), "run");
  const same = machine((path) => path);
  await requireSharedFolder(folder, [same, same]);
  expect(readdirSync(folder)).toEqual([]);
});

it("a rank that does not see it is named, and nothing is left either", async () => {
  const [folder, elsewhere] = [temporary(), temporary()];
  const ranks = [machine((path) => path), machine(() => elsewhere)];
  await expect(requireSharedFolder(folder, ranks)).rejects.toMatchObject({
    code: "FOLDER_NOT_SHARED",
    message: "rank 1: node7 does not see it",
    fields: { rank: 1, folder },
  });
  expect(readdirSync(folder)).toEqual([]);
});
