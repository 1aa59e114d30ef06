/**
 * The rise of a quickstart as SVG: rank correlation within the batch by step, and on unseen photographs before and after.
 *
 * @module
 */
import type { MetricsRecord } from "../runs/index.js";
import { mean } from "../stats/index.js";
import { estimatorColours, svgNumber } from "../trainer/index.js";
import type { EstimatorResult } from "../trainer/index.js";
import { valuesOf } from "./quickstart-text.js";
import type { EstimatorRise } from "./quickstart-text.js";

const WIDTH = 860;
const HEIGHT = 400;
const CURVE = { left: 56, right: 560, top: 56, bottom: 350 } as const;
const BARS = { left: 620, right: 840 } as const;
const LOWEST = -0.4;
/** Steps averaged for the thick line. */
const SMOOTHED = 10;

/** @param metrics of all steps, in order */
export function quickstartPlot(metrics: readonly MetricsRecord[], rise: readonly EstimatorRise[]): string {
  const values = valuesOf(metrics, "batch_srcc");
  const smooth = values.map((_, index) => mean(values.slice(Math.max(0, index - SMOOTHED + 1), index + 1))!);
  const x = (index: number): number =>
    CURVE.left + (index / Math.max(1, values.length - 1)) * (CURVE.right - CURVE.left);
  const line = (points: readonly number[], style: string): string =>
    `<polyline fill="none" ${style} points="${points.map((value, index) => `${svgNumber(x(index))},${svgNumber(y(value))}`).join(" ")}"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">`,
    "<title>Quickstart: learning to rank by reinforcement alone</title>",
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${CURVE.left}" y="26" font-size="16" font-weight="bold">Rank correlation with the labels (SRCC)</text>`,
    `<text x="${CURVE.left}" y="44">within the rollout batch, by step</text>`,
    `<text x="${BARS.left}" y="44">unseen photographs, before and after</text>`,
    ...[-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1].map((value) => gridLine(value)),
    line(values, 'stroke="#0072b2" stroke-opacity="0.25"'),
    line(smooth, 'stroke="#0072b2" stroke-width="2.5"'),
    `<text x="${CURVE.left}" y="${CURVE.bottom + 20}" text-anchor="middle">1</text>`,
    `<text x="${CURVE.right}" y="${CURVE.bottom + 20}" text-anchor="middle">${values.length}</text>`,
    `<text x="${(CURVE.left + CURVE.right) / 2}" y="${CURVE.bottom + 38}" text-anchor="middle">step</text>`,
    ...rise.flatMap((one, index) => estimatorMarks(one, index, rise.length)),
    "</svg>",
    "",
  ].join("\n");
}

function estimatorMarks({ estimator, before, after }: EstimatorRise, index: number, count: number): string[] {
  const centre = BARS.left + ((index + 0.5) * (BARS.right - BARS.left)) / count;
  const colour = estimatorColours[estimator];
  return [
    ...mark(before, centre - 14, `fill="#fff" stroke="${colour}" stroke-width="2"`, colour),
    ...mark(after, centre + 14, `fill="${colour}"`, colour),
    `<text x="${svgNumber(centre)}" y="${CURVE.bottom + 20}" text-anchor="middle" fill="${colour}">${estimator}</text>`,
  ];
}

/** A point with the 95 % interval; nothing where there is no correlation, as for a constant answer. */
function mark(one: EstimatorResult | null, x: number, style: string, colour: string): string[] {
  if (one === null || one.srcc === null) return [];
  const { srcc, srccInterval: interval } = one;
  const whisker =
    interval === null
      ? []
      : [
          `<line x1="${svgNumber(x)}" x2="${svgNumber(x)}" y1="${svgNumber(y(interval.low))}" y2="${svgNumber(y(interval.high))}" stroke="${colour}"/>`,
        ];
  return [...whisker, `<circle cx="${svgNumber(x)}" cy="${svgNumber(y(srcc))}" r="5" ${style}/>`];
}

function gridLine(value: number): string {
  const at = svgNumber(y(value));
  return [
    `<line x1="${CURVE.left}" x2="${BARS.right}" y1="${at}" y2="${at}" stroke="${value === 0 ? "#888" : "#e4e4e4"}"/>`,
    `<text x="${CURVE.left - 8}" y="${svgNumber(y(value) + 4)}" text-anchor="end">${value}</text>`,
  ].join("\n");
}

function y(value: number): number {
  return CURVE.bottom - ((Math.max(LOWEST, value) - LOWEST) / (1 - LOWEST)) * (CURVE.bottom - CURVE.top);
}
