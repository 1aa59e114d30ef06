/**
 * One Python worker for many policies one after the other, each of which begins with the model as it was.
 *
 * @module
 */
import { deepStrictEqual } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PlainMap, Reply } from "../../src/bridge/index.js";
import { resolveConfig } from "../../src/config/index.js";
import type { ConfigInput } from "../../src/config/index.js";
import { connectPython } from "../../src/trainer/index.js";
import type { Connection } from "../../src/trainer/index.js";

/** Ends with the block it is used in. */
export interface ReusedWorker extends AsyncDisposable {
  readonly connect: () => Promise<Connection>;
}

/** @param config says which Python the worker runs on; its policies load the same model in the same way */
export async function startReusedWorker(config: ConfigInput): Promise<ReusedWorker> {
  const { callers, close } = await connectPython(resolveConfig(config));
  const caller = callers[0]!;
  let loaded: Reply | undefined;
  let asked: PlainMap;
  let first: { readonly path: string };
  const load = async (given: PlainMap): Promise<Reply> => {
    const params = { ...given, allowed_roots: [tmpdir()] };
    if (loaded === undefined) {
      asked = params;
      loaded = await caller.call("load", params);
      first = { path: mkdtempSync(join(tmpdir(), "thurstone-test-")) };
      await caller.call("save", first);
    } else {
      deepStrictEqual(params, asked);
      await caller.call("restore", first);
    }
    return loaded;
  };
  return {
    connect: async () => ({
      callers: [
        {
          call: (method, params, options) => (method === "load" ? load(params) : caller.call(method, params, options)),
          close: async () => undefined,
        },
      ],
      close: async () => undefined,
    }),
    async [Symbol.asyncDispose]() {
      await close();
      if (loaded !== undefined) rmSync(first.path, { recursive: true });
    },
  };
}
