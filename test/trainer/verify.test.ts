import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defineReward, sft, verifyRun } from "../../src/index.js";
import type { ConfigInput, Verification } from "../../src/index.js";
import { createFakeWorker } from "../../src/testing/index.js";
import type { FakePrompt } from "../../src/testing/index.js";
import { copyRun, editCompletions, editFile, editLines } from "../support/altered-run.js";
import { createDataSet } from "../support/data-set.js";
import type { DataSet } from "../support/data-set.js";
import { meddle, runFake, withResult } from "../support/fake-run.js";
import { causesOf, complete, recordRun, verify } from "../support/verified-run.js";

let set: DataSet;
/** Four steps, checkpoints after 2 and 4. */
let run: string;
beforeAll(async () => {
  set = await createDataSet();
  run = await recordRun(set, "run");
});
afterAll(() => set.remove());

describe("an honest run agrees", () => {
  it("to the last step, from the model on, checkpoints and metrics included", async () => {
    const verification = await verify(run);
    expect(verification.differences).toEqual([]);
    expect(verification).toMatchObject({
      agrees: true,
      asked: { from: 1, to: 4 },
      from: 1,
      to: 4,
      checkpoint: null,
      otherMachine: [],
      resampled: false,
    });
    expect(Object.keys(verification.digests)).toEqual(["2", "4"]);
    const [whole, , second] = verification.steps;
    expect(whole!.compared).toMatchObject({ data: { all: 1 }, prompt: { all: 1 } });
    expect(whole!.compared.configuration!.all).toBeGreaterThan(50);
    // 12 completions: a text, a count of tokens and an end each, two rewards and their total, one advantage and what the KL took.
    expect(second!.compared).toMatchObject({
      completion: { all: 36, differing: 0 },
      reward: { all: 36, differing: 0 },
      advantage: { all: 24, differing: 0 },
      picture: { all: 3, differing: 0 },
      checkpoint: { all: 3, differing: 0 },
    });
    expect(second!.compared.metric!.all).toBeGreaterThan(20);
    expect(verification.notCompared).toEqual([
      expect.stringContaining("files of the model none"),
      expect.stringContaining("Evaluations on held-out rows"),
      expect.stringContaining("Keys of config.resolved.yaml that change no number"),
      expect.stringContaining("Evaluations and fingerprint in trainer.json"),
      expect.stringContaining("In logs, the number and the time of a line"),
      expect.stringContaining("Files that belong to no step that was executed"),
    ]);
  });

  it("in one step, from the nearest checkpoint, with the steps between on the way", async () => {
    expect(await verify(run, { from: 3, to: 3 })).toMatchObject({
      agrees: true,
      from: 3,
      to: 3,
      checkpoint: join(run, "checkpoints/step_000002"),
      notCompared: expect.arrayContaining([
        "The exported model: it is of step 4, which was not executed; verifying that step compares it.",
        "The weights after step 3: the run took no checkpoint there (it took those of steps 2, 4); verifying up to step 4 compares them there.",
      ]) as string[],
    });
    expect(await verify(run, { from: 2, to: 2 })).toMatchObject({ agrees: true, from: 1, to: 2, checkpoint: null });
  });

  it("when its completions are drawn again", async () => {
    const worker = createFakeWorker({ complete });
    expect(await verify(run, { from: 3, resample: true }, worker)).toMatchObject({ agrees: true, resampled: true });
    expect(worker.calls.filter(({ method }) => method === "generate")).toHaveLength(2);
    const taken = createFakeWorker({ complete });
    await verify(run, { from: 3 }, taken);
    expect(taken.calls.some(({ method }) => method === "generate")).toBe(false);
  });

  it.each([
    ["several updates of a batch", { num_iterations: 2, max_steps: 8 }],
    ["the KL paid for in the reward", { kl_in_reward: true, beta: 0.3 }],
    ["a warm-up of fidelity", { fidelity_warmup: "win_probability" }],
    [
      "prompts drawn again, flat ones left out",
      { dynamic_sampling: true, drop_zero_variance_groups: true, num_generations: 2, reward_funcs: ["format"] },
    ],
    ["metrics of every third step, models for checkpoints", { logging_steps: 3, save_only_model: true }],
    ["checkpoints deleted as it went", { save_steps: 1, save_total_limit: 1 }],
    ["a run that stopped and went on", { save_steps: 1, lr_scheduler_type: "constant" }],
  ] satisfies [string, Partial<ConfigInput>][])("with %s", async (name, more) => {
    const folder = await recordRun(set, `honest ${name}`, more);
    if (name.startsWith("a run that")) {
      const resumed = join(folder, "checkpoints/step_000002");
      await runFake(set.config(`honest ${name}`, { ...more, resume_from_checkpoint: resumed }), {}, { complete });
    }
    for (const resample of [false, true]) {
      const verification = await verify(folder, { resample });
      expect(causesOf(verification)).toEqual([]);
      expect(Object.keys(verification.digests).length).toBeGreaterThan(0);
    }
  });

  it("corrected by log-probabilities of sampling, which are not recorded: so it is sampled again", async () => {
    const folder = await recordRun(set, "corrected", { importance_sampling_correction: true, max_steps: 2 });
    expect(await verify(folder)).toMatchObject({ agrees: true, resampled: true });
  });

  it("of supervised fine-tuning", async () => {
    const data = join(set.folder, "answers.jsonl");
    const line = (id: number): string =>
      JSON.stringify({
        id,
        dataset_name: "answers",
        image: [],
        conversations: [
          { from: "human", value: "?" },
          { from: "gpt", value: "x".repeat(id) },
        ],
      });
    writeFileSync(data, Array.from({ length: 6 }, (_, id) => line(id + 1)).join("\n"));
    const output_dir = join(set.folder, "sft");
    const worker = createFakeWorker();
    await sft(
      {
        model_name_or_path: "none",
        data_file_paths: [data],
        output_dir,
        per_device_train_batch_size: 2,
        save_steps: 1,
      },
      { connect: worker.connect },
    ).result;
    const honest = await verify(output_dir, { from: 2 });
    expect(honest).toMatchObject({ agrees: true, from: 2, to: 3, resampled: false });
    expect(honest.steps.at(-1)!.compared).toMatchObject({ metric: { differing: 0 }, state: { differing: 0 } });

    editLines(join(output_dir, "metrics.jsonl"), (metrics) => {
      if (metrics["step"] === 2) metrics["loss"] = 0.5;
    });
    expect(causesOf(await verify(output_dir, { from: 2 }))).toEqual([["metric", 2, "metric loss"]]);
  });
});

