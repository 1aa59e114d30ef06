/**
 * What `thurstone train --probe` prints: every completion with its rewards and advantage, and where the time went.
 *
 * @module
 */
import type { ProbeResult } from "../trainer/index.js";
import { formatNumber, printable, table } from "./table.js";

/** Characters of a completion shown. */
const TEXT_LENGTH = 60;

/** Lines, without a trailing line break. */
export function probeText({ completions, advantages, metrics, seconds }: ProbeResult): string[] {
  const flat = advantages.flat();
  const names = Object.keys((completions[0]?.["rewards"] ?? {}) as Record<string, number>);
  const rows = completions.map((completion, index) => {
    const rewards = completion["rewards"] as Record<string, number | null>;
    return [
      String(completion["row"]),
      ...names.map((name) => formatNumber(rewards[name])),
      formatNumber(completion["reward"] as number | null),
      formatNumber(flat[index]),
      printable(String(completion["text"])).slice(0, TEXT_LENGTH),
    ];
  });
  return [
    ...table(["row", ...names, "reward", "advantage", "completion"], rows),
    "",
    ...table(
      ["metric", "value"],
      Object.entries(metrics).map(([name, value]) => [name, formatNumber(value)]),
    ),
    "",
    ...table(
      ["stage", "seconds"],
      Object.entries(seconds).map(([name, value]) => [name, value.toFixed(3)]),
    ),
    "",
    "nothing was changed: no update, no run folder",
  ];
}
