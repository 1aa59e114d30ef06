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
      const problems = parsed.error.issues.map((issue) => `${issue.path.join(".") || "row"}: ${issue.message}`);
      throw new RewardError(
        "REWARD_ROW",
        `the reward "${place.reward}" cannot use row ${id}: ${problems.join("; ")}. Add what is missing to the data file, or loosen the reward's row schema.`,
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
