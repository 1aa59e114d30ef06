/**
 * The results of `bench/losses.ts` as a Markdown table and as SVG curves.
 *
 * @module
 */
import { mean, standardDeviation } from "../../src/stats/index.js";
import { svgNumber } from "../../src/trainer/index.js";
import type { LossesResult } from "./losses-runs.js";

/** Steps that are averaged: at the end in the table, behind each point of a curve. */
const SMOOTHED = 10;
/** Okabe and Ito's colours, told apart by people who do not see red and green as well. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"] as const;
const HEIGHT = 360;
const TOP = 60;
const BOTTOM = 310;
const PANELS = [
  { name: "reward", title: "Reward", left: 60, right: 410 },
  { name: "srcc", title: "Rank correlation in the batch (SRCC)", left: 480, right: 830 },
] as const;

type Curve = readonly (number | null)[];

/** One line per loss type: means over the seeds, and single values. */
export function lossesTable(results: readonly LossesResult[]): string {
  const header = [
    "loss_type",
    "seeds",
    "reward at the end",
    "SRCC in the batch at the end",
    "SRCC before",
    "SRCC after",
    "single runs",
    "seconds",
  ];
  const rows = byLoss(results).map(([loss, runs]) => [
    loss,
    runs.map(({ seed }) => seed).join(", "),
    withDeviation(runs.map(({ reward }) => endOf(reward))),
    withDeviation(runs.map(({ srcc }) => endOf(srcc))),
    withDeviation(runs.map(({ before }) => before)),
    withDeviation(runs.map(({ after }) => after)),
    runs.map(({ after }) => text(after)).join(" / "),
    String(Math.round(mean(runs.map(({ seconds }) => seconds))!)),
  ]);
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

/** Reward and rank correlation by step: each seed thin, the mean of a loss type thick. */
export function lossesPlot(results: readonly LossesResult[]): string {
  const groups = byLoss(results);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="960" height="${HEIGHT}" viewBox="0 0 960 ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">`,
    "<title>Loss types on the quickstart's data</title>",
    `<rect width="960" height="${HEIGHT}" fill="#fff"/>`,
    ...PANELS.flatMap((panel) => panelOf(panel, groups)),
    ...groups.flatMap(([loss], index) => [
      `<rect x="850" y="${TOP + 22 * index}" width="14" height="4" fill="${colourOf(index)}"/>`,
      `<text x="870" y="${TOP + 6 + 22 * index}">${loss}</text>`,
    ]),
    "</svg>",
    "",
  ].join("\n");
}

function panelOf(
  { name, title, left, right }: (typeof PANELS)[number],
  groups: readonly (readonly [string, readonly LossesResult[]])[],
): string[] {
  const curves = groups.map(([, runs]) => runs.map((run) => smooth(run[name])));
  const known = curves.flat(2).filter((value) => value !== null);
  if (known.length === 0) return [];
  const low = known.reduce((a, b) => Math.min(a, b));
  const high = known.reduce((a, b) => Math.max(a, b));
  const decimals = high - low < 0.1 ? 3 : 2;
  const steps = curves.flat().reduce((most, { length }) => Math.max(most, length), 0);
  const x = (step: number): number => left + (step / Math.max(1, steps - 1)) * (right - left);
  const y = (value: number): number => BOTTOM - ((value - low) / (high - low || 1)) * (BOTTOM - TOP);
  const line = (curve: Curve, style: string): string => {
    const points = curve.flatMap((value, step) =>
      value === null ? [] : [`${svgNumber(x(step))},${svgNumber(y(value))}`],
    );
    return `<polyline fill="none" ${style} points="${points.join(" ")}"/>`;
  };
  return [
    `<text x="${left}" y="30" font-size="16" font-weight="bold">${title}</text>`,
    ...[low, (low + high) / 2, high].flatMap((value) => [
      `<line x1="${left}" x2="${right}" y1="${svgNumber(y(value))}" y2="${svgNumber(y(value))}" stroke="#e4e4e4"/>`,
      `<text x="${left - 6}" y="${svgNumber(y(value) + 4)}" text-anchor="end">${value.toFixed(decimals)}</text>`,
    ]),
    `<text x="${left}" y="${BOTTOM + 18}" text-anchor="middle">1</text>`,
    `<text x="${right}" y="${BOTTOM + 18}" text-anchor="middle">${steps}</text>`,
    `<text x="${(left + right) / 2}" y="${BOTTOM + 34}" text-anchor="middle">step, mean of the last ${SMOOTHED}</text>`,
    ...curves.flatMap((runs, index) => [
      ...runs.map((curve) => line(curve, `stroke="${colourOf(index)}" stroke-opacity="0.2"`)),
      line(meanCurve(runs), `stroke="${colourOf(index)}" stroke-width="2"`),
    ]),
  ];
}

function byLoss(results: readonly LossesResult[]): (readonly [string, readonly LossesResult[]])[] {
  const names = [...new Set(results.map(({ loss }) => loss))];
  return names.map((name) => [name, results.filter(({ loss }) => loss === name)] as const);
}

function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}

const present = (values: Curve): number[] => values.filter((value) => value !== null);
const endOf = (curve: Curve): number | null => mean(present(curve.slice(-SMOOTHED)));
const smooth = (curve: Curve): Curve =>
  curve.map((_, step) => mean(present(curve.slice(Math.max(0, step - SMOOTHED + 1), step + 1))));

function meanCurve(curves: readonly Curve[]): Curve {
  const steps = curves.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: steps }, (_, step) => mean(present(curves.map((curve) => curve[step] ?? null))));
}

function withDeviation(values: Curve): string {
  const deviation = standardDeviation(present(values));
  return deviation === null ? text(mean(present(values))) : `${text(mean(present(values)))} +- ${text(deviation)}`;
}

function text(value: number | null): string {
  return value === null ? "-" : value.toFixed(3);
}
