/**
 * What would make a run fit: that it does, that the configuration takes it, and that nothing cheaper was passed over.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planMemory } from "../../../src/config/index.js";
import type { ConfigInput, RunForecast } from "../../../src/config/index.js";
import { ADAPTER, GIB, kadidUse } from "../../../bench/support/memory-table.js";
import { kadidForecast } from "./kadid.js";

const settings = ({ remedies }: RunForecast) => remedies.map((remedy) => remedy.settings);

it("an adapter is what brings 7B onto one card of 24 GiB, where nothing else does", async () => {
  const { remedies } = await kadidForecast("7B", { card: 24 });
  expect(remedies).not.toHaveLength(0);
  for (const { settings: changed } of remedies) expect(changed).toHaveProperty("use_peft", true);
});

it("more devices are proposed where there are some", async () => {
  const found = await kadidForecast("3B", { card: 40, devices: 8 });
  expect(settings(found)[0]).toHaveProperty("strategy", "fsdp2");
});

it("moments in 8 bits go before checkpointing, and never into pieces", async () => {
  const input = { gradient_checkpointing: false };
  const card = planMemory(kadidUse("3B", { gradientCheckpointing: false, optimizer: "adamw_bnb_8bit" })).needed / GIB;
  const found = await kadidForecast("3B", { input, card: card + 0.1, devices: 8 });
  expect(settings(found)).toContainEqual({ optim: "adamw_bnb_8bit" });
  for (const changed of settings(found)) {
    if ("strategy" in changed) expect(changed).not.toHaveProperty("optim");
  }
  const eight = { input: { ...input, optim: "adamw_bnb_8bit" as const }, devices: 8 };
  const onMore = settings(await kadidForecast("3B", { ...eight, card: card / 2 })).filter(
    (changed) => "strategy" in changed,
  );
  expect(onMore).not.toHaveLength(0);
  for (const changed of onMore) expect(changed).toMatchObject({ strategy: "fsdp2", optim: "adamw_torch" });
});

it("tries smaller passes first where the activations are too large", async () => {
  const input = { use_peft: true, gradient_checkpointing: false, max_tokens_per_part: 32_768, prompts_per_step: 32 };
  const found = settings(await kadidForecast("3B", { input, card: 40 }));
  expect(Object.keys(found[0]!)).toEqual(["max_tokens_per_part"]);
});

it("inputs of layers go into the machine's memory where those that are kept are what is too much", async () => {
  const work = { samples: 1, completionTokens: 64, promptTokens: 30_000 };
  const use = kadidUse("7B", { adapter: ADAPTER });
  const wide = { ...use, work: { ...use.work, ...work } };
  const moved = planMemory({ ...wide, activationOffloading: true });
  expect(moved.stages.train.activations!).toBeLessThan(planMemory(wide).stages.train.activations!);
  const input = { use_peft: true };
  const small = { card: moved.needed / GIB + 0.1, work, most: 9 };
  expect(settings(await kadidForecast("7B", { input, ...small }))).toContainEqual({ activation_offloading: true });
  const without = { input: { ...input, gradient_checkpointing: false }, ...small };
  expect(settings(await kadidForecast("7B", without))).toContainEqual({
    gradient_checkpointing: true,
    activation_offloading: true,
  });
  for (const changed of settings(await kadidForecast("7B", { input, ...small, device: "cpu" }))) {
    expect(changed).not.toHaveProperty("activation_offloading");
  }
});

it("on a CPU the copy that checkpoints are written from goes first", async () => {
  const use = kadidUse("3B", { device: "cpu", asyncSave: true });
  const card = planMemory({ ...use, asyncSave: false }).needed / GIB + 0.1;
  const found = await kadidForecast("3B", { input: { async_save: true }, card, device: "cpu" });
  expect(settings(found)[0]).toEqual({ async_save: false });
});

it("proposes to sample layer by layer where whole weights were asked for and do not fit", async () => {
  const input = { strategy: "fsdp2" as const, num_processes: 16 };
  const told = await kadidForecast("32B", { input: { ...input, ds3_gather_for_generation: true }, card: 80 });
  expect(settings(told)).toContainEqual({ ds3_gather_for_generation: false });
  expect(await kadidForecast("32B", { input, card: 80 })).toMatchObject({
    fits: true,
    options: { generation: "layerwise" },
  });
});

it("has nothing for a model that no change brings onto the device", async () => {
  expect((await kadidForecast("72B", { card: 8 })).remedies).toEqual([]);
});

describe("what goes against the rest of the configuration", () => {
  it("is written with what has to change besides", async () => {
    const input = { num_processes: 4, per_device_train_batch_size: 12, prompts_per_step: 8 };
    const spread = settings(await kadidForecast("7B", { input, card: 48, devices: 8, most: 9 })).filter(
      (changed) => changed["num_processes"] === 8,
    );
    expect(spread).not.toHaveLength(0);
    for (const changed of spread) expect(changed).toHaveProperty("per_device_train_batch_size", 6);

    const paced = settings(await kadidForecast("7B", { input: { vision_learning_rate: 1e-7 }, card: 24 }));
    expect(paced).not.toHaveLength(0);
    for (const changed of paced) expect(changed).toMatchObject({ use_peft: true, vision_learning_rate: null });

    const quarter = { use_peft: true, load_in_4bit: true };
    const apart = settings(await kadidForecast("72B", { input: quarter, card: 48, devices: 8 }));
    expect(apart).not.toHaveLength(0);
    for (const changed of apart) expect(changed).toMatchObject({ strategy: "fsdp2", load_in_4bit: false });
  });

  it("is left out where nothing makes it go", async () => {
    const input = { num_processes: 2, per_device_train_batch_size: 9, prompts_per_step: 3 };
    const odd = settings(await kadidForecast("3B", { input, card: 40, devices: 8, most: 99 }));
    expect(odd.map((changed) => changed["num_processes"])).toContain(2);
    expect(odd.map((changed) => changed["num_processes"])).not.toContain(4);
    // Whose advantage reads the distance from the reference.
    const held = await kadidForecast("3B", { input: { kl_in_reward: true }, card: 60, most: 99 });
    for (const changed of settings(held)) expect(changed).not.toHaveProperty("beta");
  });
});

/** Keys that some change contradicts. */
const contradicted: readonly Partial<ConfigInput>[] = [
  {},
  { vision_learning_rate: 1e-7 },
  { use_peft: true, load_in_4bit: true },
  { optim: "adamw_bnb_8bit" },
  { kl_in_reward: true },
  { min_pixels: 400 * 384 },
  { lora_dropout: 0.1, use_peft: true },
  { per_device_train_batch_size: 12, prompts_per_step: 16 },
  { per_device_train_batch_size: 3, gradient_accumulation_steps: 4, max_steps: 6, prompts_per_step: 4 },
];

