/**
 * What to change when a run does not fit: single changes and sets of them are tried on the plan, cheapest first, and on the
 * configuration, which refuses those that contradict it.
 *
 * @module
 */
import type { Change, Settings } from "./changes.js";
import type { MemoryPlan } from "./memory-plan.js";

/** A set of changes with which a run fits. */
export interface Remedy {
  readonly settings: Settings;
  readonly cost: number;
  readonly plan: MemoryPlan;
}

/** What changes are tried on. */
export interface Trial<Config> {
  readonly config: Config;
  /** Bytes that a rank may take. */
  readonly available: number;
  readonly plan: (config: Config) => MemoryPlan;
  /** Whether a run would start with it. */
  readonly accepts: (config: Config) => boolean;
}

/** Sets of more changes than this are not tried. */
const MOST_CHANGES = 4;

/**
 * @param most remedies
 * @returns the cheapest first; none of them holds another one
 */
export function findRemedies<Config extends object>(
  changes: readonly Change[],
  { config, available, plan: planOf, accepts }: Trial<Config>,
  most = 3,
): Remedy[] {
  const sets = subsets(changes).sort((a, b) => costOf(a) - costOf(b) || a.length - b.length);
  const found: Remedy[] = [];
  for (const set of sets) {
    if (found.length === most) break;
    const settings: Settings = Object.assign({}, ...set.map((change) => change.settings));
    if (found.some((other) => holds(settings, other.settings))) continue;
    const changed = { ...config, ...settings };
    // The plan is asked first, because it answers sooner.
    const plan = planOf(changed);
    if (plan.needed <= available && accepts(changed)) found.push({ settings, cost: costOf(set), plan });
  }
  return found;
}

function holds(settings: Settings, others: Settings): boolean {
  return Object.entries(others).every(([key, value]) => settings[key] === value);
}

function costOf(set: readonly Change[]): number {
  return set.reduce((total, { cost }) => total + cost, 0);
}

/** All sets of up to `MOST_CHANGES`; of changes of one key only one at a time. */
function subsets(changes: readonly Change[]): Change[][] {
  const sets: Change[][] = [[]];
  for (const change of changes) {
    const keys = Object.keys(change.settings);
    const free = sets.filter(
      (set) => set.length < MOST_CHANGES && !set.some(({ settings }) => keys.some((key) => key in settings)),
    );
    sets.push(...free.map((set) => [...set, change]));
  }
  return sets.slice(1);
}
