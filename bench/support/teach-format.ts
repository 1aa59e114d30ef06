/**
 * Teaches a checkpoint with random weights the layout of an answer, by supervised steps on made-up answers.
 *
 * A model with random weights never writes a parsable answer, so reinforcement learning has nothing to choose from. The
 * scores in these answers are drawn uniformly and have nothing to do with the pictures: what is taught is the layout.
 *
 * @module
 */
import type { Policy, Prompt } from "../../src/policy/index.js";
import { formatReward } from "../../src/rewards/index.js";
import { foldKey, mean, seedStreams, uniform } from "../../src/stats/index.js";
import { toNllBatch } from "../../src/trainer/nll-batch.js";
import type { AnsweredPrompt } from "../../src/trainer/nll-batch.js";

/** Options of `teachFormat`. */
export interface TeachFormatOptions {
  /** Stop once this share of sampled answers has the right layout. Default 0.5. */
  readonly targetRate?: number;
  /** Most steps to take. Default 400. */
  readonly maxSteps?: number;
  /** Default 1e-3. */
  readonly learningRate?: number;
  /** Prompts per step, and made-up answers for each. Defaults 8 and 6. */
  readonly prompts?: number;
  readonly answers?: number;
  /** Steps between two looks at the rate. Default 5. */
  readonly checkEvery?: number;
  readonly seed: number;
  readonly onCheck?: (progress: { readonly step: number; readonly rate: number; readonly loss: number }) => void;
}

/** How far the teaching got. */
export interface TeachFormatResult {
  readonly steps: number;
  /** Share of sampled answers with the right layout at the end. */
  readonly rate: number;
}

const REMARKS = ["fine", "sharp and clear", "a little noisy", "soft", "dull colours", "hard to make out"] as const;
/** Prompts sampled for a look at the rate, and answers for each. */
const LOOK = { prompts: 24, samples: 4 } as const;

/** Trains `policy` until the sampled format rate reaches the target; greedy answers may get there earlier or later. */
export async function teachFormat<R>(
  policy: Policy<R>,
  prompts: readonly Prompt<R>[],
  options: TeachFormatOptions,
): Promise<TeachFormatResult> {
  const { targetRate = 0.5, maxSteps = 400, learningRate = 1e-3, checkEvery = 5, seed } = options;
  let rate = 0;
  for (let step = 1; step <= maxSteps; step += 1) {
    const chosen = pick(prompts, options.prompts ?? 8, foldKey(seed, seedStreams.warmup, step));
    const lesson = await madeUpAnswers(policy, chosen, { answers: options.answers ?? 6, seed, step });
    const losses = await policy.forwardBackward(toNllBatch(lesson), { surrogate: "nll" });
    await policy.optimStep({ step: policy.version + 1, learningRate });
    if (step % checkEvery !== 0) continue;

    const look = pick(prompts, LOOK.prompts, foldKey(seed, seedStreams.warmup, step, 1));
    const groups = await policy.generate(look, { samples: LOOK.samples, step, stream: "warmup" });
    rate = mean(groups.flatMap((group) => group.completions.map(({ text }) => formatReward(text)))) ?? 0;
    options.onCheck?.({ step, rate, loss: losses.loss });
    if (rate >= targetRate) return { steps: step, rate };
  }
  return { steps: maxSteps, rate };
}

function pick<T>(items: readonly T[], count: number, key: bigint): T[] {
  return Array.from({ length: Math.min(count, items.length) }, (_, index) => {
    return items[Math.floor(uniform(foldKey(key, index)) * items.length)]!;
  });
}

/** Several answers for one prompt cost little more than one: the prompt and its picture are worked off together. */
async function madeUpAnswers<R>(
  policy: Policy<R>,
  prompts: readonly Prompt<R>[],
  { answers, seed, step }: { readonly answers: number; readonly seed: number; readonly step: number },
): Promise<AnsweredPrompt[]> {
  const texts = Array.from({ length: prompts.length * answers }, (_, index) => {
    const key = foldKey(seed, seedStreams.warmup, step, 2, index);
    const remark = REMARKS[Math.floor(uniform(key) * REMARKS.length)]!;
    return `<think>${remark}</think><answer>${(1 + 4 * uniform(foldKey(key, 1))).toFixed(2)}</answer>`;
  });
  const targets = await policy.tokenize(texts, { appendEos: true });
  return prompts.map((prompt, index) => ({ prompt, answers: targets.slice(index * answers, (index + 1) * answers) }));
}
