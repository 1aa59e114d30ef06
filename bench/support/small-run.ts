/**
 * All that a very small run on a real worker needs: a checkpoint with random weights, pictures, a data file.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/index.js";
import { findPython } from "../../src/python/index.js";
import { freshPictures } from "./fresh-pictures.js";

const ROWS = 8;
const SIDE = 56;

/** Makes it all in an existing folder. @returns a configuration without an output folder and a number of steps */
export async function makeSmallRun(folder: string): Promise<ConfigInput> {
  const { python, pythonPath } = findPython();
  const model = join(folder, "model");
  execFileSync(python, ["-m", "thurstone_runtime.make_checkpoint", model, "--preset", "micro"], {
    env: { ...process.env, PYTHONPATH: pythonPath },
    stdio: "ignore",
  });
  const images = join(folder, "images");
  mkdirSync(images);
  const picture = await freshPictures({ width: SIDE, height: SIDE });
  const lines: string[] = [];
  for (let row = 0; row < ROWS; row += 1) {
    writeFileSync(join(images, `${row}.jpg`), await picture(row));
    const conversations = [
      { from: "human", value: "Rate the picture." },
      { from: "gpt", value: 1 + row / 2 },
    ];
    lines.push(JSON.stringify({ id: row, dataset_name: "small", image: `${row}.jpg`, conversations }));
  }
  const data = join(folder, "train.jsonl");
  writeFileSync(data, `${lines.join("\n")}\n`);
  return {
    model_name_or_path: model,
    data_file_paths: [data],
    image_folders: [images],
    prompts_per_step: 3,
    num_generations: 4,
    max_completion_length: 10,
    learning_rate: 1e-3,
    device: "cpu",
    worker_threads: 1,
  };
}
