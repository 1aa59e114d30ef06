/**
 * A verification as people read it.
 *
 * @module
 */
import { basename } from "node:path";
import { SUBJECTS } from "../trainer/index.js";
import type { Difference, Subject, Verification, VerifiedStep } from "../trainer/index.js";
import { printable, table } from "./table.js";

/** Longest value that is shown whole. */
const LONGEST = 80;
/** Columns for the run and its steps, before the others are told together. */
const COLUMNS = 7;
/** Consequences that are shown one by one. */
const SHOWN = 5;

/** The table of what was compared, then what differs, what was not compared, and the verdict. */
export function verifyText(verification: Verification): string[] {
  const { steps, differences, notCompared, digests } = verification;
  const causes = differences.filter(({ follows }) => !follows);
  const consequences = differences.filter(({ follows }) => follows);
  return [
    ...headline(verification),
    "",
    ...comparedTable(steps),
    ...(causes.length === 0 ? [] : ["", "Differences:", ...causes.flatMap(differenceLines)]),
    ...(consequences.length === 0
      ? []
      : [
          "",
          `What may follow from them (${Math.min(SHOWN, consequences.length)} of ${consequences.length}):`,
          ...consequences.slice(0, SHOWN).flatMap(differenceLines),
        ]),
    "",
    "Not compared:",
    ...notCompared.map((reason) => `  ${reason}`),
    "",
    ...Object.entries(digests).flatMap(([step, files]) =>
      Object.entries(files)
        .filter(([name]) => name.endsWith(".safetensors") && !name.startsWith("optimizer"))
        .map(([name, sha256]) => `SHA-256 of ${name} after step ${step}: ${sha256}`),
    ),
    verdict(verification),
  ];
}

function headline({ folder, from, to, checkpoint, resampled, otherMachine, asked }: Verification): string[] {
  const start = checkpoint === null ? "the model that the run began with" : `checkpoint ${basename(checkpoint)}`;
  const drawn = resampled ? "completions drawn again" : "completions as they were recorded";
  const way = asked.from > from ? ` (those before ${asked.from} are on the way)` : "";
  return [
    `${folder}: ${rangeText(from, to)} executed again from ${start}${way}, ${drawn}`,
    ...(otherMachine.length === 0
      ? ["On a machine like the run's own: numbers are compared to the bit."]
      : [
          "On another machine than the run's, so that numbers of the model are compared with a tolerance:",
          ...otherMachine.map((difference) => `  ${difference}`),
        ]),
  ];
}

type Counts = VerifiedStep["compared"];

function comparedTable(steps: readonly VerifiedStep[]): string[] {
  const columns = columnsOf(steps);
  const subjects = SUBJECTS.filter((about) => steps.some(({ compared }) => compared[about] !== undefined));
  const rows = subjects.map((about) => [about, ...columns.map(({ compared }) => cell(compared[about]))]);
  return table(["compared", ...columns.map(({ title }) => title)], rows);
}

/** One for the run and one for each step; of many steps those that differ first, and the others together. */
function columnsOf(steps: readonly VerifiedStep[]): { readonly title: string; readonly compared: Counts }[] {
  const differing = steps.filter(({ compared }) => Object.values(compared).some((counts) => counts.differing > 0));
  const own = steps.length <= COLUMNS ? steps : steps.filter((one) => one.step === null || differing.includes(one));
  const shown = own.slice(0, COLUMNS);
  const others = steps.filter((one) => !shown.includes(one));
  const columns = shown.map(({ step, compared }) => ({ title: step === null ? "run" : `step ${step}`, compared }));
  if (others.length === 0) return columns;
  const sum = (about: Subject): Counts => {
    const counts = others.flatMap(({ compared }) => compared[about] ?? []);
    const total = (of: "all" | "differing"): number => counts.reduce((all, one) => all + one[of], 0);
    return counts.length === 0 ? {} : { [about]: { all: total("all"), differing: total("differing") } };
  };
  const compared = Object.assign({}, ...SUBJECTS.map(sum)) as Counts;
  return [...columns, { title: `${others.length} other steps`, compared }];
}

function cell(counts: Counts[Subject]): string {
  if (counts === undefined) return "-";
  return counts.differing === 0 ? `${counts.all} agree` : `${counts.differing} of ${counts.all} differ`;
}

function differenceLines({ about, step, what, recorded, found }: Difference): string[] {
  const place = step === null ? about : `step ${step}, ${about}`;
  if (recorded === null && found === null) return [`  ${place}: ${printable(what)}`];
  return [`  ${place}: ${printable(what)}`, `    recorded ${shown(recorded)}`, `    found    ${shown(found)}`];
}

function shown(value: unknown): string {
  if (value === null) return "nothing";
  const text = printable(JSON.stringify(value));
  return text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}... (${text.length} characters)`;
}

function verdict({ agrees, differences, asked }: Verification): string {
  const steps = rangeText(asked.from, asked.to);
  if (agrees) return `Verified: ${steps} of the run ${asked.from === asked.to ? "is" : "are"} what was recorded.`;
  const causes = differences.filter(({ follows }) => !follows).length;
  return `NOT verified: ${causes} ${causes === 1 ? "difference" : "differences"}.`;
}

function rangeText(from: number, to: number): string {
  return from === to ? `step ${from}` : `steps ${from} to ${to}`;
}
