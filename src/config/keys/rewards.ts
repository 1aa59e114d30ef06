/**
 * Configuration keys of the section "Rewards": what a completion is paid for.
 *
 * Whether a name in `reward_funcs` exists is checked in checks.ts, because own reward modules add names.
 *
 * @module
 */
import { z } from "zod";
import { PYTHON_REWARD } from "../python-reward.js";

/** One value, or a list of them. */
const oneOrMore = <T extends z.ZodType>(entry: T) =>
  z.union([entry, z.array(entry).min(1)]).transform((value): z.output<T>[] => (Array.isArray(value) ? value : [value]));

const PYTHON = { error: 'must be "FILE.py:FUNCTION", as in "./my_rewards.py:accuracy_reward", or a list of such' };
const pythonReward = z.string(PYTHON).regex(PYTHON_REWARD, PYTHON);

export const rewardKeys = {
  reward_funcs: oneOrMore(z.string().min(1))
    .prefault(["fidelity", "format"])
    .describe(
      "Names of the rewards: format; fidelity (alias accuracy), win_probability, binary and margin, which compare pictures; " +
        "threshold and regression, which compare with the label; distortion, which wants type and level of the distortion named; " +
        "overlong, which punishes answers near `max_completion_length`; those that `rewards` exports, and those of `python_reward`.",
    ),
  reward_weights: oneOrMore(z.number())
    .nullable()
    .prefault(null)
    .describe("Weight of each reward, in the order of `reward_funcs`. null: 1 each."),
  rewards: oneOrMore(z.string().min(1))
    .nullable()
    .prefault(null)
    .describe("Paths of TypeScript or JavaScript modules that export own rewards. They are run as code. null: none."),
  python_reward: z
    .union([pythonReward, z.array(pythonReward).min(1)], PYTHON)
    .transform((value): string[] => [value].flat())
    .nullable()
    .prefault(null)
    .describe(
      "Reward functions in Python files, as `./my_rewards.py:accuracy_reward`, with the signature that TRL calls. They are " +
        "run as code, in a process of their own, and are called as the function is. null: none.",
    ),
  python_reward_format: z
    .enum(["conversational", "standard"])
    .default("conversational")
    .describe(
      "What functions of `python_reward` get as prompts and completions: lists of messages with role and content " +
        "(conversational), or plain texts (standard).",
    ),
  python_reward_timeout: z
    .number()
    .positive()
    .max(86_400)
    .default(300)
    .describe(
      "Seconds that a call of a `python_reward` may take; the first one also starts Python and imports the file.",
    ),
  fidelity_variance: z
    .enum(["floored", "sample", "additive", "fixed"])
    .default("floored")
    .describe(
      "Variance of an image's scores in the fidelity reward: sample (unbiased), floored (sample, at least the floor), " +
        "additive (sample plus the floor), fixed (the floor itself).",
    ),
  fidelity_variance_floor: z
    .number()
    .positive()
    .nullable()
    .default(null)
    .describe("The floor of `fidelity_variance`, in squared score points. null: 1 for fixed, otherwise 0.05."),
  fidelity_opponent: z
    .enum(["mean", "samples"])
    .default("mean")
    .describe("What a score is compared with: the other image's mean score, or the mean over its single scores."),
  fidelity_warmup: z
    .enum(["win_probability"])
    .nullable()
    .default(null)
    .describe(
      "For a model that does not rank yet: pay win_probability in the place of fidelity until fidelity pays more than a " +
        "constant answer would earn and `fidelity_warmup_srcc` is passed, both on average over about 10 rollout batches; " +
        "then fidelity for good. Needs fidelity in `reward_funcs`. null: pay fidelity from the start.",
    ),
  fidelity_warmup_srcc: z
    .number()
    .min(0)
    .lt(1)
    .default(0.45)
    .describe(
      "Rank correlation of mean score and opinion score within the rollout batch (`batch_srcc`) that ends `fidelity_warmup`. " +
        "Below about 0.37, or less with a larger variance floor, fidelity pays less than a constant answer would earn.",
    ),
  preference: z
    .enum(["order", "soft", "majority_vote"])
    .default("order")
    .describe(
      "Which of two pictures fidelity, win_probability and binary hold to be better: order (of the opinion scores), " +
        "soft (the probability that raters prefer one, from the deviations of their opinions, `mos_std`; where those are missing, the order), " +
        "majority_vote (what most of the model's own scores say, without labels; pairs without a majority are left out).",
    ),
  vote_agreement: z
    .number()
    .min(0.5)
    .lt(1)
    .default(0.5)
    .describe("Share of the votes that a majority must exceed, where `preference` is majority_vote."),
  distortion_type_weight: z
    .number()
    .min(0)
    .max(1)
    .default(0.25)
    .describe("Share of the distortion reward that the right type earns by itself; the right level earns the rest."),
  comparison_set: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe(
      "Images compared with each other, in sampler order; must divide `prompts_per_step`. null: the whole step.",
    ),
  tie_band: z
    .number()
    .min(0)
    .default(0)
    .describe("Mean opinion scores at most this far apart count as equal, in points of the data set's scale."),
  overlong_cache: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Tokens below `max_completion_length` within which the overlong reward falls from 0 to -1. null: a fifth of that length.",
    ),
  reference_parity: z
    .boolean()
    .default(false)
    .describe(
      "Compute rewards, advantages and loss as the reference's code does, quirks included (docs/parity.md): sets the keys that " +
        "it leaves no choice in, `comparison_set` to the pictures of `per_device_train_batch_size`, and flags that no key " +
        "has. For comparison runs only.",
    ),
};
