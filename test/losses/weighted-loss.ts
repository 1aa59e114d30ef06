/**
 * The one weighted sum a worker executes, written as plainly as possible: the oracle of the tests.
 *
 * Per token: `w * (-min(r A, clamp(r, 1 - epsilon, 1 + epsilonHigh) A) + beta * (e^(ref - new) - (ref - new) - 1))`, with
 * r = e^(new - old).
 *
 * @module
 */

export interface Token {
  readonly weight: number;
  readonly advantage: number;
  readonly logprob: number;
  /** Undefined: this very pass, ratio 1. */
  readonly old?: number | undefined;
  readonly reference?: number | undefined;
}

export interface ClipLoss {
  readonly epsilon: number;
  readonly epsilonHigh: number;
  readonly beta: number;
}

/** @returns the loss of all tokens and its derivative by each token's log-probability */
export function weightedLoss(tokens: readonly Token[], spec: ClipLoss): { loss: number; gradient: number[] } {
  const terms = tokens.map((token) => tokenLoss(token, spec));
  return {
    loss: terms.reduce((sum, term) => sum + term.loss, 0),
    gradient: terms.map((term) => term.gradient),
  };
}

function tokenLoss(
  { weight, advantage, logprob, old, reference }: Token,
  spec: ClipLoss,
): { loss: number; gradient: number } {
  const ratio = Math.exp(logprob - (old ?? logprob));
  const clipped = Math.min(1 + spec.epsilonHigh, Math.max(1 - spec.epsilon, ratio));
  const cut = clipped * advantage < ratio * advantage;
  const surrogate = -Math.min(ratio * advantage, clipped * advantage);
  const gap = (reference ?? logprob) - logprob;
  const kl = Math.exp(gap) - gap - 1;
  const gradient = (cut ? 0 : -ratio * advantage) + spec.beta * (1 - Math.exp(gap));
  return { loss: weight * (surrogate + spec.beta * kl), gradient: weight * gradient };
}
