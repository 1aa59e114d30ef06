import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { pythonReward, scoreRewards } from "../../src/index.js";
import type { PythonRewardOptions, Reward, ScoredRewards } from "../../src/index.js";
import { pythoniasOf, runs, writePythonRewards } from "../support/python-rewards.js";

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "thurstone-python-reward-"));
  path = writePythonRewards(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const opened: Reward[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map(async (reward) => reward.close?.()));
  expect(pythoniasOf(process.pid)).toEqual([]);
});

function reward(name: string, more: Partial<PythonRewardOptions> = {}): Reward {
  const made = pythonReward({ path, function: name, timeoutMs: 60_000, ...more });
  opened.push(made);
  return made;
}

/** Two prompts with two completions and with one. */
const groups = [
  { id: "a", mos: 1.5, texts: ["one", "three"] },
  { id: "b", mos: 4, mosStd: 0.5, texts: ["eleven"] },
].map(({ texts, ...row }, prompt) => ({
  prompt: {
    row: {
      ...row,
      messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: "Rate it." }] }],
      images: [`/pictures/${row.id}.png`],
      extra: prompt === 0 ? { weather: { rain: true } } : {},
    },
  },
  completions: texts.map((text, index) => ({ text, tokenIds: [prompt, index], finishReason: "stop" as const })),
}));

async function values(one: Reward): Promise<ScoredRewards["totals"]> {
  return (await scoreRewards(groups, [one], { step: 7 })).totals;
}

async function failure(one: Reward, signal?: AbortSignal): Promise<Error & { fields: Record<string, unknown> }> {
  const options = { step: 7, ...(signal && { signal }) };
  return scoreRewards(groups, [one], options).then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => error as Error & { fields: Record<string, unknown> },
  );
}

describe("a Python reward", () => {
  it("is called in TRL's signature and named after its function, whatever it prints", async () => {
    const made = reward("text_length");
    expect(made.name).toBe("text_length");
    expect(await values(made)).toEqual([[3.5, 5.5], [6.5]]);
  });

  it("sees prompts, completions, ids and all fields of the rows, one entry per completion", async () => {
    await values(reward("sees", { template: "Well. {Question}" }));
    const content = (id: string) => [
      { type: "image", image: `/pictures/${id}.png` },
      { type: "text", text: "Well. Rate it." },
    ];
    expect(JSON.parse(readFileSync(join(folder, "seen.json"), "utf8"))).toEqual([
      ["a", "a", "b"].map((id) => [{ role: "user", content: content(id) }]),
      ["one", "three", "eleven"].map((text) => [{ role: "assistant", content: text }]),
      [
        [0, 0],
        [0, 1],
        [1, 0],
      ],
      {
        id: ["a", "a", "b"],
        mos: [1.5, 1.5, 4],
        mos_std: [null, null, 0.5],
        images: [["/pictures/a.png"], ["/pictures/a.png"], ["/pictures/b.png"]],
        weather: [{ rain: true }, { rain: true }, null],
      },
      6,
      "",
    ]);
  });

  it("gets plain texts in the standard format", async () => {
    expect(await values(reward("plain_length", { format: "standard" }))).toEqual([[3, 5], [6]]);
    await values(reward("sees", { format: "standard" }));
    const [prompts] = JSON.parse(readFileSync(join(folder, "seen.json"), "utf8")) as [string[]];
    expect(prompts).toEqual(["Rate it.", "Rate it.", "Rate it."]);
  });

  it("may leave completions unjudged, return what is like a number, or be async", async () => {
    expect(await values(reward("shy"))).toEqual([[null, 1], [2]]);
    expect(await values(reward("number_like"))).toEqual([[2.5, 2.5], [2.5]]);
    expect(await values(reward("awaited"))).toEqual([[1, 1], [1]]);
  });

  it("keeps its module from step to step", async () => {
    const made = reward("counts_calls");
    await values(made);
    expect(await values(made)).toEqual([[2, 2], [2]]);
  });

  it("takes a batch of many megabytes", async () => {
    const long = "x".repeat(200_000);
    const many = Array.from({ length: 100 }, () => ({ text: long, tokenIds: [], finishReason: "stop" as const }));
    const { totals } = await scoreRewards([{ prompt: { row: {} }, completions: many }], [reward("text_length")]);
    expect(totals).toEqual([many.map(() => 200_000.5)]);
  });

  it("refuses fields that are called as an argument of every reward function", async () => {
    const batch = [{ prompt: { row: { completions: 1 } }, completions: groups[0]!.completions }];
    await expect(scoreRewards(batch, [reward("text_length")])).rejects.toMatchObject({
      code: "REWARD_ROW",
      message: expect.stringContaining('rows have a field "completions"') as string,
    });
  });
});

