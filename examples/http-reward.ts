/**
 * A reward that your own server computes: completions go there as JSON, numbers come back.
 *
 *   SCORER_URL=http://127.0.0.1:8000/score npx thurstone train --rewards examples/http-reward.ts ...
 *
 * The server gets `{ reward, step, groups: [{ row, completions: [{ text, tokens, finish }] }] }` and answers
 * `{ values: [[0.5, 1, null, ...], ...] }`, one list for each group.
 *
 * @module
 */
import { httpReward, type Reward } from "thurstone";
import { z } from "zod";

/** The reward of the server at `url`. Of a row, the question's id and the opinion score are sent, and nothing else. */
export function serverReward(url: string): Reward {
  return httpReward({
    name: "server",
    url,
    // A secret would come from the environment: headers: { authorization: { env: "SCORER_TOKEN", prefix: "Bearer " } }
    row: z.object({ id: z.string(), mos: z.number() }),
    timeoutMs: 30_000,
    retries: 3,
  });
}

export const server = serverReward(process.env["SCORER_URL"] ?? "http://127.0.0.1:8000/score");
