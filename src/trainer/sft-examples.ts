/**
 * From a row with answers to what is learnt from it: one example for each answer, whose prompt is all that was said before.
 *
 * Training on every answer of a conversation at once, with weight 0 on what the user says, would give the same loss: an
 * answer sees what lies before it and nothing else. Examples of their own show pictures of later turns as well.
 *
 * @module
 */
import type { Message, Row } from "../data/index.js";
import { DataError } from "../errors.js";
import type { Policy, Prompt } from "../policy/index.js";
import type { AnsweredPrompt } from "./nll-batch.js";

/** A prompt of a row, and the one answer it should have. */
export interface SftExample extends AnsweredPrompt {
  readonly prompt: Prompt<Row>;
  /** [1] */
  readonly answers: readonly [Int32Array];
}

/** Options of `encodeExamples`. */
export interface EncodeExamplesOptions {
  /** Longest example in tokens, prompt and answer together. */
  readonly maxSeqLength: number | null;
  /** Pins the pictures for this step. */
  readonly step?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Rows as examples in token ids, in the order of rows and turns.
 *
 * @throws DataError DATA_EXAMPLE_TOO_LONG naming the row
 */
export async function encodeExamples(
  policy: Policy<Row>,
  rows: readonly Row[],
  { maxSeqLength, step, signal }: EncodeExamplesOptions,
): Promise<SftExample[]> {
  const turns = rows.flatMap(answeredTurns);
  const [prompts, targets] = await Promise.all([
    policy.encode(
      turns.map(({ asked }) => asked),
      { ...(step !== undefined && { step }), ...(signal && { signal }) },
    ),
    policy.tokenize(
      turns.map(({ answer }) => answer),
      { appendEos: true },
    ),
  ]);
  return prompts.map((prompt, index) => {
    const target = targets[index]!;
    requireFits(prompt, target, maxSeqLength);
    return { prompt, answers: [target] };
  });
}

interface AnsweredTurn {
  /** The row up to the answer. */
  readonly asked: Row;
  readonly answer: string;
}

function answeredTurns(row: Row): AnsweredTurn[] {
  return row.messages.flatMap(({ role, content }, turn) =>
    role === "assistant" ? [{ asked: upTo(row, turn), answer: textOf(content) }] : [],
  );
}

/** The row as it is asked for its last answer, which is left out. */
export function withoutLastAnswer(row: Row): Row {
  return upTo(row, row.messages.length - 1);
}

/** The last answer's text. */
export function lastAnswer(row: Row): string {
  return textOf(row.messages.at(-1)!.content);
}

/** The messages before `turn`, and the pictures that they show. */
function upTo(row: Row, turn: number): Row {
  const messages = row.messages.slice(0, turn);
  const shown = messages.reduce((total, { content }) => total + countPictures(content), 0);
  return { ...row, messages, images: row.images.slice(0, shown) };
}

function countPictures(content: Message["content"]): number {
  return typeof content === "string" ? 0 : content.filter(({ type }) => type === "image").length;
}

function textOf(content: Message["content"]): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : "")).join("");
}

function requireFits({ row, tokenIds }: Prompt<Row>, target: Int32Array, limit: number | null): void {
  const length = tokenIds.length + target.length;
  if (limit === null || length <= limit) return;
  const { file, line } = row.source;
  throw new DataError(
    "DATA_EXAMPLE_TOO_LONG",
    `row ${row.id}, line ${line} of data file ${file + 1}, has an example of ${tokenIds.length} prompt tokens and ` +
      `${target.length} answer tokens, ${length} in all; max_seq_length is ${limit}. Nothing is cut: raise max_seq_length, ` +
      "lower max_pixels, or leave the row out.",
    { fields: { row: row.id, file, line, length, maxSeqLength: limit } },
  );
}
