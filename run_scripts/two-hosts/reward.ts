/**
 * What every completion earns in try.sh: different from its siblings, because what earns the same trains nothing.
 *
 * @module
 */
import { defineReward } from "thurstone/rewards";

export const mixed = defineReward({
  name: "mixed",
  score: ({ completion }) => Array.from(completion.tokenIds).reduce((total, id) => total + id, 0) % 7,
});
