/**
 * What the live view of a training knows and how it looks: pure functions from events to state to lines.
 *
 * @module
 */

import { byEstimator } from "../trainer/index.js";
import type {
  DatasetResult,
  HeldOutEvaluation,
  Sample,
  StepTimings,
  StepValues,
  TrainerEvent,
} from "../trainer/index.js";
import { formatDuration, formatNumber, printable } from "./table.js";

/** A metric by its name in `metrics.jsonl`, and the word shown. */
interface WatchedMetric {
  readonly name: string;
  readonly label: string;
}

const OF_REWARDS: readonly WatchedMetric[] = [
  { name: "reward", label: "reward" },
  { name: "reward_std", label: "reward_std" },
  { name: "rewards/format/mean", label: "format" },
  { name: "kl", label: "kl" },
  { name: "entropy", label: "entropy" },
  { name: "grad_norm", label: "grad_norm" },
  { name: "completions/mean_length", label: "length" },
];
const OF_ANSWERS: readonly WatchedMetric[] = [
  { name: "loss", label: "loss" },
  { name: "entropy", label: "entropy" },
  { name: "grad_norm", label: "grad_norm" },
  { name: "learning_rate", label: "lr" },
  { name: "num_tokens", label: "tokens" },
];

/** The few metrics that tell how a run goes, of those it has; a run without rewards is one of `sft`. */
export function watchedMetrics(values: StepValues): WatchedMetric[] {
  return ("reward" in values ? OF_REWARDS : OF_ANSWERS).filter(({ name }) => name in values);
}

/** Everything the view shows. */
export interface ProgressState {
  /** Last finished optimizer step, and steps planned; 0 planned steps: not known yet. */
  readonly step: number;
  readonly steps: number;
  /** Of the latest steps, newest last. */
  readonly timings: readonly StepTimings[];
  readonly metrics: StepValues | null;
  readonly sample: Sample | null;
  /** The latest evaluation. */
  readonly evaluation: Omit<HeldOutEvaluation, "step">;
  /** What is going on right now, in words. */
  readonly activity: string;
  /** Latest alarms, by name. */
  readonly alarms: Readonly<Record<string, string>>;
}

/** How many steps the estimate of the remaining time looks back on. */
const WINDOW = 20;

/** Lines a sample completion may take. */
const SAMPLE_LINES = 4;

export const INITIAL_PROGRESS: ProgressState = {
  step: 0,
  steps: 0,
  timings: [],
  metrics: null,
  sample: null,
  evaluation: { results: [] },
  activity: "loading the model",
  alarms: {},
};

/** The state after an event. */
export function advance(state: ProgressState, event: TrainerEvent<StepValues>): ProgressState {
  switch (event.type) {
    case "run-start":
      return { ...state, step: event.resumedFrom, steps: event.plan.steps };
    case "step-start":
      return { ...state, activity: `step ${event.step}` };
    case "generate-progress":
      return { ...state, activity: `step ${event.step}: sampling, ${event.tokens} tokens, ${event.finished} finished` };
    case "rollout-end":
      return { ...state, activity: `step ${event.step}: updating`, sample: event.sample ?? state.sample };
    case "step-end":
      return {
        ...state,
        step: event.step,
        steps: event.steps,
        metrics: event.metrics,
        sample: event.sample ?? state.sample,
        timings: [...state.timings, event.timings].slice(-WINDOW),
      };
    case "eval-end":
      return { ...state, evaluation: event };
    case "checkpoint-end":
      return { ...state, activity: `checkpoint of step ${event.step} saved` };
    case "fidelity-warmup-end":
      return { ...state, activity: `step ${event.step}: ${event.message}` };
    case "alarm":
      return { ...state, alarms: { ...state.alarms, [event.name]: `step ${event.step}: ${event.message}` } };
    case "run-end":
      return { ...state, activity: `${event.reason} after step ${event.step}` };
  }
}

/** The view as lines of at most `width` characters: bar, metrics, evaluation, alarms, sample, activity. */
export function render(state: ProgressState, width: number): string[] {
  const lines = [
    barLine(state, width),
    ...wrap([...metricParts(state), ...state.timings.slice(-1).map(shareText)], width),
    ...evaluationTexts(state.evaluation),
    ...Object.entries(state.alarms).map(([name, text]) => `! ${name}, ${text}`),
    ...sampleLines(state.sample, width),
    state.activity,
  ];
  return lines.map((line) => cut(line, width));
}

