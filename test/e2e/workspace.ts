/**
 * A folder with everything a small real run needs: a checkpoint, pictures, a data file.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { ConfigInput } from "../../src/config/index.js";
import { findPython } from "../../src/python/index.js";
import { foldKey, uniform } from "../../src/stats/index.js";

export interface Workspace {
  readonly folder: string;
  readonly model: string;
  readonly data: string;
  readonly images: string;
  /** A configuration of a run in `name` under the folder, small enough for tests. */
  config(name: string, more?: Partial<ConfigInput>): ConfigInput;
  remove(): void;
}

/** Makes the checkpoint with the project's own tool. */
export async function createWorkspace(rows = 8): Promise<Workspace> {
  const folder = mkdtempSync(join(tmpdir(), "thurstone-e2e-"));
  const model = join(folder, "model");
  const { python, pythonPath } = findPython();
  execFileSync(python, ["-m", "thurstone_runtime.make_checkpoint", model, "--preset", "micro"], {
    env: { ...process.env, PYTHONPATH: pythonPath, OMP_NUM_THREADS: "1" },
    stdio: "ignore",
  });

  const images = join(folder, "images");
  mkdirSync(images);
  const lines: string[] = [];
  for (let index = 0; index < rows; index += 1) {
    const width = index % 2 === 0 ? 56 : 84;
    const pixels = Uint8Array.from({ length: 56 * width * 3 }, (_, at) => 256 * uniform(foldKey(7, index, at)));
    const name = `picture_${index}.png`;
    await sharp(pixels, { raw: { width, height: 56, channels: 3 } })
      .png()
      .toFile(join(images, name));
    lines.push(
      JSON.stringify({
        id: index,
        dataset_name: "tiny",
        image: name,
        conversations: [
          { from: "human", value: "Rate the picture." },
          { from: "gpt", value: 1 + index / 2 },
        ],
      }),
    );
  }
  const data = join(folder, "train.jsonl");
  writeFileSync(data, `${lines.join("\n")}\n`);

  return {
    folder,
    model,
    data,
    images,
    config: (name, more = {}) => ({
      model_name_or_path: model,
      data_file_paths: [data],
      image_folders: [images],
      output_dir: join(folder, name),
      prompts_per_step: 3,
      num_generations: 4,
      max_completion_length: 10,
      max_steps: 4,
      learning_rate: 1e-3,
      save_steps: 2,
      worker_threads: 1,
      ...more,
    }),
    remove: () => rmSync(folder, { recursive: true }),
  };
}
