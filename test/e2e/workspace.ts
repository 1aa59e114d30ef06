/**
 * A folder with everything a small real run needs: a checkpoint, pictures, a data file.
 *
 * @module
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/index.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet, DataSetOptions } from "../support/data-set.js";
import { microCheckpoint } from "./micro-checkpoint.js";

export interface Workspace extends DataSet {
  /** Folder of the checkpoint. */
  readonly model: string;
}

/** With a copy of the checkpoint that all workspaces share. */
export async function createWorkspace(rows = 8, extra?: DataSetOptions["extra"]): Promise<Workspace> {
  const dataSet = await createDataSet({ rows, ...(extra && { extra }) });
  const model = join(dataSet.folder, "model");
  cpSync(await microCheckpoint(), model, { recursive: true });
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