describe("the exported model", () => {
  const NOT_EXECUTED = "The exported model: it is of step 2, which was not executed; verifying that step compares it.";
  const runEnd = (folder: string, change: (event: Record<string, unknown>) => void): void =>
    editLines(join(folder, "events.jsonl"), (event) => event["type"] === "run-end" && change(event));
  const exportsOf = ({ differences }: Verification) =>
    differences.map(({ about, step, what, follows }) => [about, step, what, follows]);
  let ranked: DataSet;
  /** Its best step is the second one: there longer questions are rated higher, as their labels are, and elsewhere lower. */
  let best: string;
  beforeAll(async () => {
    ranked = await createDataSet({
      extra: (row) => ({
        conversations: [
          { from: "human", value: "x".repeat(row + 1) },
          { from: "gpt", value: 1 + row / 2 },
        ],
      }),
    });
    const config = ranked.config("best", {
      load_best_model_at_end: true,
      eval_steps: 2,
      save_steps: 2,
      val_split_ratio: 0.5,
      prompts_per_step: 2,
    });
    const byLength = ({ text, version, draw }: FakePrompt): string =>
      `<think>${"x".repeat(Math.floor(20 * draw))}</think><answer>${(2.5 + draw + (version === 2 ? 1 : -1) * (text.length / 1000)).toFixed(4)}</answer>`;
    const { result } = await runFake(config, {}, { complete: byLength });
    expect(result).toMatchObject({ step: 4, modelStep: 2 });
    best = config.output_dir!;
  });
  afterAll(() => ranked.remove());

  it("of the best step is compared where that step is executed, and otherwise it is said that it was not", async () => {
    const whole = await verify(best);
    expect(whole.differences).toEqual([]);
    expect(whole.steps.map(({ compared }) => compared.export?.all)).toEqual([
      undefined,
      undefined,
      1,
      undefined,
      undefined,
    ]);
    expect(whole.notCompared.join()).not.toContain("The exported model");
    const later = await verify(best, { from: 3 });
    expect([later.agrees, later.notCompared]).toEqual([true, expect.arrayContaining([NOT_EXECUTED])]);
  });

  it("is named where it is not that of the step which the log speaks of", async () => {
    const folder = copyRun(best, "best changed");
    writeFileSync(join(folder, "model/weight.json"), "7");
    expect(exportsOf(await verify(folder))).toEqual([["export", 2, "weight.json", false]]);
    const other = copyRun(best, "best of another step");
    runEnd(other, (event) => (event["modelStep"] = 4));
    expect(exportsOf(await verify(other))).toEqual([["export", 4, "weight.json", false]]);
  });

  it("is named where it is gone, and listed where the log does not speak of it", async () => {
    const gone = copyRun(best, "best gone");
    rmSync(join(gone, "model"), { recursive: true });
    expect(exportsOf(await verify(gone))).toEqual([
      ["event", null, "model/, which the run exported when it ended", false],
    ]);
    const silent = copyRun(best, "best silent");
    runEnd(silent, (event) => Object.assign(event, { model: null, modelStep: null }));
    const { agrees, notCompared } = await verify(silent);
    expect([agrees, notCompared]).toEqual([
      true,
      expect.arrayContaining(["The exported model: the log does not say of which step model/ is."]),
    ]);
  });

  it("is listed where the run went on after that end and did not come to the next", async () => {
    const folder = copyRun(best, "best went on");
    // That of an end which was taken back when the run went on from here.
    writeFileSync(join(folder, "model/weight.json"), "7");
    appendFileSync(join(folder, "events.jsonl"), `${JSON.stringify({ type: "run-start", step: 4 })}\n`);
    const { agrees, notCompared } = await verify(folder);
    expect([agrees, notCompared]).toEqual([
      true,
      expect.arrayContaining(["The exported model: the log does not say of which step model/ is."]),
    ]);
  });

  it("has files beside its weights that follow from no update, and that must agree to the byte", async () => {
    const folder = copyRun(best, "best beside");
    editLines(join(folder, "metrics.jsonl"), (line) => line["step"] === 1 && (line["loss"] = -1));
    writeFileSync(join(folder, "model/tokenizer_config.json"), "{}");
    expect(exportsOf(await verify(folder))).toEqual([
      ["metric", 1, "metric loss", false],
      ["export", 2, "tokenizer_config.json", false],
    ]);
  });
});

