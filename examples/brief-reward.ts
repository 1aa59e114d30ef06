/**
 * An own reward: short answers, with a little more room for good pictures. Used by configs/custom_reward.yaml.
 *
 * @module
 */
import { defineReward } from "thurstone/rewards";
import { z } from "zod";

/** 1 while the answer stays within 40 tokens plus 8 per point of the picture's score, else 0. */
export const brief = defineReward({
  name: "brief",
  row: z.object({ mos: z.number() }),
  score: ({ completion, row }) => (completion.tokenIds.length < 40 + 8 * row.mos ? 1 : 0),
});
