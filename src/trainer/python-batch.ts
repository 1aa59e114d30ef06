/**
 * The completions of a step as TRL hands them to a reward function: flat lists, one entry per completion.
 *
 * @module
 */
import type { ContentPart, Message } from "../data/index.js";
import { RewardError } from "../errors.js";
import { buildMessages } from "../prompts/index.js";
import type { ScoreBatchContext } from "../rewards/index.js";

/** How prompts and completions look to the function. */
export interface PythonBatchOptions {
  /**
   * `conversational`: a prompt is a list of messages with role and content, a completion a list of one message of the
   * assistant. `standard`: both are plain texts. Default "conversational".
   */
  readonly format?: "conversational" | "standard";
  /** Question template that prompts are shown in; a name or a text with `{Question}`. Default: as the row asks. */
  readonly template?: string;
}

/** What thurstone_runtime/reward_functions.py takes. */
export interface PythonBatch {
  readonly prompts: readonly unknown[];
  readonly completions: readonly unknown[];
  readonly completion_ids: readonly (readonly number[])[];
  /** The fields of the rows, by name. */
  readonly columns: Readonly<Record<string, readonly unknown[]>>;
  /** Steps done before this one. */
  readonly global_step: number;
}

type Row = Readonly<Record<string, unknown>>;

/** Fields that prompts hold already, or that say where the row was read. As in TRL, prompt and completion are none. */
const NO_COLUMNS: readonly string[] = ["messages", "source", "extra", "prompt", "completion", "completion_ids"];
/** Names that TRL gives to arguments of its own. */
const TAKEN: readonly string[] = ["prompts", "completions", "trainer_state"];
/** Fields whose name in Python is another. */
const RENAMED: Readonly<Record<string, string>> = { mosStd: "mos_std" };

/** @throws RewardError REWARD_ROW for a row with a field that is called as an argument of every reward function */
export function pythonBatch(
  groups: ScoreBatchContext<Row>["groups"],
  step: number | undefined,
  options: PythonBatchOptions,
): PythonBatch {
  const perCompletion = <T>(of: (row: Row, group: (typeof groups)[number]) => T): T[] =>
    groups.flatMap((group) => {
      const value = of(group.row, group);
      return group.completions.map(() => value);
    });
  const all = groups.flatMap(({ completions }) => completions);
  const conversational = options.format !== "standard";
  return {
    prompts: perCompletion((row) => (conversational ? messagesOf(row, options) : textOf(messagesOf(row, options)))),
    completions: all.map(({ text }) => (conversational ? [{ role: "assistant", content: text }] : text)),
    completion_ids: all.map(({ tokenIds }) => Array.from(tokenIds)),
    columns: Object.fromEntries(
      columnsOf(groups.map(({ row }) => row)).map((name) => [
        RENAMED[name] ?? name,
        perCompletion((row) => row[name] ?? null),
      ]),
    ),
    global_step: (step ?? 1) - 1,
  };
}

/** Names of all fields of all rows: one that lacks a field has None there. */
function columnsOf(rows: readonly Row[]): string[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => !NO_COLUMNS.includes(name));
  const taken = names.find((name) => TAKEN.includes(name));
  if (taken === undefined) return names;
  throw new RewardError(
    "REWARD_ROW",
    `rows have a field "${taken}", and every reward function has an argument of that name. Rename the field in the data file`,
  );
}

/** Pictures stand in their places, by path, as in the messages of Qwen's processors. */
function messagesOf(row: Row, { template }: PythonBatchOptions): Message[] {
  const given = Array.isArray(row["messages"]) ? (row["messages"] as readonly Message[]) : [];
  const messages = template === undefined ? given : buildMessages({ messages: given }, template);
  const images = Array.isArray(row["images"]) ? (row["images"] as readonly unknown[]) : [];
  let next = 0;
  const withPath = (part: ContentPart): ContentPart =>
    part.type === "image" ? Object.assign({ ...part }, { image: images[next++] ?? null }) : part;
  return messages.map(({ role, content }) => ({
    role,
    content: typeof content === "string" ? content : content.map(withPath),
  }));
}

function textOf(messages: readonly Message[]): string {
  const texts = messages.flatMap(({ content }) =>
    typeof content === "string" ? [content] : content.flatMap((part) => (part.type === "text" ? [part.text] : [])),
  );
  return texts.join("\n");
}
