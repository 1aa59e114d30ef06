/**
 * The losses of the field as what a worker executes, `sum w * (surrogate(new, old, A) + beta * kl - c * entropy)`: which
 * surrogate, and which normaliser makes the weights w. An algorithm is a choice of these two.
 *
 * With r = exp(new - old) per token and s = exp(mean over the completion's tokens of new - old):
 * - `grpo`: -min(r A, clip(r) A), every completion the same: DeepSeekMath (arXiv 2402.03300). TRL `loss_type: grpo`; verl
 *   `loss_agg_mode: seq-mean-token-mean`.
 * - `dapo`: the same, every token of the update the same: DAPO (arXiv 2503.14476). TRL `dapo`; verl `token-mean`.
 * - `bnpo`: TRL's name for `dapo` over one micro-batch. A sum that no split changes cannot have it, so it is `dapo`.
 * - `dr_grpo`: the same, divided by the longest length allowed: Dr. GRPO (arXiv 2503.20783). TRL `dr_grpo`; verl
 *   `seq-mean-token-sum-norm`.
 * - `gspo`: -min(s A, clip(s) A), every completion the same: GSPO (arXiv 2507.18071). TRL `loss_type: grpo` with
 *   `importance_sampling_level: sequence`; verl `loss_mode: gspo`.
 * - `luspo`: the same, every completion times its length: LUSPO (arXiv 2602.05261). TRL `luspo` with
 *   `importance_sampling_level: sequence`.
 * - `cispo`: -sg(min(r, epsilonHigh)) A new, normalised as `dapo`: MiniMax-M1 (arXiv 2506.13585). TRL `cispo`; verl
 *   `loss_mode: cispo`, whose `clip_ratio_high` is the cap less 1, and which also has a lower bound.
 * - `sapo`: -(4 / tau) sigmoid(tau (r - 1)) A, tau by the sign of A, normalised as `grpo`: SAPO (arXiv 2511.20347). TRL
 *   `sapo`; verl `loss_mode: sapo`.
 *
 * @module
 */

import { ConfigError } from "../errors.js";
import type { Normaliser } from "./weights.js";

/** Name of a loss, as TRL spells it. */
export type LossType = "grpo" | "dapo" | "bnpo" | "dr_grpo" | "gspo" | "luspo" | "cispo" | "sapo";

/** Where probability ratios are taken: of each token, or one of the whole completion. */
export type RatioLevel = "token" | "sequence";

/** Estimator of KL(new || reference) per sampled token, d = reference - new: -d, d^2 / 2, exp(d) - d - 1. */
export type KlEstimator = "k1" | "k2" | "k3";

export interface ObjectiveOptions {
  /** Default "grpo". */
  readonly lossType?: LossType;
  /** Default: "sequence" for gspo and luspo, else "token". */
  readonly ratioLevel?: RatioLevel;
  /** Clip range below 1. Default 0.2. Not for sapo, nor for cispo with epsilonHigh. */
  readonly epsilon?: number;
  /** Clip range above 1 (DAPO's clip-higher), default epsilon; of cispo the cap of the ratio, default 1 + epsilon. Not for sapo. */
  readonly epsilonHigh?: number;
  /**
   * Cap of the ratio where it is not clipped, that is where A is negative: INTELLECT-2 (arXiv 2505.07291), the dual clip
   * of Ye et al. (arXiv 1912.09729). Not for gspo, cispo and sapo. TRL `delta`; verl `clip_ratio_c`. Default null: none.
   */
  readonly delta?: number | null;
  /** Temperatures of sapo, and of no other, for A > 0 and for the rest. Default 1 and 1.05. */
  readonly tauPositive?: number;
  readonly tauNegative?: number;
  /** Weight of the KL term. Default 0. */
  readonly beta?: number;
  /** Default "k3". */
  readonly kl?: KlEstimator;
  /** Weight of the entropy bonus, normalised as the surrogate is. Default 0. */
  readonly entropyCoefficient?: number;
}

/** A `LossSpec` of the policy: which surrogate, and of the rest what was asked for. The worker has the defaults. */
export interface PolicyLoss extends Omit<ObjectiveOptions, "lossType" | "ratioLevel"> {
  readonly surrogate: "clip" | "sequence_clip" | "cispo" | "sapo";
}

/** What a worker executes, and the weights it is executed with. */
export interface Objective {
  readonly loss: PolicyLoss;
  readonly normaliser: Normaliser;
}

const NORMALISERS: Readonly<Record<LossType, Normaliser>> = {
  grpo: "grpo",
  dapo: "dapo",
  bnpo: "dapo",
  dr_grpo: "dr_grpo",
  gspo: "grpo",
  luspo: "luspo",
  cispo: "dapo",
  sapo: "grpo",
};

/** Clip range that counts where none is given; only the bound of `delta` needs it here. */
const EPSILON = 0.2;

/** @throws ConfigError CONFIG_CONFLICT for a combination that no formula above has, and for what it has no use for */
export function objectiveOf(options: ObjectiveOptions = {}): Objective {
  const { lossType = "grpo", ratioLevel = defaultRatioLevel(lossType), ...asked } = options;
  const surrogate = surrogateOf(lossType, ratioLevel);
  requireUsed(lossType, asked);
  const { epsilon = EPSILON, epsilonHigh = epsilon, delta = null } = asked;
  if (delta !== null && delta <= 1 + epsilonHigh) {
    throw conflict(`delta is ${delta}, which is not above 1 + epsilonHigh = ${1 + epsilonHigh}`);
  }
  return { normaliser: NORMALISERS[lossType], loss: { surrogate, ...asked } };
}

/** The level at which a loss is defined, where nothing else is asked for. */
function defaultRatioLevel(lossType: LossType): RatioLevel {
  return lossType === "gspo" || lossType === "luspo" ? "sequence" : "token";
}

function requireUsed(lossType: LossType, asked: Omit<PolicyLoss, "surrogate">): void {
  const refuse = (name: keyof typeof asked, why: string): void => {
    if ((asked[name] ?? null) !== null)
      throw conflict(`${name} is ${asked[name]}, and the loss is ${lossType}, ${why}`);
  };
  if (["gspo", "cispo", "sapo"].includes(lossType)) refuse("delta", "which has no dual clip");
  if (lossType === "cispo" && asked.epsilonHigh !== undefined) refuse("epsilon", "whose cap is epsilonHigh alone");
  const unused =
    lossType === "sapo" ? (["epsilon", "epsilonHigh"] as const) : (["tauPositive", "tauNegative"] as const);
  for (const name of unused) refuse(name, lossType === "sapo" ? "which has no clip" : "which has no gate");
}

function surrogateOf(lossType: LossType, level: RatioLevel): PolicyLoss["surrogate"] {
  const asked = `loss type ${lossType} with ratios per ${level}`;
  if (lossType === "cispo" || lossType === "sapo") {
    if (level === "sequence") throw conflict(`${asked}: ${lossType} has a ratio for each token`);
    return lossType;
  }
  if (lossType === "gspo" && level === "token") throw conflict(`${asked}: gspo has one for each sequence; use grpo`);
  return level === "sequence" ? "sequence_clip" : "clip";
}

function conflict(what: string): ConfigError {
  return new ConfigError("CONFIG_CONFLICT", `${what}. Change one of them.`);
}
