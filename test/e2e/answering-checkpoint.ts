/**
 * A checkpoint that answers from a known distribution, whatever it is shown: each token depends on the one before alone,
 * unless it is given an influence of everything else.
 *
 * Behind an answer tag come the digits 1 to 5, behind those the point, behind the point one of 0, 6, 7, 8 and 9, and behind
 * one of those any digit. So the one real model class computes probabilities that can be written down.
 *
 * @module
 */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readTensors, writeTensors } from "./safetensors.js";

export interface AnswerDistribution {
  /** Weights of the digits 1 to 5 in front of the point. */
  readonly ones: readonly number[];
  /** Weights of the tenths 0, 6, 7, 8 and 9. */
  readonly tenths: readonly number[];
  /** Weights of the hundredths 0 to 9 behind each of those tenths. */
  readonly hundredths: readonly (readonly number[])[];
  /** Probability of the closing tag behind the tenths. Default 0. */
  readonly closing?: number;
  /** Open an answer behind every token that none of the above stands behind: then it answers without being forced. */
  readonly opening?: boolean;
  /** Share of the random layers that is kept, so that what it is shown moves the distribution. Default 0. */
  readonly influence?: number;
}

/** The tenths that such a checkpoint knows; the other digits are followed by the point. */
export const TENTHS = [0, 6, 7, 8, 9] as const;

/** Logit of a token with probability 1; all others have 0, so that 512 of them are next to impossible. */
const CERTAIN = 24;

/** Writes the checkpoint `out` with the files of `model`. */
export function makeAnsweringCheckpoint(model: string, out: string, answers: AnswerDistribution): void {
  cpSync(model, out, { recursive: true });
  const tensors = readTensors(join(out, "model.safetensors"));
  const embedding = tensors.get("model.embed_tokens.weight")!;
  const width = embedding.shape[1]!;

  // Nothing but the embedding of the last token reaches the head, as a one-hot vector that the norm makes sqrt(width) long.
  for (const [name, { data }] of tensors)
    if (/layers\.\d+\.(self_attn\.o_proj|mlp\.down_proj)/.test(name)) scale(data, answers.influence ?? 0);
  const columns = ["<answer>", ".", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
  const ids = tokenIds(join(out, "tokenizer.json"), [...columns, "</answer>"]);
  /** Null: all tokens without a column of their own. */
  const column = (token: string | null): number => (token === null ? columns.length : columns.indexOf(token));
  embedding.data.fill(0);
  for (let id = 0; id < embedding.shape[0]!; id += 1) {
    const own = columns.find((token) => ids.get(token) === id);
    embedding.data[id * width + (own === undefined ? columns.length : column(own))] = 1;
  }

  const head = new Float32Array(embedding.data.length);
  const follow = (before: string | null, tokens: readonly string[], weights: readonly number[]): void => {
    const total = sum(weights);
    for (const [index, token] of tokens.entries()) {
      const logit = CERTAIN + Math.log(weights[index]! / total);
      head[ids.get(token)! * width + column(before)] = logit / Math.sqrt(width);
    }
  };
  follow("<answer>", ["1", "2", "3", "4", "5"], answers.ones);
  for (const digit of ["1", "2", "3", "4", "5"]) follow(digit, ["."], [1]);
  follow(".", TENTHS.map(String), answers.tenths);
  for (const [index, digit] of TENTHS.entries()) {
    const closing = answers.closing ?? 0;
    const open = answers.hundredths[index]!.map((weight, _, all) => ((1 - closing) * weight) / sum(all));
    const [next, weights] = [columns.slice(2), open];
    follow(String(digit), closing > 0 ? [...next, "</answer>"] : next, closing > 0 ? [...weights, closing] : weights);
  }
  if (answers.opening === true) follow(null, ["<answer>"], [1]);
  tensors.set("lm_head.weight", { ...embedding, data: head });

  writeTensors(join(out, "model.safetensors"), tensors);
  const config = join(out, "config.json");
  const untied = readFileSync(config, "utf8").replaceAll('"tie_word_embeddings": true', '"tie_word_embeddings": false');
  writeFileSync(config, untied);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function scale(data: Float32Array, factor: number): void {
  for (let index = 0; index < data.length; index += 1) data[index] = data[index]! * factor;
}

function tokenIds(path: string, tokens: readonly string[]): Map<string, number> {
  const file = JSON.parse(readFileSync(path, "utf8")) as {
    model: { vocab: Record<string, number> };
    added_tokens: { content: string; id: number }[];
  };
  const added = Object.fromEntries(file.added_tokens.map(({ content, id }) => [content, id]));
  return new Map(tokens.map((token) => [token, added[token] ?? file.model.vocab[token]!]));
}