it("every proposal resolves and fits, none holds another one, and they come by cost", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("3B" as const, "7B" as const, "32B" as const, "72B" as const),
      fc.constantFrom(24, 32, 40, 48, 80),
      fc.constantFrom(1, 2, 8),
      fc.boolean(),
      fc.constantFrom(...contradicted),
      async (size, card, devices, gradient_checkpointing, keys) => {
        const input = { gradient_checkpointing, ...keys };
        const { remedies } = await kadidForecast(size, { input, card, devices });
        expect(remedies.length).toBeLessThanOrEqual(3);
        for (const { settings: changed, plan } of remedies) {
          const applied = { ...input, ...changed };
          // Which resolves it.
          const after = await kadidForecast(size, { input: { prompts_per_step: 8, ...applied }, card, devices });
          expect(after).toMatchObject({ fits: true, plan });
        }
        const costs = remedies.map(({ cost }) => cost);
        expect(costs).toEqual([...costs].sort((a, b) => a - b));
        const texts = remedies.map((remedy) => Object.entries(remedy.settings).map(String));
        for (const [index, text] of texts.entries()) {
          const others = texts.filter((_, other) => other !== index);
          expect(others.some((other) => other.every((entry) => text.includes(entry)))).toBe(false);
        }
      },
    ),
    { numRuns: 24 },
  );
});
