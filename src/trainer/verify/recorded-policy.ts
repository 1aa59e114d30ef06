/**
 * The policy of a step that is executed again: it trains as it is, and its completions are those of the record.
 *
 * @module
 */
import type { Row } from "../../data/index.js";
import { RunError } from "../../errors.js";
import type { FinishReason, Policy, Prompt } from "../../policy/index.js";
import type { RecordedBatch } from "./verified.js";

/** What the policy is asked and answers, from rollout batch to rollout batch. */
export interface Asked {
  /** What is answered; null: completions are drawn again. */
  readonly records: RecordedBatch;
  /** [P] called with what the completions are asked for. */
  readonly onPrompts: (prompts: readonly Prompt<Row>[]) => void;
  /** Most tokens of a completion. */
  readonly longest: number;
}

/**
 * Texts are what the token ids of the record say, whatever its texts are, because ids are what the update was made from; and
 * why a completion ended follows from its ids as well.
 * Log-probabilities of sampling are not recorded: they are -Infinity, so that nothing can take them for some.
 *
 * @param asked looked at with every call
 */
export function watchedPolicy(policy: Policy<Row>, asked: () => Asked): Policy<Row> {
  const generate: Policy<Row>["generate"] = async (prompts, options) => {
    const { records, onPrompts, longest } = asked();
    if ((options.attempt ?? 0) === 0) onPrompts(prompts);
    if (records === null) return policy.generate(prompts, options);
    requireShape(records, prompts.length, options.samples);
    const ids = records.flat().map((record) => Int32Array.from(record.token_ids));
    const texts = await policy.decode(ids);
    let at = 0;
    return prompts.map((prompt, index) => ({
      prompt,
      completions: records[index]!.map(() => {
        const [tokenIds, text] = [ids[at]!, texts[at]!];
        at += 1;
        return {
          text,
          tokenIds,
          finishReason: finishOf(tokenIds, longest, policy.description.endTokenIds),
          logprobs: new Float32Array(tokenIds.length).fill(Number.NEGATIVE_INFINITY),
        };
      }),
    }));
  };
  return Object.assign(Object.create(policy) as Policy<Row>, { generate });
}

/** What is not the longest there may be has ended of itself. */
function finishOf(tokenIds: Int32Array, longest: number, ends: readonly number[]): FinishReason {
  return tokenIds.length < longest || ends.includes(tokenIds.at(-1)!) ? "stop" : "length";
}

function requireShape(records: NonNullable<RecordedBatch>, prompts: number, samples: number): void {
  const { step } = records[0]![0]!;
  const odd = records.find((group) => group.length !== samples);
  if (records.length === prompts && odd === undefined) return;
  const found = `${records.length} prompts with ${(odd ?? records[0]!).length} completions`;
  throw new RunError(
    "VERIFY_SHAPE",
    `the record of step ${step} holds ${found}, and the configuration asks for ${prompts} with ${samples}. One of them is not the run's: bring it back, or draw the completions again (--resample).`,
    { fields: { step } },
  );
}