describe("rewards that are not built in", () => {
  const late = defineReward({ name: "late", score: ({ completion, step }) => completion.index * step! });
  const rewards = { fidelity: 1, late: { reward: late, weight: 0.5 } };
  let folder: string;
  beforeAll(async () => {
    folder = await recordRun(set, "own rewards", {}, { rewards });
  });

  it("are taken from the record when they are not given, and that is said", async () => {
    const { agrees, notCompared } = await verify(folder, { from: 3 });
    const taken = 'The reward "late": its recorded values were taken as they are, because its function is not given.';
    expect([agrees, notCompared]).toEqual([true, expect.arrayContaining([taken])]);

    const changed = copyRun(folder, "own rewards changed");
    editCompletions(changed, 3, (line, index) => index === 6 && Object.assign(line["rewards"]!, { late: 50 }));
    // It is not compared, but its total and the advantages of its prompt are.
    const causes = causesOf(await verify(changed, { from: 3 }));
    expect(causes[0]).toEqual(["reward", 3, expect.stringMatching(/^total reward of completion 2 of prompt 1/)]);
  });

  it("are computed again when they are given, and then one that was changed is named", async () => {
    const changed = copyRun(folder, "own rewards given");
    editCompletions(changed, 3, (line, index) => index === 6 && Object.assign(line["rewards"]!, { late: 50 }));
    expect(causesOf(await verify(changed, { from: 3, rewards }))).toEqual([
      ["reward", 3, expect.stringMatching(/^reward "late" of completion 2 of prompt 1/)],
    ]);
    const asRecorded = await verify(folder, { from: 3, rewards, recordedRewards: ["late"] });
    expect(asRecorded.notCompared.join()).toContain("as was asked for");
    await expect(verify(folder, { recordedRewards: ["early"] })).rejects.toMatchObject({
      code: "CONFIG_UNKNOWN_REWARD",
    });
  });

  it("are not looked for where a file of theirs is gone, or where they are taken from the record in any case", async () => {
    const gone = copyRun(folder, "own rewards gone");
    const module = join(set.folder, "gone.ts");
    editFile(join(gone, "config.resolved.yaml"), (config) => (config["rewards"] = [module]));
    editFile(join(gone, "environment.json"), (environment) => {
      Object.assign(environment["fingerprint"]!, { "config.rewards": JSON.stringify([module]) });
    });
    const { agrees, notCompared } = await verify(gone);
    expect([agrees, notCompared]).toEqual([true, expect.arrayContaining([missing(module)])]);
    const taken = await verify(gone, { recordedRewards: ["late"] });
    expect([taken.agrees, taken.notCompared]).toEqual([true, expect.not.arrayContaining([missing(module)])]);
  });

  const missing = (path: string): string => `The rewards of ${path} (rewards): there is no such file.`;
});

