/**
 * A ranking loss across pictures, without sampling: the model's own distribution over the answers 1 to 5 gives each
 * picture a mean and a variance, Thurstone's model the probability that one is better than another, and the loss pushes
 * that towards the order of the labels. The gradient goes through the means and variances into every answer.
 *
 * Sources: Thurstone, "A law of comparative judgment", 1927; fidelity as in VisualQuality-R1 (arXiv 2505.14460), which
 * samples answers where this one sums over them; the distribution over levels as in DeQA-Score (arXiv 2501.11561).
 *
 *     npx tsx examples/pairwise-ranking.ts CHECKPOINT train.jsonl IMAGES
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { createSampler, loadRows, openPolicy, resolveConfig, toTrainBatch } from "thurstone";
import type { ConfigInput, CustomLoss, OpenPolicyOptions, Policy, Row } from "thurstone";
import { tape } from "thurstone/losses";

const LEVELS = [1, 2, 3, 4, 5] as const;

/** Keeps a model that is sure of every answer from dividing by zero. */
const VARIANCE_FLOOR = 0.05;

/**
 * 1 - fidelity, as a mean over all pairs of pictures whose labels differ. The batch holds one group per picture, with one
 * completion for each of the levels.
 *
 * @param labels [P] larger is better
 */
export function rankingLoss(labels: readonly number[]): CustomLoss {
  const pairs = labels.flatMap((better, a) =>
    labels.flatMap((worse, b) => (better > worse ? [{ better: a, worse: b }] : [])),
  );
  const [better, worse] = [pairs.map((pair) => pair.better), pairs.map((pair) => pair.worse)];
  const level = Float64Array.from(labels.flatMap(() => LEVELS));
  return tape((t, { policy, completions, groups }) => {
    const answer = t.segmentSum(policy, completions);
    const share = t.exp(t.sub(answer, t.spread(t.segmentLogSumExp(answer, groups), groups)));
    const mean = t.segmentSum(t.mul(share, level), groups);
    const deviation = t.sub(level, t.spread(mean, groups));
    const variance = t.add(t.segmentSum(t.mul(share, t.square(deviation)), groups), VARIANCE_FLOOR);

    const apart = t.sub(t.gather(mean, better), t.gather(mean, worse));
    const noise = t.sqrt(t.add(t.gather(variance, better), t.gather(variance, worse)));
    const inOrder = t.normalCdf(t.div(apart, noise));
    return t.mean(t.sub(1, t.sqrt(inOrder)));
  });
}

/** One update on pictures of which at least two have different labels; returns the loss. */
export async function rankingStep(policy: Policy<Row>, rows: readonly Row[], learningRate: number): Promise<number> {
  const prompts = await policy.encode(rows);
  const answers = await policy.tokenize(
    LEVELS.map((level) => `<answer>${level}</answer>`),
    { appendEos: true },
  );
  const completions = answers.map((tokenIds) => ({ tokenIds }));
  const batch = toTrainBatch(
    prompts.map((prompt) => ({ prompt, completions })),
    prompts.map(() => LEVELS.map(() => 0)),
  );
  const { loss } = await policy.forwardBackward(batch, rankingLoss(rows.map((row) => row.mos!)));
  await policy.optimStep({ step: policy.version + 1, learningRate });
  return loss;
}

/** A whole run; returns the loss of every step. */
export async function rank(input: ConfigInput, options: OpenPolicyOptions = {}): Promise<number[]> {
  const config = resolveConfig(input);
  const losses: number[] = [];
  await using policy = await openPolicy(config, options);
  for await (const { rows } of createSampler(await loadRows(config), config)) {
    losses.push(await rankingStep(policy, rows, config.learning_rate));
    console.log(`step ${losses.length}: loss ${losses.at(-1)!.toFixed(4)}`);
  }
  return losses;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, images] = process.argv.slice(2);
  if (model === undefined || data === undefined || images === undefined) {
    throw new Error("Give a checkpoint, a JSONL file and a folder of pictures.");
  }
  await rank({ model_name_or_path: model, data_file_paths: data, image_folders: images });
}
