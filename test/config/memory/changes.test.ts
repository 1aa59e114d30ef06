/**
 * What would make a run fit: that it does, and that nothing cheaper was passed over.
 *
 * @module
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { findRemedies, planMemory } from "../../../src/config/index.js";
import type { Leeway, Remedy } from "../../../src/config/index.js";
import { ADAPTER, GIB, kadidUse } from "../../../bench/support/memory-table.js";

const LEEWAY: Leeway = { devices: 1, leastPrompts: 2, pixels: 512 * 384, choosesGeneration: true };

const settings = (remedies: readonly Remedy[]) => remedies.map((remedy) => remedy.settings);

it("an adapter is what brings 7B onto one card of 24 GiB, where nothing else does", () => {
  const use = kadidUse("7B");
  const remedies = findRemedies(use, 24 * GIB, LEEWAY);
  expect(remedies).not.toHaveLength(0);
  for (const { settings: changed } of remedies) expect(changed).toHaveProperty("use_peft", true);
});

it("more devices are proposed where there are some", () => {
  const use = kadidUse("3B");
  const found = findRemedies(use, 40 * GIB, { ...LEEWAY, devices: 8 });
  expect(settings(found)[0]).toHaveProperty("strategy", "fsdp2");
});

it("moments in 8 bits go before checkpointing, and never into pieces", () => {
  const use = kadidUse("3B", { gradientCheckpointing: false });
  const eight = planMemory({ ...use, optimizer: "adamw_bnb_8bit" }).needed;
  const found = findRemedies(use, eight, { ...LEEWAY, devices: 8 });
  expect(settings(found)).toContainEqual({ optim: "adamw_bnb_8bit" });
  for (const { settings: changed } of found) {
    if ("strategy" in changed) expect(changed).not.toHaveProperty("optim");
  }
  const spread = findRemedies({ ...use, optimizer: "adamw_bnb_8bit" }, eight / 2, { ...LEEWAY, devices: 8 });
  const onMore = settings(spread).filter((changed) => "strategy" in changed);
  expect(onMore).not.toHaveLength(0);
  for (const changed of onMore) expect(changed).toMatchObject({ strategy: "fsdp2", optim: "adamw_torch" });
});

it("tries smaller passes first where the activations are too large", () => {
  const use = kadidUse("3B", { adapter: ADAPTER, gradientCheckpointing: false });
  const wide = { ...use, work: { ...use.work, tokensPerPass: 32_768, promptsPerUpdate: 32, prompts: 32 } };
  const found = findRemedies(wide, 40 * GIB, LEEWAY);
  expect(found[0]!.settings).toHaveProperty("max_tokens_per_part");
  expect(Object.keys(found[0]!.settings)).toHaveLength(1);
});

it("inputs of layers go into the machine's memory where those that are kept are what is too much", () => {
  const use = kadidUse("7B", { adapter: ADAPTER });
  const wide = { ...use, work: { ...use.work, samples: 1, completionTokens: 64, promptTokens: 30_000 } };
  const moved = planMemory({ ...wide, activationOffloading: true });
  const plan = planMemory(wide);
  expect(moved.stages.train.activations!).toBeLessThan(plan.stages.train.activations!);
  expect(settings(findRemedies(wide, moved.needed, LEEWAY))).toContainEqual({ activation_offloading: true });
  const without = { ...wide, gradientCheckpointing: false };
  expect(settings(findRemedies(without, moved.needed, LEEWAY, 9))).toContainEqual({
    gradient_checkpointing: true,
    activation_offloading: true,
  });
  const onCpu = findRemedies({ ...wide, device: "cpu" }, moved.needed, LEEWAY, 9);
  for (const changed of settings(onCpu)) expect(changed).not.toHaveProperty("activation_offloading");
});

it("on a CPU the copy that checkpoints are written from goes first", () => {
  const use = kadidUse("3B", { device: "cpu", asyncSave: true });
  const without = planMemory({ ...use, asyncSave: false }).needed;
  expect(settings(findRemedies(use, without, LEEWAY))[0]).toEqual({ async_save: false });
});

it("proposes to sample layer by layer where whole weights were asked for and do not fit", () => {
  const use = kadidUse("32B", { strategy: "fsdp2", ranks: 16 });
  const found = findRemedies(use, 80 * GIB, { ...LEEWAY, choosesGeneration: false });
  expect(settings(found)).toContainEqual({ ds3_gather_for_generation: false });
  expect(findRemedies(use, 80 * GIB, LEEWAY)[0]!.plan.needed).toBeLessThanOrEqual(80 * GIB);
});

it("has nothing for a model that no change brings onto the device", () => {
  expect(findRemedies(kadidUse("72B"), 8 * GIB, LEEWAY)).toEqual([]);
});

it("every proposal fits, none holds another one, and they come by cost", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("3B" as const, "7B" as const, "32B" as const, "72B" as const),
      fc.constantFrom(24, 32, 40, 48, 80),
      fc.constantFrom(1, 2, 8),
      fc.boolean(),
      (size, card, devices, gradientCheckpointing) => {
        const use = kadidUse(size, { gradientCheckpointing });
        if (planMemory(use).needed <= card * GIB) return;
        const found = findRemedies(use, card * GIB, { ...LEEWAY, devices });
        expect(found.length).toBeLessThanOrEqual(3);
        for (const { plan } of found) expect(plan.needed).toBeLessThanOrEqual(card * GIB);
        const costs = found.map(({ cost }) => cost);
        expect(costs).toEqual([...costs].sort((a, b) => a - b));
        const texts = found.map((remedy) => Object.entries(remedy.settings).map(String));
        for (const [index, text] of texts.entries()) {
          const others = texts.filter((_, other) => other !== index);
          expect(others.some((other) => other.every((entry) => text.includes(entry)))).toBe(false);
        }
      },
    ),
    { numRuns: 12 },
  );
});
