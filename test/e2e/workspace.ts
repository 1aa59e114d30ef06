/**
 * A folder with everything a small real run needs: a checkpoint, pictures, a data file.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/index.js";
import { findPython } from "../../src/python/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet, DataSetOptions } from "../support/data-set.js";

export interface Workspace extends DataSet {
  /** Folder of the checkpoint. */
  readonly model: string;
}

/** Makes the checkpoint with the project's own tool. */
export async function createWorkspace(rows = 8, extra?: DataSetOptions["extra"]): Promise<Workspace> {
  const dataSet = await createDataSet({ rows, ...(extra && { extra }) });
  const model = join(dataSet.folder, "model");
  const { python, pythonPath } = findPython();
  execFileSync(python, ["-m", "thurstone_runtime.make_checkpoint", model, "--preset", "micro"], {
    env: { ...process.env, PYTHONPATH: pythonPath, OMP_NUM_THREADS: "1" },
    stdio: "ignore",
  });
  const config = (name: string, more: Partial<ConfigInput> = {}): ConfigInput =>
    dataSet.config(name, {
      model_name_or_path: model,
      max_completion_length: 10,
      learning_rate: 1e-3,
      worker_threads: 1,
      ...more,
    });
  return { ...dataSet, model, config };
}
