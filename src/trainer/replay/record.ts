/**
 * What a rollout record holds so that its completions can be scored again without a worker.
 *
 * @module
 */
import { z } from "zod";
import { RunError } from "../../errors.js";
import type { RolloutGroup } from "../../policy/index.js";
import type { Row } from "../../data/index.js";
import type { FidelityWarmup } from "../../rewards/index.js";
import type { LogRecord } from "../../runs/index.js";
import type { ValuedRollout } from "../grpo.js";
import { isWarmingUp } from "../warm-up.js";

/** Goes up when older records can no longer be read. Records without one are of 0.1.0. */
const VERSION = 2;

const VALUE = z.number().nullable();

const recordSchema = z.object({
  version: z.literal(VERSION),
  step: z.int().min(1),
  rollout: z.int().min(1),
  completions: z.int().min(1),
  fidelity_warmup: z.boolean().nullable(),
  row: z.string(),
  dataset: z.string(),
  source: z.object({ file: z.int().min(0), line: z.int().min(1) }),
  mos: VALUE,
  prompt: z.int().min(0),
  sample: z.int().min(0),
  text: z.string(),
  token_ids: z.array(z.int()),
  finish: z.enum(["stop", "length", "aborted"]),
  reward: VALUE,
  rewards: z.record(z.string(), VALUE),
  kl_penalty: VALUE,
  advantage: z.number(),
});

/** A recorded completion. */
export type RolloutRecord = z.output<typeof recordSchema>;

/** [P * G] the fields that only a replay reads, completion by completion. */
export function replayFields(
  groups: readonly RolloutGroup<Row>[],
  { rollout, groups: kept, advantages, penalties }: ValuedRollout,
  warmup: FidelityWarmup | null,
): Pick<
  RolloutRecord,
  "version" | "rollout" | "completions" | "fidelity_warmup" | "source" | "token_ids" | "kl_penalty" | "advantage"
>[] {
  const completions = groups.reduce((total, group) => total + group.completions.length, 0);
  return groups.flatMap((group) => {
    // A prompt that was left out is worth nothing.
    const prompt = kept.indexOf(group);
    return group.completions.map(({ tokenIds }, sample) => ({
      version: VERSION,
      rollout,
      completions,
      fidelity_warmup: warmup === null ? null : isWarmingUp(warmup),
      source: group.prompt.source,
      token_ids: Array.from(tokenIds),
      kl_penalty: penalties?.[prompt]?.[sample] ?? null,
      advantage: advantages[prompt]?.[sample] ?? 0,
    }));
  });
}

/**
 * @param step whose file the lines are from
 * @returns [P][G]
 * @throws RunError REPLAY_VERSION, REPLAY_RECORD, REPLAY_INCOMPLETE
 */
export function readRollout(lines: readonly LogRecord[], step: number): RolloutRecord[][] {
  const records = lines.map((line, index) => readRecord(line, step, index + 1));
  const expected = records[0]?.completions ?? 0;
  if (records.length === 0 || records.length !== expected) {
    const found = records.length === 0 ? "holds none" : `holds ${records.length} of ${expected} completions`;
    throw incomplete(step, `${found}: the file was cut off, or lines of it were removed`);
  }
  const groups: RolloutRecord[][] = [];
  for (const record of records) {
    const { prompt, sample } = record;
    if (prompt === groups.length && sample === 0) groups.push([]);
    if (groups.at(-1) === undefined || prompt !== groups.length - 1 || sample !== groups.at(-1)!.length) {
      throw incomplete(step, `has completion ${sample} of prompt ${prompt} where another belongs`);
    }
    groups.at(-1)!.push(record);
  }
  return groups;
}

function readRecord(line: LogRecord, step: number, number: number): RolloutRecord {
  const { version = 1 } = line;
  if (version !== VERSION) {
    throw new RunError(
      "REPLAY_VERSION",
      `the completions of step ${step} were recorded in format ${String(version)} by another version of thurstone, and this one replays format ${VERSION}. Replay them with that version, or record the run anew.`,
      { fields: { step, version } },
    );
  }
  const parsed = recordSchema.safeParse(line);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new RunError(
    "REPLAY_RECORD",
    `line ${number} of the completions of step ${step} cannot be used: ${path.join(".")}: ${message}. It was changed by hand, or written by something else.`,
    { cause: parsed.error, fields: { step, line: number } },
  );
}

function incomplete(step: number, what: string): RunError {
  return new RunError(
    "REPLAY_INCOMPLETE",
    `the record of step ${step} ${what}. Rewards of a step may depend on all of its completions: bring the file back, or delete it to leave the step out.`,
    { fields: { step } },
  );
}
