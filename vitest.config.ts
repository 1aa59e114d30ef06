import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^thurstone$/, replacement: source("src/index.ts") },
      { find: /^thurstone\/(.+)$/, replacement: source("src/$1/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/shared-folder.ts",
    testTimeout: 120_000,
    // Most files wait for a process of their own: by default one core would do nothing.
    maxWorkers: "100%",
    hookTimeout: 120_000,
    typecheck: { enabled: true, include: ["test/types/**/*.test-d.ts"], checker: "tsc" },
  },
});
