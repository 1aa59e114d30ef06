/**
 * The memory plan: what each part comes to by hand, and what must hold for all of them.
 *
 * @module
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseGeneration, countParameters, planMemory, sum } from "../../../src/config/index.js";
import type { MemoryOptions } from "../../../src/config/index.js";
import { ADAPTER, GIB, kadidUse } from "../../../bench/support/memory-table.js";

const P = 8_292_166_656;

const NOTHING = { optimizer: false, weights: false };
const OFFLOADED = { optimizer: true, weights: true };

describe("what a rank holds of Qwen2.5-VL-7B", () => {
  const held = (changes: Partial<MemoryOptions>) => planMemory(kadidUse("7B", changes)).stages.update;
  const { embedding, head, text, vision } = countParameters(kadidUse("7B").architecture);
  const copy = 2 * (text.products + vision.products + head) + 4 * (text.others + vision.others + embedding);

  it("is 16 bytes per parameter and a copy in the type of the computation", () => {
    expect(held({})).toMatchObject({ weights: 4 * P, gradients: 4 * P, optimizer: 8 * P, reference: copy });
    expect(held({ strategy: "ddp", ranks: 4 })).toMatchObject({ weights: 4 * P, optimizer: 8 * P, reference: copy });
  });

  it("is an eighth of it on each of 8 ranks under fsdp2", () => {
    const { weights, gradients, optimizer, reference } = held({ strategy: "fsdp2", ranks: 8 });
    expect([weights, gradients, optimizer, reference]).toEqual([P / 2, P / 2, P, copy / 8]);
  });

  it("is no gradient, no moments and no copy of a frozen tower", () => {
    const frozen = vision.products + vision.others;
    expect(held({ freezeVision: true })).toMatchObject({
      weights: 4 * P,
      gradients: 4 * (P - frozen),
      optimizer: 8 * (P - frozen),
      reference: copy - 2 * vision.products - 4 * vision.others,
    });
  });

  it("is the copy, and 16 bytes per parameter of an adapter", () => {
    const adapter = 40_370_176;
    expect(held({ adapter: ADAPTER })).toMatchObject({
      weights: copy + 4 * adapter,
      gradients: 4 * adapter,
      optimizer: 8 * adapter,
      reference: 0,
    });
    const saved = held({ adapter: ADAPTER }).weights! - held({ adapter: { ...ADAPTER, fourBit: true } }).weights!;
    expect(saved / text.products).toBeCloseTo(2 - (0.5 + 1 / 64 + 1 / 4096), 9);
  });

  it("is a copy of what a checkpoint has, shared out, in the machine's memory where checkpoints are written beside", () => {
    const spread = { strategy: "fsdp2", ranks: 8 } as const;
    const host = (changes: Partial<MemoryOptions>): number =>
      planMemory(kadidUse("7B", { asyncSave: true, ...changes })).host -
      planMemory(kadidUse("7B", { ...changes, asyncSave: false })).host;
    expect(host(spread)).toBe((12 * P) / 8);
    expect(host({ ...spread, strategy: "ddp", adapter: ADAPTER })).toBeCloseTo((12 * 40_370_176) / 8, 3);
    expect(held({ ...spread, asyncSave: true })["copy to be saved"]).toBeUndefined();
    const onCpu = { ...spread, device: "cpu", asyncSave: true } as const;
    expect(held(onCpu)["copy to be saved"]).toBe((12 * P) / 8);
    expect(planMemory(kadidUse("7B", onCpu)).host).toBe(0);
  });

  it("is whole at the first rank while a model is read that is then cut, in the type it is trained in", () => {
    const loading = (changes: Partial<MemoryOptions>): number => planMemory(kadidUse("7B", changes)).loading;
    expect(loading({ strategy: "fsdp2", ranks: 8, reference: false })).toBe(4 * P);
    expect(loading({ strategy: "zero3", ranks: 2, offload: OFFLOADED, reference: true })).toBe(8 * P);
    expect(loading({ strategy: "fsdp2", ranks: 8, adapter: ADAPTER })).toBeLessThan(2.5 * P);
    for (const strategy of ["ddp", "zero2"] as const) expect(loading({ strategy, ranks: 8 })).toBe(0);
  });

  it("is a quarter of the moments in 8 bits", () => {
    const optimizer = "adamw_bnb_8bit";
    expect(held({ optimizer }).optimizer! / (8 * P)).toBeCloseTo((2 * (1 + 1 / 64)) / 8, 9);
    const copied = held({ optimizer, device: "cpu", asyncSave: true })["copy to be saved"]!;
    expect(copied / P).toBeCloseTo(4 + 2 * (1 + 1 / 64), 9);
  });

  it("counts what 8 bits take while they are worked with, on a CPU alone", () => {
    const update = (changes: object) => planMemory(kadidUse("7B", changes)).stages.update.activations;
    expect(update({ optimizer: "adamw_bnb_8bit", device: "cpu" })).toBe(5 * 4 * 152_064 * 3584);
    expect(update({ optimizer: "adamw_bnb_8bit" })).toBe(0);
    expect(update({ device: "cpu" })).toBe(0);
  });

  it("is what DeepSpeed's own estimators say under ZeRO", () => {
    const states = ({ weights = 0, gradients = 0, optimizer = 0 }) => weights + gradients + optimizer;
    expect(states(held({ strategy: "zero2", ranks: 8 }))).toBe(4 * P + (16 * P) / 8);
    expect(states(held({ strategy: "zero3", ranks: 8 }))).toBe((18 * P) / 8);
  });

  it.each<[MemoryOptions["strategy"], MemoryOptions["offload"], number[], number, number[]]>([
    // On the device: weights, gradients and moments in P / 8, a reference in eighths; and both in the machine's memory.
    ["zero2", NOTHING, [2 * 8 + 4, 2 * 8 + 4, 8], 8, [0, 0]],
    ["zero2", { optimizer: true, weights: false }, [2 * 8, 0, 0], 8, [4 + 4 + 8, 0]],
    // Which DeepSpeed knows at stage 3 alone.
    ["zero2", { optimizer: false, weights: true }, [2 * 8 + 4, 2 * 8 + 4, 8], 8, [0, 0]],
    ["zero3", NOTHING, [2 + 4, 4, 8], 1, [0, 0]],
    ["zero3", { optimizer: true, weights: false }, [2, 0, 0], 1, [4 + 4 + 8, 0]],
    ["zero3", { optimizer: false, weights: true }, [4, 4, 8], 0, [2, 1]],
    ["zero3", OFFLOADED, [0, 0, 0], 0, [2 + 4 + 4 + 8, 1]],
    ["fsdp2", OFFLOADED, [4, 4, 8], 1, [0, 0]],
  ])("is under %s with %j what is not offloaded", (strategy, offload, states, shareOfCopy, moved) => {
    const use = kadidUse("7B", { strategy, ranks: 8, offload });
    const { weights, gradients, optimizer, reference } = planMemory(use).stages.update;
    expect([weights, gradients, optimizer]).toEqual(states.map((share) => (share * P) / 8));
    expect(reference).toBe((shareOfCopy * copy) / 8);
    const inMachine = planMemory(use).host - planMemory({ ...use, offload: NOTHING }).host;
    expect(inMachine / 1.5).toBeCloseTo((moved[0]! * P + moved[1]! * copy) / 8, 1);
    const onCpu = { ...use, device: "cpu" as const };
    expect(planMemory(onCpu)).toEqual(planMemory({ ...onCpu, offload: NOTHING }));
  });

  it("is float32 weights for DeepSpeed's optimizer besides, in any precision", () => {
    expect(held({ strategy: "zero3", ranks: 8, precision: "float32" }).weights).toBe((4 * P + 4 * P) / 8);
  });
});

const sizes = fc.constantFrom("3B" as const, "7B" as const, "32B" as const, "72B" as const);
const strategies = fc.constantFrom(
  "single" as const,
  "ddp" as const,
  "fsdp2" as const,
  "zero2" as const,
  "zero3" as const,
);
const uses = fc
  .record({
    size: sizes,
    strategy: strategies,
    precision: fc.constantFrom("float32" as const, "bfloat16" as const),
    adapter: fc.constantFrom(null, ADAPTER),
    freezeVision: fc.boolean(),
    gradientCheckpointing: fc.boolean(),
    reference: fc.boolean(),
    promptsPerRank: fc.constantFrom(1, 2, 8, 64),
    exponent: fc.integer({ min: 1, max: 5 }),
  })
  .map(({ size, strategy, promptsPerRank, exponent, ...changes }) => {
    const ranks = strategy === "single" ? 1 : 2 ** exponent;
    const use = kadidUse(size, { ...changes, strategy, ranks });
    const prompts = promptsPerRank * ranks;
    return { ...use, work: { ...use.work, prompts, promptsPerUpdate: prompts } };
  });

function neededWith(
  use: MemoryOptions,
  changes: Partial<MemoryOptions>,
  work: Partial<MemoryOptions["work"]> = {},
): number {
  return planMemory({ ...use, ...changes, work: { ...use.work, ...work } }).needed;
}

describe("for every use", () => {
  it("less is needed with less to train, in smaller passes, for a smaller batch", () => {
    fc.assert(
      fc.property(uses, (use) => {
        const { work } = use;
        const { needed } = planMemory(use);
        const atMost = (other: number) => expect(other).toBeLessThanOrEqual(needed);
        atMost(neededWith(use, { freezeVision: true }));
        atMost(neededWith(use, { reference: false }));
        atMost(neededWith(use, { optimizer: "adamw_bnb_8bit" }));
        // An update in one pass has no gradients yet while its activations are there.
        const inSeveral = work.prompts / use.ranks > 2;
        if (inSeveral) atMost(neededWith(use, {}, { tokensPerPass: work.promptTokens + work.completionTokens }));
        atMost(neededWith(use, {}, { prompts: work.prompts / 2, promptsPerUpdate: work.promptsPerUpdate / 2 }));
        if (use.adapter !== null) atMost(neededWith(use, { adapter: { ...use.adapter, rank: 8 } }));
      }),
    );
  });

  it("less is needed for fewer and shorter answers and smaller pictures, where no more prompts take their place", () => {
    fc.assert(
      fc.property(uses, (use) => {
        const prompts = use.ranks;
        const one = { ...use, work: { ...use.work, prompts, promptsPerUpdate: prompts } };
        const atMost = (other: number) => expect(other).toBeLessThanOrEqual(planMemory(one).needed);
        atMost(neededWith(one, {}, { completionTokens: 128 }));
        atMost(neededWith(one, {}, { samples: 3 }));
        atMost(neededWith(one, {}, { patches: 504, imageTokens: 126, promptTokens: 294 }));
      }),
    );
  });

  it("spreading over twice the ranks needs no more on each, for the same batch", () => {
    fc.assert(
      fc.property(uses, (use) => {
        if (use.strategy === "single") return;
        expect(neededWith(use, { ranks: 2 * use.ranks })).toBeLessThanOrEqual(planMemory(use).needed);
      }),
    );
  });

  it("inputs of layers that leave the device are in the machine's memory instead, where there are two", () => {
    fc.assert(
      fc.property(uses, (use) => {
        const saving = { ...use, gradientCheckpointing: true };
        const [kept, moved] = [saving, { ...saving, activationOffloading: true }].map(planMemory);
        expect(moved!.host).toBeGreaterThan(kept!.host);
        expect(moved!.needed).toBeLessThanOrEqual(kept!.needed);
        const onCpu = { ...saving, device: "cpu" as const };
        expect(planMemory({ ...onCpu, activationOffloading: true })).toEqual(planMemory(onCpu));
      }),
    );
  });

  it("the peak is the largest stage", () => {
    fc.assert(
      fc.property(uses, (use) => {
        const plan = planMemory(use);
        const all = Object.values(plan.stages).map(sum);
        expect(plan.tensors).toBe(Math.max(...all));
        expect(sum(plan.stages[plan.peak])).toBe(plan.tensors);
      }),
    );
  });
});

describe("rows that are held out", () => {
  const use = kadidUse("7B");
  const { generate: rollout } = planMemory(use).stages;
  const generate = (evaluation: MemoryOptions["work"]["evaluation"], work: Partial<MemoryOptions["work"]> = {}) =>
    planMemory({ ...use, work: { ...use.work, evaluation, ...work } }).stages.generate;
  const answers = { prompts: 64, samples: 6, completionTokens: 256 };

  it("count where more is sampled of them at once than for training", () => {
    const asked = generate({ answers, tokensAheadOfScore: null });
    const equal = planMemory({ ...use, work: { ...use.work, prompts: 64 } }).stages.generate;
    expect(asked).toEqual(equal);
    expect(sum(asked)).toBeGreaterThan(sum(rollout));
    expect(generate({ answers: { ...answers, prompts: 4 }, tokensAheadOfScore: null })).toEqual(rollout);
    expect(generate({ answers, tokensAheadOfScore: null }, { sampled: false })).toEqual(equal);
  });

  it("count with the passes of the expected score, one row at a time", () => {
    const alone = { sampled: false, prompts: 1 };
    const read = generate({ answers: null, tokensAheadOfScore: 4096 }, alone);
    // 200 tokens with a logit in 16 bits, in float32, and divided by the temperature.
    expect(read.logits).toBe(200 * 152_064 * (2 + 4 + 4));
    const shorter = generate({ answers: null, tokensAheadOfScore: 8 }, alone);
    expect(read.activations! / shorter.activations!).toBeCloseTo((420 + 4096 + 200) / (420 + 8 + 200), 6);
    expect(generate(null, alone)).toEqual(
      planMemory({ ...use, work: { ...use.work, sampled: false } }).stages.generate,
    );
  });
});

describe("sampling from weights in pieces", () => {
  const use = kadidUse("32B", { strategy: "fsdp2", ranks: 16 });

  it("puts them together where that fits, and goes layer by layer where it does not", () => {
    expect(chooseGeneration(kadidUse("7B", { strategy: "fsdp2", ranks: 8 }), 80 * GIB)).toBe("gather");
    expect(chooseGeneration(use, 80 * GIB)).toBe("layerwise");
  });

  it("holds all weights at once in one case, embedding, head and a few layers in the other", () => {
    const gathered = planMemory(use).stages.generate["gathered weights"]!;
    const layerwise = planMemory({ ...use, generation: "layerwise" }).stages.generate["gathered weights"]!;
    const { total, embedding } = countParameters(use.architecture);
    // 2 bytes each; the embedding and what no product reads have 4.
    expect(gathered / (2 * total + 2 * embedding)).toBeCloseTo(1, 3);
    expect(layerwise / gathered).toBeLessThan(0.3);
    const { stages } = planMemory({ ...use, precision: "float32" });
    expect(stages.generate["gathered weights"]).toBe(4 * total);
  });

  it("is never asked where each rank has all of them", () => {
    for (const strategy of ["ddp", "zero2"] as const) {
      const whole = kadidUse("72B", { strategy, ranks: 8 });
      expect(chooseGeneration(whole, 24 * GIB)).toBe("gather");
      expect(planMemory({ ...whole, generation: "layerwise" })).toEqual(planMemory(whole));
    }
  });

  it("takes an embedding that is the head once in float32 and once as it is multiplied", () => {
    const tied = kadidUse("3B", { strategy: "fsdp2", ranks: 4 });
    const { total, embedding } = countParameters(tied.architecture);
    const { generate } = planMemory(tied).stages;
    expect(generate["gathered weights"]! / (2 * total + 4 * embedding)).toBeCloseTo(1, 3);
    expect(generate["cast weights"]).toBe(0);
  });
});
