/**
 * Every error thurstone throws on purpose, by category of mistake.
 *
 * A message says what happened, what was expected and what to do. `code` is stable and meant for programs, `fields`
 * carries the values the message speaks of, `cause` keeps the original error.
 *
 * @module
 */

/** Shared by all copies of this package in one process, so that `isInstance` works across duplicates. */
const MARKER = Symbol.for("thurstone.error");

export interface ThurstoneErrorOptions {
  /** The error that led to this one. */
  cause?: unknown;
  /** Values a program may want: file, line, key, step, signal ... */
  fields?: Readonly<Record<string, unknown>>;
}

/** Base of all errors thrown on purpose. */
export class ThurstoneError extends Error {
  override readonly name: string = "ThurstoneError";
  /** Stable, upper-case, for example "CONFIG_UNKNOWN_KEY". */
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: ThurstoneErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? {};
    Object.defineProperty(this, MARKER, { value: true });
  }

  /** True for every error of this package, whichever copy of it made the error. */
  static isInstance(value: unknown): value is ThurstoneError {
    return value instanceof Error && MARKER in value;
  }
}

/** The configuration cannot be used: unknown key, wrong type, values that contradict each other, not built yet. */
export class ConfigError extends ThurstoneError {
  override readonly name = "ConfigError";
}

/** A data file or picture cannot be used: bad row, missing or broken picture, label out of range. */
export class DataError extends ThurstoneError {
  override readonly name = "DataError";
}

/** A reward function failed or returned something that is not a number. */
export class RewardError extends ThurstoneError {
  override readonly name = "RewardError";
}

/** A loss of the user's own failed, or returned something that is no loss. */
export class LossError extends ThurstoneError {
  override readonly name = "LossError";
}

/** A user's callback (onStep, onSave, onEvaluate) failed. */
export class CallbackError extends ThurstoneError {
  override readonly name = "CallbackError";
}

/** A message or a connection is broken: malformed frame, size limit, deadline, cancelled, closed. */
export class BridgeError extends ThurstoneError {
  override readonly name = "BridgeError";
}

/** The Python worker failed: it could not start, died, hangs, or answered a request with an error. */
export class WorkerError extends ThurstoneError {
  override readonly name = "WorkerError";
}

/** A run folder or checkpoint cannot be written or read: incomplete, damaged, of another run. */
export class RunError extends ThurstoneError {
  override readonly name = "RunError";
}

/** The machine lacks something: Node or Python too old, package missing, no write access. */
export class EnvironmentError extends ThurstoneError {
  override readonly name = "EnvironmentError";
}
