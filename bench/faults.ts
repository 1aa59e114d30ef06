/**
 * What happens to a run when something happens to its worker: every fault in every phase, found, named, and gone on with.
 *
 *     npm run bench -- faults [--ranks 2 [--strategy ddp|fsdp2|zero2|zero3]] [--json]
 *
 * A row is a run of four steps on a small model that meets with the fault in its third, or in the second checkpoint, and is
 * then started again by the same command. What comes of it must be what an undisturbed run gives, to the bit. Exits with status
 * 1 where it does not, where the error is another one or comes too late, or where a worker is left. docs/reliability.md
 * explains the table.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { table } from "../src/cli/table.js";
import { train } from "../src/index.js";
import type { ConfigInput } from "../src/index.js";
import { areGone, digestsOf, faultsOf, OUTCOMES, runWithFault, variedReward } from "./support/fault-runs.js";
import type { Fault } from "./support/fault-runs.js";
import { makeSmallRun } from "./support/small-run.js";
import { startNursery } from "./support/worker-nursery.js";

const { values } = parseArgs({
  options: {
    ranks: { type: "string", default: "1" },
    strategy: { type: "string", default: "ddp" },
    json: { type: "boolean", default: false },
  },
});
const ranks = Number(values.ranks);
const spread: Pick<ConfigInput, "deepspeed" | "strategy"> = values.strategy.startsWith("zero")
  ? { deepspeed: fileURLToPath(new URL(`../configs/${values.strategy}.json`, import.meta.url)) }
  : { strategy: values.strategy as "ddp" | "fsdp2" };

interface Row extends Fault {
  readonly outcome: string;
  /** From the fault to the end of the run. */
  readonly seconds: number;
  readonly limit: number;
  readonly same: boolean;
  readonly left: boolean;
}

/** Seconds for what is not the limit: the next heartbeat, the next look at it, and the end of the processes. */
const SLACK = 3;

/** Where nothing ends it, a run has no limit; a slow rank among several has twice the others', which wait for it. */
function limitOf({ kind, limit }: Pick<Row, "kind" | "limit">): number {
  if (kind === "clock") return Number.POSITIVE_INFINITY;
  if (kind === "freeze") return limit + SLACK;
  return kind === "slow" ? limit * (ranks > 1 ? 2 : 1) + SLACK : SLACK;
}

function isMet(row: Row): boolean {
  const outcomes: readonly string[] = OUTCOMES[row.kind];
  return row.same && !row.left && row.seconds <= limitOf(row) && outcomes.includes(row.outcome);
}

const folder = mkdtempSync(join(tmpdir(), "thurstone-faults-"));
try {
  await using nursery = await startNursery();
  const small = await makeSmallRun(folder);
  const configOf = (name: string): ConfigInput => ({
    ...small,
    output_dir: join(folder, name),
    resume_from_checkpoint: "auto",
    max_steps: 4,
    save_steps: 2,
    ...(ranks > 1 && { num_processes: ranks, ...spread }),
  });
  const undisturbed = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const config = { ...configOf(name), python_bin: nursery.python(null, join(folder, "workers")) };
    await train(config, { rewards: { varied: variedReward } }).result;
    return digestsOf(config.output_dir!);
  };
  const whole = await undisturbed("whole");
  const rows: Row[] = [];
  for (const fault of faultsOf(ranks)) {
    const name = `${fault.kind}-${fault.at}`;
    process.stderr.write(`faults  ${name}\n`);
    const { outcome, seconds, limit, workers } = await runWithFault(nursery, configOf(name), fault);
    const left = !(await areGone(workers));
    rows.push({ ...fault, outcome, seconds, limit, left, same: isDeepStrictEqual(await undisturbed(name), whole) });
    rmSync(join(folder, name), { recursive: true });
  }
  const lines = rows.map((row) => [
    row.kind,
    row.at,
    row.outcome,
    row.kind === "clock" ? "-" : `${row.seconds.toFixed(1)} of ${limitOf(row)}`,
    row.left ? "LEFT" : "gone",
    row.same ? "the same" : "ANOTHER",
    isMet(row) ? "met" : "MISSED",
  ]);
  const header = ["fault", "in", "ends as", "after s, of", "workers", "gone on with", "limits"];
  process.stdout.write(`${(values.json ? [JSON.stringify(rows)] : table(header, lines)).join("\n")}\n`);
  process.exitCode = rows.every(isMet) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
