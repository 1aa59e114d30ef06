import { describe, expect, it } from "vitest";
import { openProgressView } from "../../src/cli/terminal.js";
import { keptOutput } from "./outputs.js";

const progress = (tokens: number) => ({ type: "generate-progress", step: 1, tokens, finished: 0 }) as const;

describe("a terminal", () => {
  it("is redrawn in place, at most ten times a second within a step, and keeps notes above the view", () => {
    const stderr = keptOutput({ columns: 80 });
    let time = 0;
    const view = openProgressView({ stderr, env: {} }, () => time);
    view.show(progress(1));
    time = 99;
    view.show(progress(2));
    time = 100;
    view.show(progress(3));
    view.note("saved");
    view.close();
    const [hide, clear] = ["\u001b[?25l", "\r\u001b[J"];
    expect(stderr.text()).toBe(
      `${hide}${clear}\nstep 1: sampling, 1 tokens, 0 finished\n` +
        `${hide}\u001b[2A${clear}\nstep 1: sampling, 3 tokens, 0 finished\n` +
        `${hide}\u001b[2A${clear}saved\n\nstep 1: sampling, 3 tokens, 0 finished\n` +
        "\u001b[?25h",
    );
  });
});

describe("anything else", () => {
  it.each([
    ["a pipe", keptOutput(), {}],
    ["NO_COLOR", keptOutput({ columns: 80 }), { NO_COLOR: "1" }],
    ["a dumb terminal", keptOutput({ columns: 80 }), { TERM: "dumb" }],
  ])("gets plain lines: %s", (_, stderr, env) => {
    const view = openProgressView({ stderr, env });
    view.show(progress(1));
    view.show({ type: "alarm", step: 5, name: "entropy", message: "low" });
    view.note("saved");
    view.close();
    expect(stderr.text()).toBe("step 5  ! entropy: low\nsaved\n");
  });
});
