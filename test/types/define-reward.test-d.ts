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
