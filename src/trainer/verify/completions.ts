/**
 * Recorded completions beside those that come out when their step is executed again.
 *
 * @module
 */
import type { LogRecord } from "../../runs/index.js";
import type { Comparisons, Subject } from "./comparisons.js";
import { isClose } from "./comparisons.js";

const SUBJECT_OF: Readonly<Record<string, Subject>> = {
  row: "row",
  dataset: "row",
  source: "row",
  mos: "row",
  images: "picture",
  text: "completion",
  token_ids: "completion",
  tokens: "completion",
  finish: "completion",
  parse: "answer",
  score: "answer",
  reward: "reward",
  rewards: "reward",
  columns: "reward",
  pictures: "reward",
  kl_penalty: "advantage",
  advantage: "advantage",
};
/** The same for all completions of a prompt. */
const OF_PROMPT: readonly string[] = ["row", "dataset", "source", "mos", "images"];
/** Taken over from the record, so that it would only be compared with itself. */
const TAKEN_OVER = "token_ids";

/** How the step was executed again. */
export interface CompletionContext {
  readonly step: number;
  /** The completions were drawn again, and not taken from the record. */
  readonly resampled: boolean;
  /** Rewards whose recorded values were taken as they are. */
  readonly takenRewards: readonly string[];
  /** [P] paths of the pictures that each prompt shows now. */
  readonly pictures: readonly (readonly string[])[];
  /** For numbers that the model has a part in; null: to the bit. */
  readonly tolerance: number | null;
}

/** Compares every field of every line. Lines that only one side has are a difference each. */
export function compareCompletions(
  recorded: readonly LogRecord[],
  found: readonly LogRecord[],
  context: CompletionContext,
  comparisons: Comparisons,
): void {
  const seen = new Set<string>();
  for (let line = 0; line < Math.max(recorded.length, found.length); line += 1) {
    const [then, now] = [recorded[line], found[line]];
    if (then === undefined || now === undefined) {
      const what = `completion ${line + 1} of the step`;
      comparisons.compare({
        about: "completion",
        step: context.step,
        what,
        recorded: then ?? null,
        found: now ?? null,
      });
      continue;
    }
    for (const one of fieldsOf(then, now, context)) {
      // What a prompt shows is recorded with every completion of it, and is one thing all the same.
      const once = OF_PROMPT.includes(one.field) ? JSON.stringify([one.what, one.recorded, one.found]) : null;
      if (once !== null && seen.has(once)) continue;
      if (once !== null) seen.add(once);
      const { field: _, ...compared } = one;
      // Advantages follow from rewards alone, unless the KL was paid for in the reward.
      const near = compared.about === "advantage" && then["kl_penalty"] !== null ? context.tolerance : null;
      const same = near === null ? undefined : isClose(one.recorded, one.found, near);
      comparisons.compare({ step: context.step, ...compared }, same);
    }
  }
}

interface FieldPair {
  readonly field: string;
  readonly about: Subject;
  readonly what: string;
  readonly recorded: unknown;
  readonly found: unknown;
}

function fieldsOf(then: LogRecord, now: LogRecord, context: CompletionContext): FieldPair[] {
  const all = [...new Set([...Object.keys(then), ...Object.keys(now)])];
  const fields = all.filter((name) => context.resampled || name !== TAKEN_OVER);
  const prompt = Number(now["prompt"]);
  const row = `prompt ${prompt} (row ${String(now["row"])})`;
  const completion = `completion ${Number(now["sample"])} of ${row}`;
  return fields.flatMap((field): FieldPair[] => {
    const about = SUBJECT_OF[field] ?? "record";
    const pair = { field, about, recorded: then[field] ?? null, found: now[field] ?? null };
    switch (field) {
      case "images":
        return pictures(pair, row, context.pictures[prompt] ?? []);
      case "token_ids":
        return [firstToken(pair, completion)];
      case "text":
        return [
          { ...pair, what: `text of ${completion}${context.resampled ? "" : ", which its token ids do not say"}` },
        ];
      case "reward":
        return [{ ...pair, what: `total reward of ${completion}` }];
      case "rewards":
      case "columns":
      case "pictures":
        return byReward(pair, completion, context.takenRewards);
      default:
        return [{ ...pair, what: `${field} of ${OF_PROMPT.includes(field) ? row : completion}` }];
    }
  });
}

function pictures({ recorded, found, ...pair }: Omit<FieldPair, "what">, row: string, paths: readonly string[]) {
  const [then, now] = [recorded, found].map((keys) => (Array.isArray(keys) ? (keys as unknown[]) : []));
  return Array.from({ length: Math.max(then!.length, now!.length) }, (_, index) => ({
    ...pair,
    what: `picture ${paths[index] ?? index} of ${row}, by the hash of its pixels and the size that the model sees`,
    recorded: then![index] ?? null,
    found: now![index] ?? null,
  }));
}

function firstToken({ recorded, found, ...pair }: Omit<FieldPair, "what">, completion: string): FieldPair {
  const [then, now] = [recorded, found].map((ids) => (Array.isArray(ids) ? (ids as unknown[]) : []));
  const at = Array.from({ length: Math.max(then!.length, now!.length) }).findIndex((_, at) => then![at] !== now![at]);
  if (at === -1) return { ...pair, what: `token ids of ${completion}`, recorded, found };
  return { ...pair, what: `token ${at} of ${completion}`, recorded: then![at] ?? null, found: now![at] ?? null };
}

function byReward({ recorded, found, ...pair }: Omit<FieldPair, "what">, completion: string, taken: readonly string[]) {
  const [then, now] = [recorded ?? {}, found ?? {}] as Record<string, unknown>[];
  const names = [...new Set([...Object.keys(then!), ...Object.keys(now!)])].filter((name) => !taken.includes(name));
  const kind = pair.field === "rewards" ? "reward" : `${pair.field} of the reward`;
  return names.map((name) => ({
    ...pair,
    what: `${kind} "${name}" of ${completion}`,
    recorded: then![name] ?? null,
    found: now![name] ?? null,
  }));
}
