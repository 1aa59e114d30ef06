/**
 * Predictions against labels as SVG: one panel per estimator, with the curve that was fitted on the same labels.
 *
 * @module
 */
import { SCORE_RANGE } from "../../rewards/index.js";
import { byEstimator } from "./results.js";
import type { DatasetResult, EstimatorResult, Prediction } from "./results.js";
import { estimatorColours, svgNumber } from "./svg.js";

const PANEL = { width: 380, height: 372, left: 54, right: 14, top: 58, bottom: 50 } as const;
const TITLE = 34;
const CURVE = "#c0143c";
/** Pieces of the fitted curve. */
const PIECES = 80;
/** Ticks of the labels' axis, about. */
const TICKS = 5;

type Scale = (value: number) => number;

/** @param predictions of this data set, of all estimators */
export function plotSvg(result: DatasetResult, predictions: readonly Prediction[]): string {
  const panels = byEstimator(result);
  const labels = predictions.map(({ mos }) => mos).filter((mos) => mos !== null);
  const ticks = niceTicks(least(labels), most(labels));
  const width = PANEL.width * panels.length;
  const height = TITLE + PANEL.height;
  const body = panels.map(([name, measured], index) => {
    const own = predictions.filter(({ estimator }) => estimator === name);
    const content = panel({ title: name, colour: estimatorColours[name], measured, predictions: own, ticks });
    return `<g transform="translate(${index * PANEL.width} ${TITLE})">\n${content}\n</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#222">`,
    `<title>${escaped(result.dataset)}: predictions against labels</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${PANEL.left}" y="24" font-size="16" font-weight="bold">${escaped(result.dataset)}, ${result.n} pictures</text>`,
    ...body,
    "</svg>",
    "",
  ].join("\n");
}

interface PanelOptions {
  readonly title: string;
  readonly colour: string;
  readonly measured: EstimatorResult;
  readonly predictions: readonly Prediction[];
  readonly ticks: readonly number[];
}

function panel({ title, colour, measured, predictions, ticks }: PanelOptions): string {
  const [left, right] = [PANEL.left, PANEL.width - PANEL.right];
  const [top, bottom] = [PANEL.top, PANEL.height - PANEL.bottom];
  const { minimum, maximum } = SCORE_RANGE;
  const x: Scale = (score) => left + ((score - minimum) / (maximum - minimum)) * (right - left);
  const [lowest, highest] = [ticks[0]!, ticks.at(-1)!];
  const y: Scale = (mos) => bottom - ((mos - lowest) / (highest - lowest)) * (bottom - top);
  const scores = Array.from({ length: maximum - minimum + 1 }, (_, index) => minimum + index);
  const points = predictions.filter(({ score, mos }) => score !== null && mos !== null);
  const opacity = points.length > 1000 ? 0.25 : 0.55;
  const decimals = ticks.some((tick) => !Number.isInteger(tick)) ? 1 : 0;
  return [
    `<text x="${left}" y="16" font-weight="bold" fill="${colour}">${title}</text>`,
    `<text x="${left}" y="32">${headline(measured)}</text>`,
    `<text x="${left}" y="48" fill="${CURVE}">${fittedLine(measured)}</text>`,
    ...scores.map((score) => grid(x(score), bottom, x(score), top)),
    ...ticks.map((tick) => grid(left, y(tick), right, y(tick))),
    ...scores.map((score) => text(x(score), bottom + 17, String(score), "middle")),
    ...ticks.map((tick) => text(left - 7, y(tick) + 4, tick.toFixed(decimals), "end")),
    text((left + right) / 2, bottom + 38, "predicted score", "middle"),
    `<text transform="translate(14 ${svgNumber((top + bottom) / 2)}) rotate(-90)" text-anchor="middle">label (MOS)</text>`,
    `<g fill="${colour}" fill-opacity="${opacity}">`,
    ...points.map(({ score, mos }) => `<circle cx="${svgNumber(x(score!))}" cy="${svgNumber(y(mos!))}" r="2.6"/>`),
    "</g>",
    ...curve(measured, points, x, y),
    `<rect x="${left}" y="${top}" width="${right - left}" height="${bottom - top}" fill="none" stroke="#444"/>`,
  ].join("\n");
}

function headline({ srcc, srccInterval, plcc, scored }: EstimatorResult): string {
  const range = srccInterval === null ? "" : ` [${short(srccInterval.low)}, ${short(srccInterval.high)}]`;
  return `SRCC ${short(srcc)}${range}, PLCC ${short(plcc)}, n ${scored}`;
}

function fittedLine({ fitted }: EstimatorResult): string {
  if (fitted === null) return "no logistic fit";
  return `fitted on test: PLCC ${short(fitted.plcc)}, RMSE ${fitted.rmse.toFixed(3)}`;
}

/** The logistic, over the predictions it was fitted to. */
function curve({ fitted }: EstimatorResult, points: readonly Prediction[], x: Scale, y: Scale): string[] {
  if (fitted === null) return [];
  const [high, low, centre, width] = fitted.parameters;
  const scores = points.map(({ score }) => score!);
  const [from, to] = [least(scores), most(scores)];
  const path = Array.from({ length: PIECES + 1 }, (_, index) => {
    const score = from + ((to - from) * index) / PIECES;
    const value = low + (high - low) / (1 + Math.exp(-(score - centre) / width));
    return `${svgNumber(x(score))},${svgNumber(y(value))}`;
  });
  return [`<polyline points="${path.join(" ")}" fill="none" stroke="${CURVE}" stroke-width="2"/>`];
}

function grid(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${svgNumber(x1)}" y1="${svgNumber(y1)}" x2="${svgNumber(x2)}" y2="${svgNumber(y2)}" stroke="#e4e4e4"/>`;
}

function text(x: number, y: number, content: string, anchor: "middle" | "end"): string {
  return `<text x="${svgNumber(x)}" y="${svgNumber(y)}" text-anchor="${anchor}">${content}</text>`;
}

/** Round numbers from below the least to above the greatest. */
function niceTicks(from: number, to: number): number[] {
  if (!(from < to)) return niceTicks((Number.isFinite(from) ? from : 1) - 0.5, (Number.isFinite(to) ? to : 1) + 0.5);
  const rough = (to - from) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough)!;
  const first = Math.floor(from / step);
  return Array.from({ length: Math.ceil(to / step) - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Infinity);
}

function most(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}

function short(value: number | null): string {
  return value === null ? "-" : value.toFixed(3);
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
