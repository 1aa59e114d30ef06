import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const root = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

let workspace: Workspace;
beforeAll(async () => {
  workspace = await createWorkspace();
});
afterAll(() => workspace.remove());

it("the example of an own loop trains, and exports into a folder below the current one that is not there yet", async () => {
  const { folder, model, data, images } = workspace;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), root("examples/own-loop.ts"), model, data, images],
    { cwd: folder, env: { ...process.env, TSX_TSCONFIG_PATH: root("tsconfig.json"), OMP_NUM_THREADS: "1" } },
  );
  expect(stdout).toMatch(/^step 1 of 1: gradient norm \d+\.\d{3}\n$/);
  expect(readdirSync(join(folder, "out"))).toEqual(["last"]);
  expect(readdirSync(join(folder, "out/last")).sort()).toEqual(readdirSync(model).sort());
});