describe("on another machine", () => {
  /** A worker on more threads whose entropies are a little off. */
  const other = (factor: number) =>
    meddle(createFakeWorker({ complete }), {
      after: (method, reply) => {
        if (method === "load") return withResult(reply, { threads: 2 });
        return method === "forwardBackward"
          ? withResult(reply, { entropy: Number(reply.result["entropy"]) * factor })
          : reply;
      },
    });

  it("numbers of the model may be a little off, and what differs between the machines is said", async () => {
    const near = await verifyRun(run, { connect: other(1 + 1e-6), from: 3 });
    expect(near).toMatchObject({ agrees: true, otherMachine: ["machine.threads was 1 and is 2"] });
    expect(near.notCompared.join("\n")).toContain("The optimizer's state: its bits are another machine's.");
    const far = await verifyRun(run, { connect: other(1.5), from: 3 });
    expect(causesOf(far)).toEqual([["metric", 3, "metric entropy"]]);
    expect((await verifyRun(run, { connect: other(1.5), from: 3, tolerance: 0.9 })).agrees).toBe(true);
    await expect(verify(run, { tolerance: 1 })).rejects.toMatchObject({ code: "VERIFY_TOLERANCE" });
  });

  it("rewards are compared to the bit all the same", async () => {
    const folder = copyRun(run, "other machine");
    editCompletions(folder, 3, (line, index) => index === 0 && (line["reward"] = Number(line["reward"]) + 1e-9));
    expect(causesOf(await verifyRun(folder, { connect: other(1), from: 3 }))).toEqual([
      ["reward", 3, expect.stringMatching(/^total reward of completion 0 of prompt 0/)],
    ]);
  });
});

describe("what cannot be verified is refused", () => {
  it("steps that the run does not have, and folders without a run", async () => {
    await expect(verify(run, { from: 3, to: 9 })).rejects.toMatchObject({
      code: "VERIFY_STEP",
      message: expect.stringContaining("steps 3 to 9 cannot be verified") as string,
    });
    await expect(verify(run, { from: 0 })).rejects.toMatchObject({ code: "VERIFY_STEP" });
    await expect(verify(join(set.folder, "nowhere"))).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
  });

  it("a run without completions, unless they are drawn again", async () => {
    const folder = await recordRun(set, "silent", { log_completions: false });
    await expect(verify(folder)).rejects.toMatchObject({ code: "VERIFY_NOT_RECORDED" });
    const { agrees, notCompared } = await verify(folder, { resample: true });
    expect([agrees, notCompared]).toEqual([
      true,
      expect.arrayContaining(["The completions of step 1: the run recorded none."]),
    ]);
  });

  it("a record of another shape than the configuration asks for", async () => {
    const folder = copyRun(run, "shape");
    editCompletions(folder, 3, (line) => (line["completions"] = 8));
    const path = join(folder, "rollouts/step_000003.jsonl");
    writeFileSync(
      path,
      readFileSync(path, "utf8")
        .split(/(?<=\n)/)
        .slice(0, 8)
        .join(""),
    );
    await expect(verify(folder, { from: 3 })).rejects.toMatchObject({
      code: "VERIFY_SHAPE",
      message: expect.stringContaining(
        "holds 2 prompts with 4 completions, and the configuration asks for 3 with 4",
      ) as string,
    });
  });

  it("a run that was continued further than it was planned, unless that is said", async () => {
    const config = { lr_scheduler_type: "constant", max_steps: 2 } as const;
    const folder = await recordRun(set, "continued", config);
    const more = { ...config, max_steps: 4, resume_from_checkpoint: true } as const;
    await runFake(set.config("continued", more), {}, { complete });
    await expect(verify(folder, { from: 3 })).rejects.toMatchObject({ code: "VERIFY_PLAN" });
    expect(await verify(folder, { from: 3, config: { max_steps: 4 } })).toMatchObject({ agrees: true, from: 3, to: 4 });
  });

  it("a configuration that cannot be read", async () => {
    const folder = copyRun(run, "configuration");
    writeFileSync(join(folder, "config.resolved.yaml"), "learning_rate: [1, \n  2: }");
    await expect(verify(folder)).rejects.toMatchObject({
      code: "RUN_FILE_DAMAGED",
      message: expect.stringMatching(/config\.resolved\.yaml is not what a run writes: .* bring it back/) as string,
    });
  });

  it("an environment that is not a run's", async () => {
    const folder = copyRun(run, "environment");
    const path = join(folder, "environment.json");
    editFile(path, (environment) => delete environment["fingerprint"]);
    await expect(verify(folder)).rejects.toMatchObject({ code: "VERIFY_ENVIRONMENT" });
    writeFileSync(path, readFileSync(path, "utf8").slice(0, 20));
    await expect(verify(folder)).rejects.toMatchObject({
      code: "VERIFY_ENVIRONMENT",
      message: expect.stringMatching(/^.*environment\.json is not what a run writes: .* bring it back/) as string,
    });
  });
});
