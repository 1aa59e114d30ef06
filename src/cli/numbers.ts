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

function integerFrom(text: string, least: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
    throw new InvalidArgumentError(`a whole number of at least ${least} is expected.`);
  }
  return value;
}
