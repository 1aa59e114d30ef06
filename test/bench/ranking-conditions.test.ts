import { join } from "node:path";
import { expect, it } from "vitest";
import { commonSettings } from "../../bench/support/ranking-conditions.js";
import { loadConfig } from "../../src/config/index.js";

it("the ranking bench trains with the settings of the quickstart, but for the threads of runs side by side", async () => {
  const quickstart = await loadConfig([join(import.meta.dirname, "../../configs/quickstart.yaml")]);
  const { worker_threads: threads, ...settings } = commonSettings;
  expect(threads).toBe(1);
  for (const [key, value] of Object.entries(settings)) {
    expect([key, quickstart[key as keyof typeof settings]]).toEqual([key, value]);
  }
});
