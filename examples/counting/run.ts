/**
 * Teaches a tiny model to count shapes: a little by example, the rest by reward.
 *
 *   npx tsx examples/counting/run.ts [--seed 0] [--out output/counting]
 *     [--start assets/zero]              checkpoint to begin with
 *     [--taught 150] [--rewarded 150]    steps by example and by reward
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { countingRecipe } from "./recipe.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "0" },
    out: { type: "string", default: "output/counting" },
    start: { type: "string", default: "assets/zero" },
    taught: { type: "string", default: "150" },
    rewarded: { type: "string", default: "150" },
  },
});
const seed = Number(values.seed);
const { before, after } = await countingRecipe({
  start: values.start,
  out: join(values.out, `seed-${seed}`),
  seed,
  pictures: { taught: 2000, rewarded: 4000, test: 600 },
  steps: { taught: Number(values.taught), rewarded: Number(values.rewarded) },
  log: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${JSON.stringify({ seed, before, after })}\n`);
