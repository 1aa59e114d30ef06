import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";
import type { RolloutGroup } from "../../src/policy/types.js";
import { combineRewards, defineReward, scoreRewards, type Reward, type RewardSet } from "../../src/rewards/index.js";

describe("defineReward", () => {
  it("infers the row of all three scopes from the schema", () => {
    const row = z.object({ mos: z.number(), camera: z.string().optional() });
    type Row = { mos: number; camera?: string | undefined };
    const single = defineReward({
      name: "single",
      row,
      score: (context) => {
        expectTypeOf(context.row).toEqualTypeOf<Row>();
        expectTypeOf(context.completion.text).toBeString();
        expectTypeOf(context.completion.tokenIds.length).toBeNumber();
        return context.row.mos;
      },
    });
    defineReward({
      name: "group",
      row,
      scoreGroup: ({ row: given, completions }) => {
        expectTypeOf(given).toEqualTypeOf<Row>();
        return completions.map(() => given.mos);
      },
    });
    defineReward({
      name: "batch",
      row,
      scoreBatch: async ({ groups, signal }) => {
        expectTypeOf(groups[0]!.row).toEqualTypeOf<Row>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        return groups.map(({ completions }) => completions.map(() => null));
      },
    });
    expectTypeOf(single).toEqualTypeOf<Reward<Row>>();
  });

  it("takes the schema's output, after its transforms", () => {
    defineReward({
      name: "parsed",
      row: z.object({ taken: z.string().transform((text) => new Date(text)) }),
      score: ({ row }) => {
        expectTypeOf(row.taken).toEqualTypeOf<Date>();
        return row.taken.getTime();
      },
    });
  });

  it("gives a record of unknown fields where there is no schema", () => {
    defineReward({
      name: "bare",
      score: ({ row }) => {
        expectTypeOf(row).toEqualTypeOf<Readonly<Record<string, unknown>>>();
        return 1;
      },
    });
  });

  it("refuses fields the schema does not have", () => {
    defineReward({
      name: "typo",
      row: z.object({ mos: z.number() }),
      // @ts-expect-error the row has no field "mso"
      score: ({ row }) => row.mso,
    });
  });

  it("refuses no scope, two scopes and results that are no numbers", () => {
    // @ts-expect-error no scope
    defineReward({ name: "none" });
    // @ts-expect-error two scopes
    defineReward({ name: "two", score: () => 1, scoreGroup: () => [1] });
    // @ts-expect-error a text
    defineReward({ name: "text", score: () => "1" });
    // @ts-expect-error one number for a group
    defineReward({ name: "flat", scoreGroup: () => 1 });
  });
});

describe("verdicts and limits", () => {
  it("lets every scope give a value, or a value with what is to be recorded", () => {
    const image = { data: new Uint8Array(3), width: 1, height: 1 };
    defineReward({ name: "one", score: () => ({ value: 1, columns: { why: "x", votes: 3, sure: true, none: null } }) });
    defineReward({ name: "group", scoreGroup: async () => [1, null, { value: null, images: { image } }] });
    defineReward({ name: "batch", scoreBatch: () => [[{ value: 1 }, 2]] });
    // @ts-expect-error no value
    defineReward({ name: "empty", score: () => ({ columns: { why: "x" } }) });
    // @ts-expect-error a list is no cell
    defineReward({ name: "list", score: () => ({ value: 1, columns: { why: [1] } }) });
  });

  it("keeps the type of the row beside the limits of calls", () => {
    const reward = defineReward({
      name: "limited",
      row: z.object({ mos: z.number() }),
      concurrency: 4,
      timeoutMs: null,
      retries: 2,
      retryOn: (error) => error === null,
      score: async ({ row, signal }) => {
        expectTypeOf(row).toEqualTypeOf<{ mos: number }>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        return row.mos;
      },
    });
    expectTypeOf(reward).toEqualTypeOf<Reward<{ mos: number }>>();
    // @ts-expect-error milliseconds, no text
    defineReward({ name: "late", timeoutMs: "5s", score: () => 1 });
  });
});

describe("combining and scoring", () => {
  it("takes rewards of any row, in a record or a list", () => {
    const brief = defineReward({ name: "brief", row: z.object({ mos: z.number() }), score: () => 1 });
    expectTypeOf(combineRewards({ fidelity: 1, brief: { reward: brief, weight: 0.2 } })).toEqualTypeOf<RewardSet>();
    expectTypeOf(combineRewards(["format", brief, { reward: brief }])).toEqualTypeOf<RewardSet>();
  });

  it("takes the rollout groups of a policy as they are", () => {
    expectTypeOf<RolloutGroup>().toExtend<Parameters<typeof scoreRewards>[0][number]>();
  });
});
