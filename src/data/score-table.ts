/**
 * KADID's opinion scores by distortion type and level, which label pictures that are degraded in the same way.
 *
 * @module
 */
import { z } from "zod";
import { DataError } from "../errors.js";
import { readJsonFile } from "./json-file.js";

export interface LevelScore {
  /** Mean opinion score, 1 (bad) to 5 (excellent). */
  readonly mean: number;
  /** Standard deviation of the scores over KADID's reference pictures. */
  readonly std: number;
  /** Standard deviation of single opinions of one picture. */
  readonly raterStd: number;
}

export interface ScoreTable {
  /**
   * @param version type "01" to "25" and level 1 to 5
   * @throws DataError DATA_NO_SCORE when the file has no scores for the type
   */
  scoreOf(version: { readonly type: string; readonly level: number }): LevelScore;
}

const LEVELS = 5;
const scores = z.array(z.number()).length(LEVELS);
const schema = z.object({
  types: z.array(z.object({ type: z.string(), mean: scores, std: scores, raterStd: scores })),
});

/**
 * @param file in the format of assets/kadid/means.json
 * @throws DataError DATA_FILE_UNREADABLE
 */
export async function readScoreTable(file: string): Promise<ScoreTable> {
  const { types } = await readJsonFile(file, schema);
  const byType = new Map(types.map((entry) => [entry.type, entry]));
  return {
    scoreOf({ type, level }) {
      const scoresOfType = byType.get(type);
      const [mean, std, raterStd] = [scoresOfType?.mean, scoresOfType?.std, scoresOfType?.raterStd].map(
        (values) => values?.[level - 1],
      );
      if (mean === undefined || std === undefined || raterStd === undefined) {
        throw new DataError("DATA_NO_SCORE", `${file} has no scores for type "${type}" at level ${level}.`, {
          fields: { file, type, level },
        });
      }
      return { mean, std, raterStd };
    },
  };
}
