/**
 * Completions as they are written to the run folder and shown to the person who watches.
 *
 * @module
 */
import type { Row } from "../data/index.js";
import type { RolloutGroup } from "../policy/index.js";
import { parseScore } from "../rewards/index.js";
import type { ScoredRewards } from "../rewards/index.js";
import type { Sample } from "./events.js";
import { stepAttachments } from "./rollout-attachments.js";
import type { StepAttachments } from "./rollout-attachments.js";

/** One record per completion: scalars for all, full text for all, and what rewards attached. */
export function rolloutRecords(
  groups: readonly RolloutGroup<Row>[],
  scored: ScoredRewards,
  referenceParity = false,
  attached: StepAttachments = stepAttachments(scored),
): Record<string, unknown>[] {
  return groups.flatMap((group, prompt) =>
    group.completions.map((completion, sample) => {
      const { status, score } = parseScore(completion.text, { referenceParity });
      const rewards = Object.entries(scored.breakdown).map(
        ([name, values]) => [name, values[prompt]![sample]!] as const,
      );
      const { row } = group.prompt;
      return {
        row: row.id,
        dataset: row.dataset,
        images: group.prompt.images.map((image) => image.key),
        mos: row.mos ?? null,
        prompt,
        sample,
        text: completion.text,
        tokens: completion.tokenIds.length,
        finish: completion.finishReason,
        parse: status,
        score,
        reward: scored.totals[prompt]![sample]!,
        rewards: Object.fromEntries(rewards),
        ...attached.fieldsOf(prompt, sample),
      };
    }),
  );
}

/** The completion whose reward lies in the middle: neither the best nor the worst face of the model. */
export function sampleOf(
  groups: readonly RolloutGroup<Row>[],
  scored: ScoredRewards,
  attached: StepAttachments = stepAttachments(scored),
): Sample | null {
  const all = groups.flatMap((group, prompt) =>
    group.completions.map((completion, sample) => ({
      row: group.prompt.row.id,
      text: completion.text,
      reward: scored.totals[prompt]![sample]!,
      mos: group.prompt.row.mos ?? null,
      ...attached.fieldsOf(prompt, sample),
    })),
  );
  const ordered = all.sort((a, b) => (a.reward ?? 0) - (b.reward ?? 0));
  return ordered[Math.floor(ordered.length / 2)] ?? null;
}
