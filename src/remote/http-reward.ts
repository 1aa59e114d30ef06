/**
 * A reward that another server computes: completions go there as JSON, numbers come back.
 *
 * Request: `{ reward, step, groups: [{ row, completions: [{ text, tokens, finish }] }] }`, `step` null outside of a run.
 * Answer: `{ values: [[...], ...] }`, in each list one entry for each completion of that group: a number, null where it
 * cannot be judged, or `{ value, columns }` with what is to be recorded.
 *
 * @module
 */
import { z } from "zod";
import { ConfigError, RewardError } from "../errors.js";
import { defineReward, type Reward, type RewardCalls, type RewardResult } from "../rewards/index.js";
import type { RewardCompletion, ScoreBatchContext } from "../rewards/index.js";
import { readHeaders, readUrl, type HeaderSource } from "./headers.js";
import { isTransient, postJson, type PostJsonOptions } from "./post-json.js";

export interface HttpRewardOptions<Schema extends z.ZodType>
  extends Omit<RewardCalls, "retryOn">, Pick<PostJsonOptions, "maxRequestBytes" | "maxResponseBytes"> {
  readonly name: string;
  /** An http or https address without a password in it. */
  readonly url: string | URL;
  readonly headers?: Readonly<Record<string, HeaderSource>>;
  /**
   * Picks the fields of the row that are sent; the others stay here. Default: `id` and `dataset`.
   * Paths of pictures are paths of this machine, and the pictures themselves are not sent.
   */
  readonly row?: Schema;
  /** One request for the whole step, or one for each prompt, `concurrency` of them at a time. Default "step". */
  readonly send?: "step" | "prompt";
  /** Prompts a step must hold for this reward to be worth anything. Default 1. */
  readonly minimumPrompts?: number;
  /** Milliseconds that each try may take. Default 60000; at most 300000, when `fetch` gives up by itself. */
  readonly timeoutMs?: number;
  /** Further tries when there is no connection, no answer in time, or a status of 5xx; never for 4xx. Default 2. */
  readonly retries?: number;
  /** Requests under way at the same time. Default 8. */
  readonly concurrency?: number;
}

const known = z.object({ id: z.union([z.string(), z.number()]).optional(), dataset: z.string().optional() });

const entry = z.union([
  z.number().nullable(),
  z.strictObject({
    value: z.number().nullable(),
    columns: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  }),
]);
const answer = z.object({ values: z.array(z.array(entry)) });

const MINUTE = 60_000;
/** Node's `fetch` waits no longer than this for the first byte of an answer. */
const LONGEST = 5 * MINUTE;

/**
 * @throws ConfigError CONFIG_REWARD_URL, CONFIG_REWARD_HEADER, CONFIG_REWARD_NAME, CONFIG_REWARD_CALLS
 *
 * @example
 * httpReward({
 *   name: "aesthetics",
 *   url: "http://127.0.0.1:8000/score",
 *   headers: { authorization: { env: "SCORER_TOKEN", prefix: "Bearer " } },
 *   row: z.object({ mos: z.number() }),
 * });
 */
export function httpReward<Schema extends z.ZodType = typeof known>(options: HttpRewardOptions<Schema>): Reward {
  const { name, send = "step", row = known as z.ZodType, minimumPrompts = 1 } = options;
  const { timeoutMs = MINUTE, retries = 2, concurrency = 8, backoffMs = 1000 } = options;
  const { maxRequestBytes, maxResponseBytes } = options;
  const url = readUrl(name, options.url);
  const headers = readHeaders(options.headers ?? {});
  const calls = { timeoutMs: limited(name, timeoutMs), retries, concurrency, backoffMs, retryOn: isTransient };

  async function ask({ groups, step, signal }: ScoreBatchContext<unknown>): Promise<RewardResult[][]> {
    const body = {
      reward: name,
      step: step ?? null,
      groups: groups.map(({ row: sent, completions }) => ({ row: sent, completions: completions.map(toSend) })),
    };
    const limits = {
      ...(maxRequestBytes !== undefined && { maxRequestBytes }),
      ...(maxResponseBytes !== undefined && { maxResponseBytes }),
    };
    return readAnswer(await postJson({ url, headers, body, signal, ...limits }), url, groups.length);
  }

  if (send === "step") return defineReward({ name, row, minimumPrompts, ...calls, scoreBatch: ask });
  return defineReward({
    name,
    row,
    minimumPrompts,
    ...calls,
    scoreGroup: async ({ row: sent, completions, ...circumstances }) =>
      (await ask({ ...circumstances, groups: [{ row: sent, completions }] }))[0]!,
  });
}

function toSend({ text, tokenIds, finishReason }: RewardCompletion) {
  return { text, tokens: tokenIds.length, finish: finishReason };
}

function readAnswer(given: unknown, url: URL, groups: number): RewardResult[][] {
  const parsed = answer.safeParse(given);
  const [issue] = parsed.error?.issues ?? [];
  const problem =
    issue === undefined
      ? `with values for ${parsed.data!.values.length} prompts, and was asked about ${groups}`
      : `in another form than { values: [[number or null, ...], ...] }: ${issue.path.join(".") || "the whole"}: ${issue.message}`;
  if (parsed.success && parsed.data.values.length === groups) {
    return parsed.data.values.map((values) =>
      values.map((one) => (typeof one === "number" || one === null ? one : verdict(one))),
    );
  }
  throw new RewardError("REWARD_HTTP_RESPONSE", `${url.origin}${url.pathname} answered ${problem}.`, {
    fields: { url: `${url.origin}${url.pathname}` },
  });
}

function verdict({ value, columns }: Exclude<z.output<typeof entry>, number | null>): RewardResult {
  return { value, ...(columns !== undefined && { columns }) };
}

function limited(reward: string, timeoutMs: number): number {
  if (!(timeoutMs > LONGEST)) return timeoutMs;
  throw new ConfigError(
    "CONFIG_REWARD_CALLS",
    `timeoutMs of the reward "${reward}" is ${timeoutMs}; a request waits for at most ${LONGEST}. Let the server answer sooner, send: "prompt" for example.`,
    { fields: { reward, timeoutMs } },
  );
}
