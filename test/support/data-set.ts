/**
 * A small data set on disk: pictures of noise and a data file in the reference's format.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { ConfigInput } from "../../src/config/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";

export interface DataSet {
  readonly folder: string;
  /** The data file. */
  readonly data: string;
  /** Folder of the pictures. */
  readonly images: string;
  /** A configuration of a run in `name` under the folder, small enough for tests. */
  config(name: string, more?: Partial<ConfigInput>): ConfigInput;
  remove(): void;
}

export interface DataSetOptions {
  /** Default 8. */
  readonly rows?: number;
  /** Folder or hub id of the model the configurations name. Default "none", which a fake worker never looks at. */
  readonly model?: string;
  /** Fields of a row besides the usual ones. */
  readonly extra?: (row: number) => Readonly<Record<string, unknown>>;
}

/** Row n (from 0) is called "n", shows its own picture and has the score 1 + n / 2. */
export async function createDataSet(options: DataSetOptions = {}): Promise<DataSet> {
  const { rows = 8, model = "none", extra = () => ({}) } = options;
  const folder = mkdtempSync(join(tmpdir(), "thurstone-test-"));
  const images = join(folder, "images");
  mkdirSync(images);
  const lines: string[] = [];
  for (let row = 0; row < rows; row += 1) {
    const width = row % 2 === 0 ? 56 : 84;
    const name = `picture_${row}.png`;
    const pixels = Uint8Array.from({ length: 56 * width * 3 }, (_, at) => 256 * uniform(foldKey(7, row, at)));
    await sharp(pixels, { raw: { width, height: 56, channels: 3 } })
      .png()
      .toFile(join(images, name));
    const conversations = [
      { from: "human", value: "Rate the picture." },
      { from: "gpt", value: 1 + row / 2 },
    ];
    lines.push(JSON.stringify({ id: row, dataset_name: "tiny", image: name, conversations, ...extra(row) }));
  }
  const data = join(folder, "train.jsonl");
  writeFileSync(data, `${lines.join("\n")}\n`);

  return {
    folder,
    data,
    images,
    config: (name, more = {}) => ({
      model_name_or_path: model,
      data_file_paths: [data],
      image_folders: [images],
      output_dir: join(folder, name),
      prompts_per_step: 3,
      num_generations: 4,
      max_steps: 4,
      save_steps: 2,
      ...more,
    }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
