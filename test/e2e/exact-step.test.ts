import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { variedScore } from "../../bench/support/fault-runs.js";
import type { Row } from "../../src/data/index.js";
import {
  defineReward,
  groupAdvantages,
  loadRows,
  openPolicy,
  resolveConfig,
  scoreRewards,
  toTrainBatch,
} from "../../src/index.js";
import type { Policy, RolloutGroup } from "../../src/index.js";
import { planParts } from "../../src/policy/index.js";
import { findPython } from "../../src/python/index.js";
import { createWorkspace } from "./workspace.js";
import type { Workspace } from "./workspace.js";

const REFERENCE = fileURLToPath(new URL("./reference_step.py", import.meta.url));
/** The second update sees ratios other than 1 and a policy that has left the reference. */
const LEARNING_RATES = [5e-3, 2e-3];
const SAMPLES = 3;
/** Few enough that an update takes several parts and a group is cut. */
const MAX_TOKENS = 50;

interface ReferenceResult {
  readonly updates: readonly { loss: number; kl: number; entropy: number; grad_norm: number }[];
  /** Largest difference between exported weights and the reference's, and the largest way any weight went. */
  readonly difference: number;
  readonly moved: number;
}

/** Random weights write no scores, so this one rates ids. */
const ids = defineReward({ name: "ids", score: ({ completion }) => variedScore(completion) });

let workspace: Workspace;
let policy: Policy<Row>;
let rows: Row[];
beforeAll(async () => {
  workspace = await createWorkspace();
  const mixed = join(workspace.folder, "mixed.jsonl");
  const line = (id: string, image: string[], question: string): string =>
    JSON.stringify({ id, dataset_name: "tiny", image, conversations: [{ from: "human", value: question }] });
  writeFileSync(join(workspace.images, "broken.png"), "no picture");
  writeFileSync(
    mixed,
    [
      line("one", ["picture_0.png"], "Rate the picture."),
      line("text", [], "Rate the weather."),
      line("two", ["picture_1.png", "picture_2.png"], "Is <image> better than <image> or not?"),
      line("broken", ["picture_3.png", "broken.png"], "Rate both."),
    ].join("\n"),
  );
  const config = resolveConfig(
    workspace.config("exact", {
      data_file_paths: [mixed],
      temperature: 0.9,
      beta: 0.1,
      adam_epsilon: 1e-4,
      adam_beta2: 0.99,
      weight_decay: 0.1,
      max_grad_norm: 0.5,
      max_tokens_per_part: MAX_TOKENS,
    }),
  );
  rows = await loadRows(config);
  policy = await openPolicy(config);
});
afterAll(async () => {
  await policy[Symbol.asyncDispose]();
  workspace.remove();
});

/** The same updates in plain PyTorch. */
function reference(
  groups: readonly RolloutGroup<Row>[],
  advantages: readonly (readonly number[])[],
  exported: string,
): ReferenceResult {
  const { python } = findPython();
  const input = {
    model: workspace.model,
    exported,
    settings: {
      temperature: 0.9,
      epsilon: 0.2,
      beta: 0.1,
      learning_rates: LEARNING_RATES,
      betas: [0.9, 0.99],
      adam_epsilon: 1e-4,
      weight_decay: 0.1,
      max_grad_norm: 0.5,
    },
    groups: groups.map(({ prompt, completions }, index) => ({
      prompt: [...prompt.tokenIds],
      images: prompt.row.images,
      completions: completions.map(({ tokenIds }) => [...tokenIds]),
      advantages: advantages[index],
    })),
  };
  const env = { ...process.env, OMP_NUM_THREADS: "1" };
  const output = execFileSync(python, [REFERENCE], {
    input: JSON.stringify(input),
    env,
    stdio: ["pipe", "pipe", "ignore"],
  });
  return JSON.parse(String(output)) as ReferenceResult;
}

describe("on a real worker", () => {
  it("a picture that cannot be decoded is refused by file and row, and the policy goes on", async () => {
    await expect(policy.encode(rows)).rejects.toMatchObject({
      name: "DataError",
      code: "DATA_IMAGE_BROKEN",
      message: expect.stringMatching(/broken\.png.*row broken, line 4 of data file 1/) as string,
    });
  });

  it("updates through all layers equal the formulas in plain PyTorch: loss, KL, gradient norm, weights", async () => {
    const prompts = await policy.encode(rows.slice(0, 3), { step: 1 });
    expect(prompts.map(({ images }) => images.length)).toEqual([1, 0, 2]);
    const groups = await policy.generate(prompts, { samples: SAMPLES, step: 1 });
    const { totals } = await scoreRewards(groups, { ids });
    const advantages = groupAdvantages(totals, { scale: "group" });
    const batch = toTrainBatch(groups, advantages);
    const parts = planParts(batch.groups, { maxTokens: MAX_TOKENS });
    expect(parts.length).toBeGreaterThan(batch.groups.length);
    await policy.logprobs(batch, { store: true });

    const updates: ReferenceResult["updates"][number][] = [];
    for (const [index, learningRate] of LEARNING_RATES.entries()) {
      const sums = await policy.forwardBackward(batch, { surrogate: "clip", epsilon: 0.2, beta: 0.1, old: "stored" });
      const { gradNorm, skipped } = await policy.optimStep({ step: index + 1, learningRate });
      expect(skipped).toBe(false);
      const { loss, kl, entropy, tokens } = sums;
      updates.push({ loss, kl: kl / tokens, entropy: entropy / tokens, grad_norm: gradNorm });
    }
    const exported = join(workspace.folder, "exact/model");
    await policy.export(exported);

    const expected = reference(groups, advantages, exported);
    for (const [index, update] of updates.entries()) {
      for (const [name, value] of Object.entries(update)) {
        const wanted = expected.updates[index]![name as keyof typeof update];
        expect(Math.abs(value - wanted), `${name} of update ${index + 1}: ${value} and ${wanted}`).toBeLessThan(1e-5);
      }
    }
    // The comparison is worth something: gradients were clipped, the policy left the reference, the weights moved.
    expect(expected.updates[0]!.kl).toBe(0);
    expect(expected.updates[1]!.kl).toBeGreaterThan(1e-3);
    expect(expected.updates[0]!.grad_norm).toBeGreaterThan(0.5);
    expect(expected.moved).toBeGreaterThan(1e-3);
    expect(expected.difference).toBeLessThan(1e-5);
  });

  it("ids outside the vocabulary are refused, and nothing of the step is left over", async () => {
    const [prompt] = await policy.encode(rows.slice(1, 2));
    const wrong = { ...prompt!, tokenIds: Int32Array.of(...prompt!.tokenIds, 1_000_000) };
    await expect(policy.generate([wrong], { samples: 1, step: 3 })).rejects.toMatchObject({
      name: "WorkerError",
      code: "BAD_ARGUMENT",
      message: expect.stringContaining("1000000") as string,
    });
    const groups = await policy.generate([prompt!], { samples: 2, step: 3 });
    const [group] = groups;
    const spoilt = { ...group!.completions[1]!, tokenIds: Int32Array.of(-1) };
    const broken = toTrainBatch([{ prompt: prompt!, completions: [group!.completions[0]!, spoilt] }], [[1, -1]]);
    await expect(policy.forwardBackward(broken, { surrogate: "clip" })).rejects.toMatchObject({ code: "BAD_ARGUMENT" });
    await policy.forwardBackward(toTrainBatch(groups, [[0, 0]]), { surrogate: "clip" });
    const step = policy.version + 1;
    expect(await policy.optimStep({ step, learningRate: 0 })).toEqual({ gradNorm: 0, skipped: false });
  });
});