describe("what goes wrong in Python ends as an error of the reward and the step:", () => {
  const named = { name: "RewardError", fields: expect.objectContaining({ step: 7 }) as unknown };

  it("an exception, with its traceback, and the next call goes on in the same process", async () => {
    const made = reward("raises");
    const error = await failure(made);
    expect(error).toMatchObject({ ...named, code: "REWARD_PYTHON_RAISED", fields: { reward: "raises" } });
    expect(error.message).toMatch(
      /^the reward "raises" failed: rewards\.py:raises raised ValueError: no such picture, at rewards\.py:\d+ \(step 7\)\.$/,
    );
    expect(error.fields["traceback"]).toMatch(
      /^Traceback \(most recent call last\):\n {2}File ".*rewards\.py".*\n.*raise ValueError/,
    );
    expect(error.fields["traceback"]).not.toContain("thurstone_runtime");
    const before = pythoniasOf(process.pid);
    await failure(made);
    expect(pythoniasOf(process.pid)).toEqual(before);
  });

  it("sys.exit()", async () => {
    const error = await failure(reward("leaves"));
    expect(error).toMatchObject({ ...named, code: "REWARD_PYTHON_RAISED" });
    expect(error.message).toContain("SystemExit: enough");
  });

  it("NaN and infinity, with the row", async () => {
    for (const [name, value] of [
      ["not_a_number", "NaN"],
      ["infinite", "-Infinity"],
    ] as const) {
      const error = await failure(reward(name));
      expect(error).toMatchObject({ ...named, code: "REWARD_NOT_A_NUMBER", fields: { row: "a", sample: 0 } });
      expect(error.message).toContain(`returned ${value};`);
    }
  });

  it("a wrong count, no list, and entries that are no numbers", async () => {
    expect(await failure(reward("too_few"))).toMatchObject({
      ...named,
      code: "REWARD_SHAPE",
      message: expect.stringContaining("it returned 1 values; expected a number or None for each of the 3") as string,
    });
    expect(await failure(reward("one_value"))).toMatchObject({
      ...named,
      code: "REWARD_SHAPE",
      message: expect.stringContaining("it returned a value of type float") as string,
    });
    expect(await failure(reward("texts"))).toMatchObject({
      ...named,
      code: "REWARD_NOT_A_NUMBER",
      message: expect.stringContaining("it returned a value of type str for completion 0 of 3") as string,
    });
  });

  it("an import error, a function and a file that are not there", async () => {
    const broken = await failure(reward("never", { path: join(folder, "broken.py") }));
    expect(broken).toMatchObject({ ...named, code: "REWARD_PYTHON_RAISED" });
    expect(broken.message).toContain("ModuleNotFoundError: No module named 'no_such_package', at broken.py:1");
    const unknown = await failure(reward("text_lenght"));
    expect(unknown).toMatchObject({ ...named, code: "REWARD_PYTHON_RAISED" });
    expect(unknown.message).toMatch(/rewards\.py has no function 'text_lenght'; it has .*text_length/);
    const missing = await failure(reward("never", { path: join(folder, "nowhere.py") }));
    expect(missing).toMatchObject({ ...named, code: "REWARD_PYTHON_FILE" });
    expect(missing.message).toContain(`there is no file ${join(folder, "nowhere.py")}`);
  });

  it("os._exit(), after which the next call starts Python anew", async () => {
    const made = reward("dies");
    const error = await failure(made);
    expect(error).toMatchObject({ ...named, code: "REWARD_PYTHON_DIED", fields: { status: "3" } });
    expect(error.message).toMatch(/Python \(.*\) ended with exit status 3 while rewards\.py:dies ran\. .*last words/s);
    expect(pythoniasOf(process.pid)).toEqual([]);
    expect(await values(made)).toEqual([[1, 1], [1]]);
  });

  it("a segmentation fault", async () => {
    const error = await failure(reward("crashes"));
    expect(error).toMatchObject({ ...named, code: "REWARD_PYTHON_DIED", fields: { status: "SIGSEGV" } });
    expect(error.message).toContain("ended with SIGSEGV while rewards.py:crashes ran");
  });

  it("a Python that cannot be started", async () => {
    const location = { python: "/nowhere/python", pythonPath: "", source: "PYTHON_BIN" as const };
    const error = await failure(reward("text_length", { location }));
    expect(error).toMatchObject({ ...named, code: "REWARD_PYTHON_DIED" });
    expect(error.message).toContain("Python (/nowhere/python) ended while");
  });

  /** What a function that hangs left a note of, once it has been called; however long Python takes to start. */
  const pidsOf = async (call: (deadline: number) => Promise<unknown>): Promise<number[]> => {
    const file = join(folder, "pids.json");
    rmSync(file, { force: true });
    for (let deadline = 5_000; !existsSync(file) && deadline < 60_000; deadline *= 3) await call(deadline);
    return JSON.parse(readFileSync(file, "utf8")) as number[];
  };

  it("a hang, and kills Python with what it started", async () => {
    const pids = await pidsOf(async (timeoutMs) => {
      const error = await failure(reward("hangs", { timeoutMs }));
      expect(error).toMatchObject({ ...named, code: "REWARD_PYTHON_TIMEOUT" });
      expect(error.message).toMatch(/rewards\.py:hangs gave no answer within \d+ s, and its Python was killed\. Raise/);
    });
    expect(pids).toHaveLength(2);
    await expect.poll(() => pids.filter(runs)).toEqual([]);
  });

  it("a hang of any length: no limit but its own, which kills Python, is in force", () => {
    expect(pythonReward({ path: "rewards.py", function: "hangs", timeoutMs: 3_600_000 }).calls.timeoutMs).toBeNull();
  });

  it("an abort, which kills it as well", async () => {
    const abort = new AbortController();
    const pids = await pidsOf(async () => {
      const failed = failure(reward("hangs"), abort.signal);
      await expect.poll(() => existsSync(join(folder, "pids.json")), { timeout: 60_000 }).toBe(true);
      abort.abort(new Error("no patience"));
      expect((await failed).message).toBe("no patience");
    });
    expect(pids).toHaveLength(2);
    await expect.poll(() => pids.filter(runs)).toEqual([]);
  });
});

describe("a deadline", () => {
  it.each([0, -1, Number.NaN, 2 ** 31])("of %s ms is refused", (timeoutMs) => {
    expect(() => pythonReward({ path, function: "text_length", timeoutMs })).toThrow("timeoutMs of the Python reward");
  });
});
