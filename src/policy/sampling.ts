/**
 * Sampling by all ranks side by side: prompts spread by length, completions back in the order of the prompts.
 *
 * @module
 */
import type { CallOptions, PlainMap } from "../bridge/index.js";
import { foldKey, mix64, seedStreams } from "../stats/index.js";
import type { PictureCarrier } from "./pictures.js";
import { planPrompts } from "./planner.js";
import { inOrder, padded, spread } from "./rank-planner.js";
import type { Ranks } from "./ranks.js";
import * as replies from "./replies.js";
import type { GenerateOptions, Policy, RolloutGroup } from "./types.js";
import { completionsOf, imageKeys, keyTensor, promptTensors, regroup } from "./wire.js";
import type { PolicySettings } from "./worker-policy.js";

/** What a sampler works with. */
export interface SamplerOptions {
  readonly ranks: Ranks;
  readonly carrier: PictureCarrier;
  readonly settings: PolicySettings;
  /** Whether the ranks train one model, so that all of them must make as many calls. */
  readonly together: boolean;
  /** Of the weights, now. */
  readonly version: () => number;
}

/** Length of a prompt, by which prompts are spread over ranks. */
export function promptTokens({ tokenIds }: { readonly tokenIds: Int32Array }): number {
  return tokenIds.length;
}

export function createSampler<R>(options: SamplerOptions): Policy<R>["generate"] {
  const { ranks, carrier, settings, together, version } = options;
  return async (prompts, asked) => {
    const { samples, step, attempt = 0, stream = "train", signal, onProgress } = asked;
    const longest = asked.maxCompletionLength ?? settings.maxCompletionLength;
    const shares = spread(prompts.map(promptTokens), ranks.count);
    const plans = shares.map((share) =>
      planPrompts(
        share.map((index) => prompts[index]!),
        samples,
        longest,
      ),
    );
    const calls = together ? Math.max(...plans.map(({ length }) => length)) : 0;
    const progress = createProgress(onProgress);
    const found = await ranks.each(signal, async (rank, rankOptions) => {
      const plan = plans[rank.number]!;
      if (ranks.count > 1) await carrier.bring(rank, plan.flat(), rankOptions);
      const groups: RolloutGroup<R>[] = [];
      for (const batch of padded(plan, Math.max(calls, plan.length), [])) {
        const keys = batch.map(({ source }) =>
          foldKey(mix64(BigInt(settings.seed)), seedStreams[stream], step, source.file, source.line),
        );
        const reply = await rank.call(
          "generate",
          {
            policy_version: version(),
            samples,
            attempt,
            images: batch.map((prompt) => imageKeys(prompt.images)),
            temperature: asked.temperature ?? settings.temperature,
            top_p: asked.topP ?? settings.topP,
            top_k: asked.topK ?? settings.topK,
            min_p: asked.minP ?? settings.minP,
            repetition_penalty: asked.repetitionPenalty ?? settings.repetitionPenalty,
            max_new_tokens: longest,
          },
          {
            tensors: { ...promptTensors(batch), keys: keyTensor(keys) },
            ...rankOptions,
            ...progress.of(rank.number, groups),
          },
        );
        replies.parseReply("generate", replies.generateReply, reply);
        groups.push(...regroup(batch, completionsOf(reply), samples));
      }
      return groups;
    });
    return inOrder(shares, found);
  };
}

/** Counts what every rank reports. */
interface SamplingProgress {
  /**
   * What a call is to be made with.
   *
   * @param groups those that the rank's earlier calls gave
   */
  of(rank: number, groups: readonly RolloutGroup<unknown>[]): Pick<CallOptions, "onProgress">;
}

/** @param onProgress gets sums over all ranks; without it nobody counts */
function createProgress(onProgress: GenerateOptions["onProgress"]): SamplingProgress {
  if (onProgress === undefined) return { of: () => ({}) };
  const ranks = new Map<number, { readonly tokens: number; readonly finished: number }>();
  return {
    of: (rank, groups) => ({
      onProgress(progress: PlainMap) {
        const done = groups.flatMap((group) => group.completions);
        const tokens = done.reduce((total, completion) => total + completion.tokenIds.length, 0);
        ranks.set(rank, {
          tokens: tokens + Number(progress["tokens"]),
          finished: done.length + Number(progress["finished"]),
        });
        const all = [...ranks.values()];
        onProgress({
          tokens: all.reduce((total, one) => total + one.tokens, 0),
          finished: all.reduce((total, one) => total + one.finished, 0),
        });
      },
    }),
  };
}
