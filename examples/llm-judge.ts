/**
 * A language model as judge, behind any endpoint that speaks OpenAI's chat completions (vLLM, SGLang, llama.cpp, hosted ones).
 *
 *   JUDGE_URL=http://127.0.0.1:8000/v1 JUDGE_MODEL=Qwen/Qwen3-8B npx thurstone train --rewards examples/llm-judge.ts ...
 *
 * It reads the reasoning only, not the picture: it pays for reasoning that names what it saw and leads to its score. What the
 * judge says of each completion is recorded in the rollouts of the run.
 *
 * @module
 */
import { isTransient, postJson, readHeaders } from "thurstone";
import { defineReward, type Reward } from "thurstone/rewards";
import { z } from "zod";

const INSTRUCTION =
  "You judge how someone explained a rating of a photograph's quality from 1 to 5. Good reasoning names concrete things " +
  "it saw (blur, noise, light, colour) and leads to the rating it ends with. " +
  'Answer with JSON only: {"reason": "one sentence", "score": a whole number from 0 (worthless) to 10 (excellent)}.';

const reply = z.object({ choices: z.array(z.object({ message: z.object({ content: z.string() }) })).min(1) });
const verdict = z.object({ reason: z.string(), score: z.number().min(0).max(10) });

export interface JudgeOptions {
  /** Of the interface, without "/chat/completions". */
  readonly url: string;
  readonly model: string;
  /** Name of the environment variable that holds a key. Default: none is sent. */
  readonly keyVariable?: string;
}

/** From 0 to 1; null where the judge's answer cannot be read, which leaves the completion to the other rewards. */
export function createJudge({ url, model, keyVariable }: JudgeOptions): Reward {
  const address = new URL(`${url.replace(/\/$/, "")}/chat/completions`);
  const headers =
    keyVariable === undefined ? {} : readHeaders({ authorization: { env: keyVariable, prefix: "Bearer " } });
  return defineReward({
    name: "judge",
    concurrency: 16,
    timeoutMs: 60_000,
    retries: 3,
    retryOn: isTransient,
    async score({ completion, signal }) {
      const body = {
        model,
        temperature: 0,
        response_format: { type: "json_object" },
        messages: [
          { role: "system", content: INSTRUCTION },
          { role: "user", content: completion.text },
        ],
      };
      const { choices } = reply.parse(await postJson({ url: address, headers, body, signal }));
      const judged = verdict.safeParse(parsed(choices[0]!.message.content));
      if (!judged.success) return { value: null, columns: { reason: "the judge's answer could not be read" } };
      return { value: judged.data.score / 10, columns: { reason: judged.data.reason } };
    },
  });
}

/** The JSON in a text that may stand in a code block; undefined where there is none. */
function parsed(text: string): unknown {
  const json = /\{[^]*\}/.exec(text)?.[0] ?? "";
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

export const judge = createJudge({
  url: process.env["JUDGE_URL"] ?? "http://127.0.0.1:8000/v1",
  model: process.env["JUDGE_MODEL"] ?? "Qwen/Qwen3-8B",
  ...(process.env["JUDGE_API_KEY"] !== undefined && { keyVariable: "JUDGE_API_KEY" }),
});
