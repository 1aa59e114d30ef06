/**
 * What was compared when a run was verified, and what differed.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";

/** What a difference is about, in the order in which one may follow from another. */
export const SUBJECTS = [
  "configuration",
  "data",
  "model",
  "prompt",
  "checkpoint",
  "row",
  "picture",
  "completion",
  "answer",
  "reward",
  "advantage",
  "record",
  "metric",
  "event",
  "weight",
  "optimizer",
  "state",
  "export",
] as const;

/** One of `SUBJECTS`. */
export type Subject = (typeof SUBJECTS)[number];

/** What a step is made from: where one of them is another, whatever comes later may be. */
const CAUSES: readonly Subject[] = ["data", "model", "prompt", "row", "picture", "completion"];
/** What an update shows and leaves behind: where it is another, the next ones are. */
const OF_THE_UPDATE: readonly Subject[] = ["metric", "weight", "optimizer", "state"];

/** Something that is not as the run recorded it. */
export interface Difference {
  readonly about: Subject;
  /** Optimizer step; null for what holds for the whole run. */
  readonly step: number | null;
  /** What differs, in words. */
  readonly what: string;
  /** As the run recorded it, and as it is found now; null where there is none. */
  readonly recorded: unknown;
  readonly found: unknown;
  /** It may be the consequence of a difference that stands before it. */
  readonly follows: boolean;
}

/** One thing, as recorded and as found. */
export type Compared = Pick<Difference, "about" | "step" | "what" | "recorded" | "found">;

/** Gathers comparisons. */
export interface Comparisons {
  /**
   * Counts one comparison, and keeps what differs.
   *
   * @param same whether the two agree. Default: they are equal to the bit
   */
  compare(one: Compared, same?: boolean): void;
  /** Something that cannot be compared, as a sentence; once each. */
  leaveOut(reason: string): void;
  /** Comparisons so far about a subject in a step. */
  count(about: Subject, step: number | null): number;
  /** Steps of which anything was compared, rising; null, for what holds for the whole run, first. */
  steps(): (number | null)[];
  /** By step and subject; what holds for the whole run first. */
  differences(): Difference[];
  readonly leftOut: readonly string[];
}

/** Nothing has been compared yet. */
export function createComparisons(): Comparisons {
  const counts = new Map<string, number>();
  const steps = new Set<number | null>([null]);
  const found: Compared[] = [];
  const leftOut = new Set<string>();
  const key = (about: Subject, step: number | null): string => `${about} ${step}`;
  return {
    compare(one, same = isDeepStrictEqual(one.recorded, one.found)) {
      const place = key(one.about, one.step);
      counts.set(place, (counts.get(place) ?? 0) + 1);
      steps.add(one.step);
      if (!same) found.push(one);
    },
    leaveOut: (reason) => void leftOut.add(reason),
    count: (about, step) => counts.get(key(about, step)) ?? 0,
    steps: () => [...steps].sort((a, b) => (a ?? 0) - (b ?? 0)),
    differences: () => inOrder(found),
    get leftOut() {
      return [...leftOut];
    },
  };
}

function inOrder(found: readonly Compared[]): Difference[] {
  const rank = ({ about }: Compared): number => SUBJECTS.indexOf(about);
  const sorted = found.toSorted((a, b) => (a.step ?? 0) - (b.step ?? 0) || rank(a) - rank(b));
  return sorted.map((one, index) => ({ ...one, follows: sorted.slice(0, index).some((other) => leadsTo(other, one)) }));
}

/** @param cause stands before the effect */
function leadsTo(cause: Compared, effect: Compared): boolean {
  const later = cause.step !== effect.step || SUBJECTS.indexOf(cause.about) < SUBJECTS.indexOf(effect.about);
  if (!later) return false;
  // What lies beside exported weights comes from the model that the run began with, whatever the updates were.
  if (effect.about === "export") return cause.about === "model";
  if (CAUSES.includes(cause.about)) return true;
  const ofUpdates = [cause, effect].every(({ about }) => OF_THE_UPDATE.includes(about));
  return ofUpdates && (cause.step !== effect.step || cause.about === "metric");
}

/** Whether two numbers are the same but for the rounding of another machine; anything else must be equal. */
export function isClose(recorded: unknown, found: unknown, tolerance: number): boolean {
  if (typeof recorded !== "number" || typeof found !== "number") return isDeepStrictEqual(recorded, found);
  // Losses are sums of terms about as large as 1 that may cancel, so that their rounding has a size of its own.
  const least = tolerance / 1000;
  return Math.abs(recorded - found) <= least + tolerance * Math.max(Math.abs(recorded), Math.abs(found));
}
