/**
 * Rows as rewards see them: one flat record, checked by the reward's schema.
 *
 * @module
 */

import type { z } from "zod";
import { RewardError } from "../errors.js";

export interface CheckedRow {
  /** The row's own id, or its position in the step. */
  readonly id: string;
  readonly row: unknown;
}

/** A row that a reward cannot use, and why. */
export interface RowProblem {
  readonly reward: string;
  /** Position among the rows given. */
  readonly index: number;
  readonly message: string;
}

/** Every row that some reward will not be able to use, found before anything starts. */
export async function findRowProblems(
  rows: readonly unknown[],
  rewards: readonly { readonly name: string; readonly reward: { readonly row?: z.ZodType | undefined } }[],
): Promise<RowProblem[]> {
  const problems: RowProblem[] = [];
  for (const { name, reward } of rewards) {
    if (reward.row === undefined) continue;
    for (const [index, given] of rows.entries()) {
      const parsed = await reward.row.safeParseAsync(flatten(given));
      if (!parsed.success) problems.push({ reward: name, index, message: wording(parsed.error) });
    }
  }
  return problems;
}

function wording(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".") || "row"}: ${issue.message}`).join("; ");
}

/** @throws RewardError REWARD_ROW when a row does not fit the schema */
export async function validateRows(
  rows: readonly unknown[],
  schema: z.ZodType | undefined,
  place: { readonly reward: string; readonly step: number | undefined },
): Promise<CheckedRow[]> {
  return Promise.all(
    rows.map(async (given, prompt) => {
      const id = idOf(given, prompt);
      const row = flatten(given);
      if (schema === undefined) return { id, row };
      const parsed = await schema.safeParseAsync(row);
      if (parsed.success) return { id, row: parsed.data };
      throw new RewardError(
        "REWARD_ROW",
        `the reward "${place.reward}" cannot use row ${id}: ${wording(parsed.error)}. Add what is missing to the data file, or loosen the reward's row schema.`,
        { cause: parsed.error, fields: { ...place, row: id } },
      );
    }),
  );
}

function idOf(row: unknown, prompt: number): string {
  const id = isRecord(row) ? row["id"] : undefined;
  return typeof id === "string" || typeof id === "number" ? String(id) : `#${prompt}`;
}

/** Fields a data file has beyond the known ones stand beside them; a known field wins. */
function flatten(row: unknown): unknown {
  return isRecord(row) && isRecord(row["extra"]) ? { ...row["extra"], ...row } : row;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
