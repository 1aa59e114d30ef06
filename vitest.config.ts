import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer } from "vitest/node";
import type { TestSpecification } from "vitest/node";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Their files leave the process as they found it, so that the modules one has imported serve the next. */
const FUNCTIONS = ["advantages", "config", "data", "images", "losses", "policy", "prompts", "runs", "stats"].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

/** Runs whose workers are forked, see test/support/nursery.ts; ranks that dial in start by themselves. */
const RUNS = ["test/e2e/!(ranks).test.ts"];

/** Projects in the order in which they run: the long files are not the last ones, when all cores but one have nothing to do. */
const ORDER = ["runs", "processes", "functions"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return ORDER.flatMap((name) => sorted.filter((file) => file.project.name === name));
  }
}

export default defineConfig({
  resolve: {
    alias: [
      { find: /^thurstone$/, replacement: source("src/index.ts") },
      { find: /^thurstone\/(.+)$/, replacement: source("src/$1/index.ts") },
    ],
  },
  test: {
    globalSetup: "test/support/shared-folder.ts",
    testTimeout: 120_000,
    // Most files wait for a process of their own: by default one core would do nothing.
    maxWorkers: "100%",
    hookTimeout: 120_000,
    // Models as small as these run several times slower on threads that wait for each other.
    env: { OMP_NUM_THREADS: "1" },
    sequence: { sequencer: LongestFirst },
    projects: [
      { extends: true, test: { name: "runs", include: RUNS, globalSetup: "test/support/nursery.ts" } },
      { extends: true, test: { name: "processes", include: ["test/**/*.test.ts"], exclude: [...FUNCTIONS, ...RUNS] } },
      {
        extends: true,
        test: {
          name: "functions",
          include: FUNCTIONS,
          isolate: false,
          typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"], checker: "tsc" },
        },
      },
    ],
  },
});
