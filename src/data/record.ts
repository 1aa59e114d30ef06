/**
 * One line of a data file in the reference's JSONL format, before pictures are looked up.
 *
 * `{"id", "dataset_name", "image": name or list, "conversations": [{"from": "human", "value": question},
 * {"from": "gpt", "value": score}]}`, and optionally `mos_std`, `group`, `type`, `level`. Source: VisualQuality-R1's
 * `datasets/make_data.py`. Rows to imitate have answers for values of "gpt", which may be any text, any number of turns,
 * and optionally `mos`.
 *
 * @module
 */
import { z } from "zod";
import type { DataProblem } from "./problems.js";

/** Where a question has a picture, if it says so; otherwise pictures come first. */
export const IMAGE_MARKER = "<image>";

// Messages complete the sentence "... is X; it must be".
const TEXT = { error: "a text" };
const NAME = { error: "a text or a whole number" };
const name = z.union([z.string().min(1, NAME), z.int(NAME)], NAME).transform(String);
const PICTURE = { error: "a file name" };
const picture = z.string(PICTURE).min(1, PICTURE);

const SCORE = { error: "a finite number, or a text of one" };
/** The text of a number; not "nan", which Python's writers leave behind, and not "", which is no number. */
const NUMBER = /^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/;
const score = z
  .union([z.number(SCORE), z.string().regex(NUMBER, SCORE)], SCORE)
  .transform(Number)
  .refine(Number.isFinite, SCORE);

const ANSWER = { error: "the answer, a text that is not empty, or a finite number" };
const answer = z.union([z.number(ANSWER), z.string().regex(/\S/, ANSWER)], ANSWER);

/** A turn of either side; `value` is what may stand for the model's. */
function turnOf<Value extends z.ZodType>(value: Value) {
  return z.discriminatedUnion(
    "from",
    [
      z.object({ from: z.literal("human"), value: z.string({ error: "the question, a text" }) }),
      z.object({ from: z.literal("gpt"), value }),
    ],
    { error: 'a turn {"from": "human" or "gpt", "value": ...}' },
  );
}

const FINITE = { error: "a finite number" };
const DEVIATION = { error: "a number at least 0" };
const TURNS = { error: 'one question ("human") and at most one score ("gpt") after it' };
const DIALOGUE = { error: 'questions ("human") and answers ("gpt") in turn, with an answer at the end' };

/** Fields of both kinds of line. */
const shared = {
  id: name,
  dataset_name: z.string(TEXT).min(1, TEXT).optional(),
  image: z
    .union([picture.transform((one) => [one]), z.array(picture)], {
      error: "a file name or a list of them ([] for a row without pictures)",
    })
    .transform((images): readonly string[] => images),
  mos_std: z.number(DEVIATION).min(0, DEVIATION).optional(),
  group: name.optional(),
  type: name.optional(),
  level: z.number({ error: "a number" }).optional(),
};

const OBJECT = { error: "a JSON object" };

/** What a line to be rated must hold. Fields it does not name are kept. */
const recordSchema = z.looseObject(
  {
    ...shared,
    conversations: z
      .array(turnOf(score), TURNS)
      .refine(
        (turns) =>
          turns[0]?.from === "human" && (turns.length === 1 || (turns.length === 2 && turns[1]?.from === "gpt")),
        TURNS,
      ),
  },
  OBJECT,
);

/** What a line to be imitated must hold. Fields it does not name are kept. */
const dialogueSchema = z.looseObject(
  {
    ...shared,
    conversations: z
      .array(turnOf(answer), DIALOGUE)
      .refine(
        (turns) =>
          turns.at(-1)?.from === "gpt" &&
          turns.every(({ from }, index) => from === (index % 2 === 0 ? "human" : "gpt")),
        DIALOGUE,
      ),
    mos: z.number(FINITE).optional(),
  },
  OBJECT,
);

/** A line of either kind. */
export type DataRecord = z.output<typeof recordSchema> | z.output<typeof dialogueSchema>;

/** A kind of line. */
export interface RecordFormat {
  readonly schema: z.ZodType<DataRecord>;
  /** Names of the schema's fields; all others are extra. */
  readonly fields: ReadonlySet<string>;
}

/** What the values of "gpt" are: scores of pictures that are to be rated, or texts that are to be imitated. */
export const RECORD_FORMATS = {
  score: { schema: recordSchema, fields: new Set(Object.keys(recordSchema.shape)) },
  text: { schema: dialogueSchema, fields: new Set(Object.keys(dialogueSchema.shape)) },
} as const satisfies Record<string, RecordFormat>;

/** The number that an answer is, where it is nothing else. */
export function scoreOf(answer: string | number): number | undefined {
  const parsed = score.safeParse(answer);
  return parsed.success ? parsed.data : undefined;
}

/**
 * What an issue of the schema says about a line, in words.
 *
 * @param line the parsed line
 */
export function issueInWords(line: unknown, issue: z.core.$ZodIssue): string {
  const value = issue.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    line,
  );
  const where = issue.path.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  const subject = where === "" ? "the line" : where.slice(1);
  return value === undefined
    ? `${subject} is missing; it must be ${issue.message}.`
    : `${subject} is ${show(value)}; it must be ${issue.message}.`;
}

function show(value: unknown): string {
  const text = typeof value === "number" ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** A record and where it stands. */
export interface NumberedRecord {
  /** 1-based. */
  readonly line: number;
  readonly record: DataRecord;
}

/** What a file's lines hold, and what is wrong with the others. */
export interface ReadRecords {
  readonly records: readonly NumberedRecord[];
  readonly problems: readonly DataProblem[];
}
