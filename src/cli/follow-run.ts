/**
 * Shows a training run while it goes on, and turns Ctrl-C into "finish the step, save" and then into "stop now"; SIGTERM, which
 * schedulers send and may send again, into "save in time".
 *
 * @module
 */
import { RunError } from "../errors.js";
import type { Callbacks, RunResult, StepValues, TrainingRun } from "../trainer/index.js";
import type { CommandIo } from "./io.js";
import { openProgressView } from "./terminal.js";

/**
 * @param start starts the run with the options it is given
 * @param grace seconds that there are after SIGTERM
 * @returns the run's result
 */
export async function followRun<Metrics extends StepValues>(
  start: (options: {
    readonly signal: AbortSignal;
    readonly callbacks: Pick<Callbacks<Metrics>, "onSave">;
    readonly onNews: (sentence: string) => void;
  }) => TrainingRun<Metrics>,
  io: CommandIo,
  grace: number,
): Promise<RunResult<Metrics>> {
  const view = openProgressView(io);
  const abort = new AbortController();
  const run = start({
    signal: abort.signal,
    callbacks: { onSave: ({ step, checkpoint }) => view.note(`step ${step}  saved ${checkpoint}`) },
    onNews: (sentence) => view.note(`workers: ${sentence}`),
  });

  let asked = 0;
  const interrupt = (): void => {
    asked += 1;
    if (asked === 1) {
      view.note("stopping: the step under way is finished and saved; Ctrl-C again stops now");
      run.stop().catch(() => undefined);
    } else {
      view.note("stopping now: what is not saved is lost; resume from the last checkpoint");
      abort.abort(new RunError("RUN_INTERRUPTED", "interrupted twice: what was not saved is lost."));
    }
  };
  const terminate = (): void => {
    view.note(`SIGTERM: saving within ${grace} s; a step that takes longer than half of them is given up`);
    run.stop({ withinSeconds: grace }).catch(() => undefined);
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", terminate);
  try {
    for await (const event of run) view.show(event);
    return await run.result;
  } finally {
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", terminate);
    view.close();
  }
}
