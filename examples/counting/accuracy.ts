/**
 * How often a checkpoint counts right.
 *
 * @module
 */
import { loadRows, openPolicy } from "thurstone";
import type { ConfigInput, OpenPolicyOptions } from "thurstone";
import { TAUGHT, WORDS } from "./pictures.js";
import { isRight } from "./reward.js";

export interface Accuracy {
  /** Share of pictures whose greedy answer is right. */
  readonly greedy: number;
  /** Share of answers drawn at temperature 1 that are right: what the reward sees. */
  readonly sampled: number;
  /** The share `greedy` among pictures with at most three shapes, which examples taught, and with more. */
  readonly few: number;
  readonly many: number;
}

const SAMPLES = 4;
const FEW: readonly string[] = WORDS.slice(0, TAUGHT);

/** @param config names the checkpoint and the data file */
export async function accuracyOf(config: ConfigInput, options: OpenPolicyOptions = {}): Promise<Accuracy> {
  await using policy = await openPolicy({ ...config, beta: 0 }, { ...options, inference: true });
  const rows = await loadRows(config);
  const prompts = await policy.encode(rows);
  const judge = async (samples: number, temperature: number): Promise<{ answer: string; right: boolean }[]> => {
    const groups = await policy.generate(prompts, { samples, temperature, step: 1, stream: "eval" });
    return groups.flatMap(({ prompt, completions }) => {
      const answer = String(prompt.row.extra["answer"]);
      return completions.map(({ text }) => ({ answer, right: isRight(text, answer) }));
    });
  };
  const share = (judged: readonly { right: boolean }[]): number =>
    judged.filter(({ right }) => right).length / judged.length;
  const greedy = await judge(1, 0);
  const isFew = ({ answer }: { answer: string }): boolean => FEW.includes(answer);
  return {
    greedy: share(greedy),
    few: share(greedy.filter(isFew)),
    many: share(greedy.filter((one) => !isFew(one))),
    sampled: share(await judge(SAMPLES, 1)),
  };
}
