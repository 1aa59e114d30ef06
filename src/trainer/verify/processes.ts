/**
 * How many processes execute the steps of a run again, and where: as many as the run had, on this machine, unless others are
 * asked for.
 *
 * @module
 */
import { trainingStrategy, updateSize } from "../../config/index.js";
import type { ConfigInput, ResolvedConfig } from "../../config/index.js";
import { ConfigError } from "../../errors.js";
import { OWN_WORKERS } from "../open-policy.js";

/** Keys that say which processes share the work; none of them is what the run was. */
export const PROCESS_KEYS = [
  "num_processes",
  "strategy",
  "deepspeed",
  "ds3_gather_for_generation",
  "worker_address",
  "worker_key_file",
  "worker_wait",
] as const satisfies readonly (keyof ConfigInput)[];

type ProcessKeys = Partial<Pick<ConfigInput, (typeof PROCESS_KEYS)[number]>>;
/** The configuration of a run, as its schema filled it in. */
type Recorded = Pick<
  ResolvedConfig,
  "num_processes" | "strategy" | "deepspeed" | "per_device_train_batch_size" | "gradient_accumulation_steps"
>;

/** What is to be changed of a run's settings, and what that makes of this machine. */
export interface Processes {
  readonly keys: Readonly<Record<string, unknown>>;
  /** In words: sums are made in another order, so that last bits may differ. The number of processes is told elsewhere. */
  readonly differences: readonly string[];
}

/**
 * @param settings of the run
 * @param given what was asked for instead
 * @throws ConfigError CONFIG_NOT_DIVISIBLE where an update cannot be cut for so many processes
 */
export function processesOf(settings: Readonly<Record<string, unknown>>, given: ProcessKeys): Processes {
  const recorded = settings as unknown as Recorded;
  const own = Object.fromEntries(Object.entries(given).filter(([key]) => isProcessKey(key)));
  const now: Recorded = { ...recorded, ...own };
  const isSpreadAnew = ["num_processes", "strategy", "deepspeed"].some((key) => Object.hasOwn(own, key));
  const [before, after] = [trainingStrategy(recorded), trainingStrategy(now)];
  const file = before === "deepspeed" && after === "deepspeed" && recorded.deepspeed !== now.deepspeed;
  return {
    keys: {
      ...OWN_WORKERS,
      // How weights in pieces are put together says nothing where they are no longer in such pieces.
      ...(isSpreadAnew && { ds3_gather_for_generation: null, ...passesOf(recorded, now.num_processes) }),
      ...own,
    },
    differences: [
      ...(before === after ? [] : [`strategy was ${before} and is ${after}`]),
      ...(file ? [`deepspeed was ${recorded.deepspeed} and is ${now.deepspeed}`] : []),
    ],
  };
}

function isProcessKey(key: string): boolean {
  return (PROCESS_KEYS as readonly string[]).includes(key);
}

/** Passes with which an update is as large as it was. */
function passesOf(recorded: Recorded, ranks: number): Partial<Pick<ConfigInput, "gradient_accumulation_steps">> {
  const size = updateSize(recorded);
  // What is no number of processes the schema refuses.
  if (size === null || !(Number.isSafeInteger(ranks) && ranks > 0)) return {};
  const rows = recorded.per_device_train_batch_size!;
  const passes = size / (rows * ranks);
  if (Number.isInteger(passes)) return { gradient_accumulation_steps: passes };
  throw new ConfigError(
    "CONFIG_NOT_DIVISIBLE",
    `num_processes is ${ranks}, and an update of the run is ${size} in passes of ${rows} (per_device_train_batch_size), which ${ranks} processes cannot share evenly. Use a divisor of ${size / rows}.`,
    { fields: { num_processes: ranks } },
  );
}