/**
 * One line for a log file or a pipe; undefined for events that would only be noise there. Saved checkpoints are told by
 * the command's own callback.
 */
export function plainLine(state: ProgressState, event: TrainerEvent<StepValues>): string | undefined {
  switch (event.type) {
    case "step-end":
      return [
        `step ${event.step}/${event.steps}`,
        ...metricParts(state),
        ...timeParts(state),
        shareText(event.timings),
      ].join("  ");
    case "eval-end":
      return evaluationTexts(event)
        .map((text) => `step ${event.step}  ${text}`)
        .join("\n");
    case "fidelity-warmup-end":
      return `step ${event.step}  ${event.message}`;
    case "alarm":
      return `step ${event.step}  ! ${event.name}: ${event.message}`;
    case "run-end":
      return [`${event.reason} after step ${event.step}`, ...(event.model === null ? [] : [event.model])].join(": ");
    case "run-start":
      return [`run folder: ${event.folder}`, ...event.mismatches].join("\n");
    default:
      return undefined;
  }
}

function barLine(state: ProgressState, width: number): string {
  if (state.steps === 0) return "";
  const text = [` ${state.step}/${state.steps}`, ...timeParts(state)].join("  ");
  const room = Math.max(10, Math.min(40, width - text.length - 2));
  const done = Math.floor((state.step / state.steps) * room);
  return `[${"#".repeat(done)}${"-".repeat(room - done)}]${text}`;
}

function timeParts({ timings, step, steps }: ProgressState): string[] {
  if (timings.length === 0) return [];
  const mean = timings.reduce((sum, { total }) => sum + total, 0) / timings.length;
  const remaining = step < steps ? [`ETA ${formatDuration(mean * (steps - step))}`] : [];
  return [`${formatNumber(Number(mean.toPrecision(3)))} s/step`, ...remaining];
}

/** Whose time a step was, and what crossed the bridge for it. */
function shareText({ total, worker, bridge, control, bytesSent, bytesReceived }: StepTimings): string {
  const percent = (seconds: number): string => `${total === 0 ? 0 : Math.round((100 * seconds) / total)} %`;
  const megabytes = formatNumber(Number(((bytesSent + bytesReceived) / 1e6).toPrecision(2)));
  return `worker ${percent(worker - bridge)}, bridge ${percent(bridge)}, TypeScript ${percent(control)}, ${megabytes} MB`;
}

function metricParts({ metrics }: ProgressState): string[] {
  if (metrics === null) return [];
  const known = watchedMetrics(metrics).filter(({ name }) => metrics[name] !== null);
  return known.map(({ name, label }) => `${label} ${formatNumber(metrics[name])}`);
}

function evaluationTexts({ loss, results }: Omit<HeldOutEvaluation, "step">): string[] {
  return [...(loss === undefined ? [] : [`held out: loss ${formatNumber(loss)}`]), ...results.map(evaluationText)];
}

function evaluationText(result: DatasetResult): string {
  const measured = byEstimator(result).flatMap(([name, { srcc, formatRate }]) => [
    `${name} srcc ${formatNumber(srcc)}`,
    ...(formatRate === null ? [] : [`format ${formatNumber(formatRate)}`]),
  ]);
  return [`held out: ${result.dataset}, ${result.n} pictures`, ...measured].join("  ");
}

function sampleLines(sample: Sample | null, width: number): string[] {
  if (sample === null) return [];
  const mos = sample.mos === null ? "" : `, mos ${formatNumber(sample.mos)}`;
  const words = printable(sample.text).split(" ");
  const text = wrap(words, width - 2, " ");
  const shown = text.length > SAMPLE_LINES ? [...text.slice(0, SAMPLE_LINES - 1), "..."] : text;
  return [`sample ${sample.row}: reward ${formatNumber(sample.reward)}${mos}`, ...shown.map((line) => `  ${line}`)];
}

/** Joins the parts into as few lines as fit; a part longer than a line gets one of its own. */
function wrap(parts: readonly string[], width: number, separator = "  "): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + separator.length + part.length <= width)
      lines[lines.length - 1] = last + separator + part;
    else lines.push(part);
  }
  return lines;
}

function cut(line: string, width: number): string {
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 3))}...`;
}
