/**
 * Direct preference optimisation: completions whose score lies nearer to the picture's label are preferred.
 *
 * Source: DPO (arXiv 2305.18290), equation 7; with pairs that the policy sampled itself: OAIF (arXiv 2402.04792).
 *
 *     npx tsx examples/dpo.ts CHECKPOINT train.jsonl IMAGES
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { createSampler, loadRows, openPolicy, resolveConfig, toTrainBatch } from "thurstone";
import type { ConfigInput, CustomLoss, OpenPolicyOptions, Policy, Row } from "thurstone";
import { tape } from "thurstone/losses";
import { parseScore } from "thurstone/rewards";

/** Two completions of a batch, counted over all its groups from 0. */
export interface Preference {
  readonly chosen: number;
  readonly rejected: number;
}

/**
 * Every two completions of a prompt of which one was rated better.
 *
 * @param ratings [P][G] larger is better; null: no opinion
 */
export function preferences(ratings: readonly (readonly (number | null)[])[]): Preference[] {
  let first = 0;
  return ratings.flatMap((group) => {
    const start = first;
    first += group.length;
    return group.flatMap((better, chosen) =>
      group.flatMap((worse, rejected) =>
        better !== null && worse !== null && better > worse
          ? [{ chosen: start + chosen, rejected: start + rejected }]
          : [],
      ),
    );
  });
}

/** -mean over pairs of log sigmoid(beta (gain of the chosen - gain of the rejected)), gain = log policy / reference. */
export function dpoLoss(pairs: readonly Preference[], beta = 0.1): CustomLoss {
  return tape((t, { policy, reference, completions }) => {
    const gain = t.segmentSum(t.sub(policy, reference), completions);
    const chosen = t.gather(
      gain,
      pairs.map((pair) => pair.chosen),
    );
    const rejected = t.gather(
      gain,
      pairs.map((pair) => pair.rejected),
    );
    return t.neg(t.mean(t.logSigmoid(t.mul(beta, t.sub(chosen, rejected)))));
  });
}

/** Samples, compares, and updates; returns the loss, or null where nothing was better than anything else. */
export async function dpoStep(policy: Policy<Row>, rows: readonly Row[], learningRate: number): Promise<number | null> {
  const step = policy.version + 1;
  const groups = await policy.generate(await policy.encode(rows), { samples: 4, step });
  const ratings = groups.map(({ prompt, completions }) =>
    completions.map(({ text }) => {
      const { score } = parseScore(text);
      return score === null || prompt.row.mos === undefined ? null : -Math.abs(score - prompt.row.mos);
    }),
  );
  const pairs = preferences(ratings);
  if (pairs.length === 0) return null;
  const unused = groups.map(({ completions }) => completions.map(() => 0));
  const { loss } = await policy.forwardBackward(toTrainBatch(groups, unused), dpoLoss(pairs), { reference: true });
  await policy.optimStep({ step, learningRate });
  return loss;
}

/** A whole run; returns the loss of every rollout batch. */
export async function dpo(input: ConfigInput, options: OpenPolicyOptions = {}): Promise<(number | null)[]> {
  // A beta above 0 keeps the frozen copy that the reference log-probabilities come from.
  const config = resolveConfig({ ...input, beta: 0.1 });
  const losses: (number | null)[] = [];
  await using policy = await openPolicy(config, options);
  for await (const { step, rows } of createSampler(await loadRows(config), config)) {
    const loss = await dpoStep(policy, rows, config.learning_rate);
    console.log(`batch ${step}: ${loss === null ? "no pairs" : `loss ${loss.toFixed(4)}`}`);
    losses.push(loss);
  }
  return losses;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, images] = process.argv.slice(2);
  if (model === undefined || data === undefined || images === undefined) {
    throw new Error("Give a checkpoint, a JSONL file and a folder of pictures.");
  }
  await dpo({ model_name_or_path: model, data_file_paths: data, image_folders: images });
}
