/**
 * Puts the live view on a terminal, or plain lines into a pipe.
 *
 * @module
 */

import type { StepValues, TrainerEvent } from "../trainer/index.js";
import { isInteractive, type CommandIo } from "./io.js";
import { advance, INITIAL_PROGRESS, plainLine, render } from "./progress.js";

/** A place events are shown in. */
export interface ProgressView {
  /** Shows what an event changed. */
  show(event: TrainerEvent<StepValues>): void;
  /** Prints a line that stays, above the view. */
  note(line: string): void;
  /** Leaves the last state on the screen and gives the terminal back. */
  close(): void;
}

/** Milliseconds between redraws for progress within a step. */
const REDRAW_INTERVAL = 100;

const ESCAPE = "\u001b[";
const HIDE_CURSOR = `${ESCAPE}?25l`;
const SHOW_CURSOR = `${ESCAPE}?25h`;

/**
 * The view fit for `io.stderr`: redrawn in place on a terminal, else one line per event that matters.
 *
 * @param now milliseconds of a steady clock
 */
export function openProgressView(
  io: Pick<CommandIo, "stderr" | "env">,
  now: () => number = () => performance.now(),
): ProgressView {
  return isInteractive(io.stderr, io.env) ? openLiveView(io.stderr, now) : openPlainView(io.stderr);
}

function openPlainView(output: CommandIo["stderr"]): ProgressView {
  let state = INITIAL_PROGRESS;
  return {
    show(event) {
      state = advance(state, event);
      const line = plainLine(state, event);
      if (line !== undefined) output.write(`${line}\n`);
    },
    note: (line) => void output.write(`${line}\n`),
    close: () => undefined,
  };
}

function openLiveView(output: CommandIo["stderr"], now: () => number): ProgressView {
  let state = INITIAL_PROGRESS;
  let height = 0;
  let drawn = Number.NEGATIVE_INFINITY;
  const redraw = (before = ""): void => {
    // One column stays free: a full line would wrap on some terminals and spoil the count.
    const lines = render(state, (output.columns ?? 80) - 1);
    const up = height === 0 ? "" : `${ESCAPE}${height}A`;
    output.write(`${HIDE_CURSOR}${up}\r${ESCAPE}J${before}${lines.join("\n")}\n`);
    height = lines.length;
    drawn = now();
  };
  return {
    show(event) {
      state = advance(state, event);
      if (event.type !== "generate-progress" || now() - drawn >= REDRAW_INTERVAL) redraw();
    },
    note: (line) => redraw(`${line}\n`),
    close: () => void output.write(SHOW_CURSOR),
  };
}
