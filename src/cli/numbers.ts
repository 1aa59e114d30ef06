/**
 * Numbers as arguments of commands: what commander calls to read an option's text.
 *
 * @module
 */
import { InvalidArgumentError } from "commander";

/** @throws InvalidArgumentError for anything but a whole number of at least 1 */
export function positiveInteger(text: string): number {
  return integerFrom(text, 1);
}

/** @throws InvalidArgumentError for anything but a whole number of at least 0 */
export function wholeNumber(text: string): number {
  return integerFrom(text, 0);
}

/** @throws InvalidArgumentError for anything but a whole number */
export function integer(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value)) throw new InvalidArgumentError("a whole number is expected.");
  return value;
}

/** @throws InvalidArgumentError for anything but a finite number above 0 */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(Number.isFinite(value) && value > 0)) throw new InvalidArgumentError("a number above 0 is expected.");
  return value;
}

/** First and last step; an end that is left open is absent. */
export interface StepRange {
  readonly from?: number;
  readonly to?: number;
}

/** "3..8", "..8", "3.." or "..". @throws InvalidArgumentError for anything else */
export function stepRange(text: string): StepRange {
  const ends = /^(\d*)\.\.(\d*)$/.exec(text);
  if (ends === null) throw new InvalidArgumentError("two steps with two dots between them are expected, as in 3..8.");
  const [, from, to] = ends;
  return { ...(from !== "" && { from: positiveInteger(from!) }), ...(to !== "" && { to: positiveInteger(to!) }) };
}

function integerFrom(text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
    throw new InvalidArgumentError(`a whole number of at least ${least} is expected.`);
  }
  return value;
}
