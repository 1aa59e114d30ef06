/**
 * Loads TypeScript or JavaScript modules of own rewards, as `--rewards ./reward.ts` asks for. They run as code.
 *
 * @module
 */
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createJiti } from "jiti";
import { ConfigError } from "../errors.js";
import { isReward } from "../rewards/index.js";
import type { Reward } from "../rewards/index.js";

/** `import ... from "thurstone"` in a reward module must mean this very copy, wherever the module lies. */
function aliases(): Record<string, string> {
  const own = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const subpaths = ["rewards", "advantages", "stats", "images", "bridge", "runs", "testing"];
  return {
    ...Object.fromEntries(subpaths.map((name) => [`thurstone/${name}`, own(`../${name}/index.js`)])),
    thurstone: own("../index.js"),
  };
}

/**
 * @param paths relative to the current directory
 * @returns every exported reward by its own name
 * @throws ConfigError REWARD_MODULE when a module cannot be loaded, or exports no reward made by `defineReward`
 */
export async function loadRewardModules(paths: readonly string[]): Promise<Record<string, Reward>> {
  const jiti = createJiti(import.meta.url, { alias: aliases() });
  const found: Record<string, Reward> = {};
  for (const path of paths) {
    const exported = await importModule(jiti, path);
    const rewards = Object.values(exported).filter(isReward);
    if (rewards.length === 0) {
      throw new ConfigError(
        "REWARD_MODULE",
        `${path} exports no reward. Export at least one made by defineReward({ name, score }).`,
        { fields: { path } },
      );
    }
    for (const reward of rewards) found[reward.name] = reward;
  }
  return found;
}

async function importModule(jiti: ReturnType<typeof createJiti>, path: string): Promise<Record<string, unknown>> {
  try {
    return await jiti.import<Record<string, unknown>>(pathToFileURL(resolve(path)).href);
  } catch (cause) {
    // What follows the first line is the loader's own stack.
    const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]!;
    throw new ConfigError("REWARD_MODULE", `the reward module ${path} could not be loaded: ${reason}`, {
      cause,
      fields: { path },
    });
  }
}
