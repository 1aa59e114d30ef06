import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../../src/cli/program.js";
import { beginCheckpoint, createRun } from "../../src/runs/index.js";
import { commandIo } from "./outputs.js";

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-cli-"));
  await using run = await createRun({ folder: join(folder, "output", "a"), config: {}, environment: {} });
  run.metrics(1, { reward: 0.5, kl: null, "rewards/format/mean": 0.25, learning_rate: 0.000001 });
  run.metrics(2, { reward: 1.23456, kl: 0.00012, "rewards/format/mean": 1, learning_rate: 0.000001 });
  const scores = { mos: 3.5, images: ["hash"] };
  run.rollouts(2, [
    { row: "p1", text: "bad", reward: 0, rewards: { format: 0, fidelity: null }, ...scores },
    { row: "p1", text: "two\nlines", reward: 1.5, rewards: { format: 1, fidelity: 0.5 }, ...scores },
  ]);
  await (await beginCheckpoint({ runFolder: run.folder, step: 2 })).commit();
  await (await createRun({ folder: join(folder, "output", "empty"), config: {}, environment: {} })).close();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function thurstone(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = commandIo(folder);
  const code = await runCommandLine(args, io);
  return { code, out: io.stdout.text(), err: io.stderr.text() };
}

describe("thurstone runs list", () => {
  it("shows the runs of ./output", async () => {
    const { code, out } = await thurstone("runs", "list");
    expect(code).toBe(0);
    expect(out).toBe(
      [
        "run    status  step  reward  checkpoints",
        "a      closed     2   1.235            1",
        "empty  closed     -       -            0",
        "",
      ].join("\n"),
    );
  });

  it("gives the same as JSON", async () => {
    const { out } = await thurstone("runs", "list", "output/a", "--json");
    expect(JSON.parse(out)).toEqual([
      { name: "a", folder: join(folder, "output", "a"), status: "closed", step: 2, reward: 1.23456, checkpoints: [2] },
    ]);
  });

  it("fails with the error's code for a folder that does not exist", async () => {
    const { code, err } = await thurstone("runs", "list", "nowhere");
    expect(code).toBe(1);
    expect(err).toMatch(/^RunError RUN_NOT_FOUND {2}.*nowhere is no folder\. Name the folder/);
  });

  it("says of a run that ended how it ended, in the run's own word", async () => {
    await using run = await createRun({ folder: join(folder, "ended", "b"), config: {}, environment: {} });
    run.event({ type: "run-end", step: 3, reason: "failed", message: "boom" });
    await run.close();
    const { out } = await thurstone("runs", "list", "ended", "--json");
    expect(JSON.parse(out)).toMatchObject([{ name: "b", status: "failed" }]);
  });
});

describe("thurstone runs metrics", () => {
  it("shows the watched metrics the run has", async () => {
    const { out } = await thurstone("runs", "metrics", "output/a");
    expect(out).toBe(
      [
        "step  reward  rewards/format/mean       kl",
        "   1     0.5                 0.25        -",
        "   2   1.235                    1  1.20e-4",
        "",
      ].join("\n"),
    );
  });

  it("shows named metrics of the last steps", async () => {
    const { out } = await thurstone("runs", "metrics", "output/a", "learning_rate", "kl", "--last", "1");
    expect(out).toBe(["step  learning_rate       kl", "   2        1.00e-6  1.20e-4", ""].join("\n"));
  });

  it("refuses a name that no step has, and offers the nearest", async () => {
    const { code, err } = await thurstone("runs", "metrics", "output/a", "reward", "rewards/formt/mean");
    expect(code).toBe(1);
    expect(err).toBe(
      'RunError RUN_UNKNOWN_METRIC  the run has no metric "rewards/formt/mean". Did you mean "rewards/format/mean"?\n',
    );
  });

  it("has nothing to show, and nothing to refuse, before the first step", async () => {
    const { code, out } = await thurstone("runs", "metrics", "output/empty", "reward");
    expect([code, out]).toEqual([0, "step  reward\n"]);
  });

  it("gives exact numbers as JSON", async () => {
    const { out } = await thurstone("runs", "metrics", "output/a", "reward", "--json");
    expect(JSON.parse(out)).toEqual([
      { step: 1, reward: 0.5 },
      { step: 2, reward: 1.23456 },
    ]);
  });
});

describe("thurstone runs rollouts", () => {
  it("shows the best completion of the last step first", async () => {
    const { out } = await thurstone("runs", "rollouts", "output/a", "--limit", "1");
    expect(out).toBe("row p1  reward 1.5  mos 3.5  format 1  fidelity 0.5\n    two\n    lines\n\n");
  });

  it("shows what rewards attached below the completion", async () => {
    await using run = await createRun({ folder: join(folder, "attached"), config: {}, environment: {} });
    const columns = { judge: { reason: "too\ndark", votes: 3 } };
    run.rollouts(1, [{ row: "p", text: "a", reward: 1, rewards: {}, columns, pictures: { judge: { heat: "0f" } } }]);
    expect((await thurstone("runs", "rollouts", "attached")).out).toBe(
      "row p  reward 1\n    a\n  judge.reason: too dark\n  judge.votes: 3\n  judge.heat: images/0f.webp\n\n",
    );
  });

  it("gives them as recorded as JSON", async () => {
    const { out } = await thurstone("runs", "rollouts", "output/a", "--step", "2", "--json");
    expect(JSON.parse(out)).toMatchObject([{ text: "bad" }, { text: "two\nlines" }]);
  });

  it("says when a step has none", async () => {
    expect((await thurstone("runs", "rollouts", "output/a", "--step", "9")).out).toBe(
      "no rollouts were recorded for step 9; there are some from step 2 to step 2\n",
    );
    expect((await thurstone("runs", "rollouts", "output/empty")).out).toBe("the run has recorded no rollouts\n");
  });

  it("lets no control character of a model's text reach the terminal", async () => {
    await using run = await createRun({ folder: join(folder, "control"), config: {}, environment: {} });
    run.rollouts(1, [{ row: "p", text: "a\u001b[2Jb\u202ec", reward: 1, rewards: {} }]);
    expect((await thurstone("runs", "rollouts", "control")).out).toBe("row p  reward 1\n    a [2Jb c\n\n");
  });
});
