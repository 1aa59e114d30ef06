/**
 * Rows with labels as rows with answers, <think>KIND OF DISTORTION</think><answer>D.DD</answer>: what supervised training
 * of a tiny checkpoint is given.
 *
 * @module
 */
import { distortions } from "../../src/data/distortions/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";

/** How the scores of the answers come about. */
export interface AnswerOptions {
  /** The label, or a number drawn uniformly from 1 to 5 that has nothing to do with the picture. */
  readonly scores: "true" | "uniform";
  /** Deviation of the noise on true scores, so that the last digit is not learnt by heart. Default 0.15. */
  readonly jitter?: number;
  readonly seed: number;
}

export const DEFAULT_JITTER = 0.15;

interface LabelledLine {
  readonly id: string;
  readonly type: string;
  readonly conversations: readonly [{ readonly from: string; readonly value: string }, { readonly value: number }];
}

/**
 * @param lines of a JSONL file with KADID's number of the distortion in each row (`type`)
 * @returns the same rows with answers in the place of labels; the kind is always the true one
 * @throws Error for a row without a known type
 */
export function answerLines(lines: readonly string[], options: AnswerOptions): string[] {
  const { scores, jitter = DEFAULT_JITTER, seed } = options;
  return lines.map((line, index) => {
    const row = JSON.parse(line) as LabelledLine;
    const [question, { value: mos }] = row.conversations;
    const kind = distortions.find(({ type }) => type === row.type);
    if (kind === undefined) throw new Error(`row ${row.id}: type "${row.type}" is no distortion of KADID-10k.`);
    const draw = (purpose: number): number => uniform(foldKey(seed, index, purpose));
    const noise = jitter * Math.sqrt(-2 * Math.log(1 - draw(0))) * Math.cos(2 * Math.PI * draw(1));
    const score = scores === "uniform" ? 1 + 4 * draw(2) : Math.min(5, Math.max(1, mos + noise));
    const answer = `<think>${kind.name}</think><answer>${score.toFixed(2)}</answer>`;
    return `${JSON.stringify({ ...row, conversations: [question, { from: "gpt", value: answer }] })}\n`;
  });
}
