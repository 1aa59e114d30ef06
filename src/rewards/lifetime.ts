/**
 * Rewards that hold something, such as a process: opened before a run, closed when it ends.
 *
 * @module
 */

import type { RewardSet } from "./combine.js";
import { thrown } from "./failure.js";

/**
 * Opens what needs it, so that what cannot work is known before a model is loaded.
 *
 * @throws RewardError that names the reward; those that were opened are closed again
 */
export async function openRewards(rewards: RewardSet, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
  const { signal = new AbortController().signal } = options;
  const opening = rewards.map(async ({ name, reward }) => {
    try {
      await reward.open?.({ signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw thrown(cause, { reward: name });
    }
  });
  const failed = (await Promise.allSettled(opening)).find(({ status }) => status === "rejected");
  if (failed === undefined) return;
  await closeRewards(rewards);
  throw (failed as PromiseRejectedResult).reason;
}

/** Ends whatever the rewards hold. They may be used again: then they open anew. */
export async function closeRewards(rewards: RewardSet): Promise<void> {
  await Promise.all(rewards.map(async ({ reward }) => reward.close?.()));
}
