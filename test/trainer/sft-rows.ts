/**
 * Rows with answers for supervised runs, and the configuration of such a run.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { SftConfigInput } from "../../src/index.js";
import { createDataSet } from "../support/data-set.js";

/** What one side of a conversation says. */
export type Turn = readonly [from: "human" | "gpt", value: string | number];

/** A folder of pictures in which such files are made; removed after the file's tests. */
export async function makeSftRows() {
  const set = await createDataSet();
  afterAll(() => set.remove());

  /** A data file of rows with the given turns and pictures. */
  function writeRows(
    name: string,
    rows: readonly { turns: readonly Turn[]; images?: string[]; mos?: number }[],
  ): string {
    const path = join(set.folder, `${name}.jsonl`);
    const lines = rows.map(({ turns, images = [], ...more }, id) =>
      JSON.stringify({
        id,
        dataset_name: id % 2 === 0 ? "even" : "odd",
        image: images,
        conversations: turns.map(([from, value]) => ({ from, value })),
        ...more,
      }),
    );
    writeFileSync(path, lines.join("\n"));
    return path;
  }

  /** Eight rows whose answers have 1 to 8 letters. */
  const letters = (): string =>
    writeRows(
      "letters",
      Array.from({ length: 8 }, (_, row) => ({
        turns: [
          ["human", `Question ${row}?`],
          ["gpt", "abcdefgh".slice(0, row + 1)],
        ],
        images: [`picture_${row}.png`],
      })),
    );

  const config = (name: string, data: string, more: Partial<SftConfigInput> = {}): SftConfigInput => ({
    model_name_or_path: "none",
    data_file_paths: [data],
    image_folders: [set.images],
    output_dir: join(set.folder, name),
    question_template: "{Question}",
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 2,
    ...more,
  });

  return { set, writeRows, letters, config };
}
