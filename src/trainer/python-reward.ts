/**
 * Reward functions in Python, in the signature that TRL calls: `(completions, **columns) -> list of float or None`.
 *
 * The function runs in a process of its own that can be thrown away: whatever it does ends as a RewardError, and a crash,
 * a hang or an abort costs that process only. The next call starts another one.
 *
 * Source of the convention: TRL 1.16, `GRPOTrainer._calculate_rewards`.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { ConfigError, EnvironmentError, RewardError } from "../errors.js";
import { findPython, startPythonChild } from "../python/index.js";
import type { PythonChild, PythonLocation, PythonOutcome } from "../python/index.js";
import { defineReward } from "../rewards/index.js";
import type { Reward, RewardValue } from "../rewards/index.js";
import { pythonBatch } from "./python-batch.js";
import type { PythonBatchOptions } from "./python-batch.js";

/** Options of `pythonReward`. */
export interface PythonRewardOptions extends PythonBatchOptions {
  /** The Python file. Relative to the current directory. */
  readonly path: string;
  /** A function in it; also the reward's name. */
  readonly function: string;
  /** Milliseconds for a call; the first one also starts Python and imports the file. Default 300 000. */
  readonly timeoutMs?: number;
  /** The Python to run it. Default: PYTHON_BIN, else the environment that `thurstone setup` made. */
  readonly location?: PythonLocation;
}

const TIMEOUT = 300_000;
/** What a timer of Node takes. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;
/** The side that calls the function. */
const MODULE = "thurstone_runtime.reward_functions";

/**
 * A reward of the whole step out of a Python function; the file is run as code. None becomes null: not judged.
 *
 * Calls reject with a RewardError: REWARD_PYTHON_FILE (no such file), REWARD_PYTHON_RAISED (an exception, of the import
 * too; `fields.traceback`), REWARD_PYTHON_DIED, REWARD_PYTHON_TIMEOUT, REWARD_SHAPE, REWARD_NOT_A_NUMBER (a NaN).
 *
 * @throws ConfigError CONFIG_REWARD_TIMEOUT
 */
export function pythonReward(options: PythonRewardOptions): Reward<Readonly<Record<string, unknown>>> {
  const { function: name, timeoutMs = TIMEOUT } = options;
  if (!(timeoutMs > 0 && timeoutMs <= LONGEST_TIMEOUT)) {
    throw new ConfigError(
      "CONFIG_REWARD_TIMEOUT",
      `timeoutMs of the Python reward ${name} is ${timeoutMs}; it must be above 0 and at most ${LONGEST_TIMEOUT} milliseconds.`,
    );
  }
  const path = resolve(options.path);
  let child: PythonChild | null = null;
  let last: Promise<unknown> = Promise.resolve();

  const call = async (what: string, args: readonly unknown[], signal: AbortSignal): Promise<unknown> => {
    signal.throwIfAborted();
    if (!existsSync(path)) {
      throw new RewardError("REWARD_PYTHON_FILE", `there is no file ${path}. Correct the path, or put the file there`);
    }
    const location = options.location ?? locate();
    if (child?.alive !== true) child = startPythonChild(location);
    const asked = { module: MODULE, name: what, args: [path, name, ...args] };
    const outcome = await child.call(asked, { timeout: timeoutMs, signal });
    if (outcome.kind === "value") return outcome.value;
    throw failureOf(outcome, { path, name, timeoutMs, location });
  };
  /** One Python runs one function at a time. */
  const inTurn = (what: string, args: readonly unknown[], signal: AbortSignal): Promise<unknown> => {
    const turn = last.then(() => call(what, args, signal));
    last = turn.catch(() => undefined);
    return turn;
  };

  return defineReward({
    name,
    // The child has the deadline: it is killed, and the error says what it printed.
    timeoutMs: null,
    async scoreBatch({ groups, step, signal }) {
      const batch = pythonBatch(groups, step, options);
      const values = rewardsOf(await inTurn("score", [batch], signal), batch.completions.length);
      let at = 0;
      return groups.map(({ completions }) => values.slice(at, (at += completions.length)));
    },
    async open({ signal }) {
      await inTurn("check", [], signal);
    },
    async close() {
      const ending = child;
      child = null;
      await ending?.close();
    },
  });
}

function locate(): PythonLocation {
  try {
    return findPython();
  } catch (cause) {
    if (!(cause instanceof EnvironmentError)) throw cause;
    throw new RewardError("REWARD_PYTHON_MISSING", cause.message.replace(/\.$/, ""), { cause });
  }
}

interface Called {
  readonly path: string;
  readonly name: string;
  readonly timeoutMs: number;
  readonly location: PythonLocation;
}

function failureOf(
  outcome: Exclude<PythonOutcome, { kind: "value" }>,
  { path, name, timeoutMs, location }: Called,
): RewardError {
  const function_ = `${basename(path)}:${name}`;
  if (outcome.kind === "raised") {
    const { error, where, traceback } = outcome;
    const at = where === null ? "" : `, at ${where}`;
    return new RewardError("REWARD_PYTHON_RAISED", `${function_} raised ${error.replace(/\.$/, "")}${at}`, {
      fields: { traceback },
    });
  }
  const { output } = outcome;
  const printed = output === "" ? "It printed nothing" : `The last that was printed: ${output}`;
  if (outcome.kind === "late") {
    const what = `${function_} gave no answer within ${timeoutMs / 1000} s, and its Python was killed`;
    const advice = "Raise python_reward_timeout (timeoutMs in TypeScript) if it needs longer";
    return new RewardError("REWARD_PYTHON_TIMEOUT", `${what}. ${advice}. ${printed}`, { fields: { output } });
  }
  const { status } = outcome;
  const exit = status === null ? "" : ` with ${/^\d+$/.test(status) ? `exit status ${status}` : status}`;
  const what = `Python (${location.python}) ended${exit} while ${function_} ran`;
  return new RewardError("REWARD_PYTHON_DIED", `${what}. ${printed}`, { fields: { status, output } });
}

/** What came back, as one number or null for each completion. Numbers that are not finite are left to the caller. */
function rewardsOf(answer: unknown, completions: number): RewardValue[] {
  const wanted = `a number or None for each of the ${completions} completions`;
  if (!Array.isArray(answer)) {
    throw new RewardError("REWARD_SHAPE", `it returned a value of type ${typeOf(answer)}; expected ${wanted}`);
  }
  if (answer.length !== completions) {
    throw new RewardError("REWARD_SHAPE", `it returned ${answer.length} values; expected ${wanted}`);
  }
  return answer.map((value: unknown, index) => {
    if (value === null || typeof value === "number") return value;
    throw new RewardError(
      "REWARD_NOT_A_NUMBER",
      `it returned a value of type ${typeOf(value)} for completion ${index} of ${completions}; expected ${wanted}`,
    );
  });
}

/** Values that are no numbers come back as the name of their type. */
function typeOf(value: unknown): string {
  return (value as { readonly type: string }).type;
}
