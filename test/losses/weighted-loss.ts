/**
 * The one weighted sum a worker executes, written as plainly as possible: the oracle of the tests.
 *
 * Per token: `w * (surrogate + beta * kl - entropyCoefficient * entropy)`, with r = e^(new - old), or e^(mean of new - old)
 * over the tokens of the sequence, and derivatives by hand.
 *
 * @module
 */

export interface Token {
  /** Which completion it belongs to. */
  readonly sequence?: number | undefined;
  readonly weight: number;
  readonly advantage: number;
  readonly logprob: number;
  /** Undefined: this very pass, ratio 1. */
  readonly old?: number | undefined;
  readonly reference?: number | undefined;
  readonly entropy?: number | undefined;
}

/** Of a loss with nothing left open. */
interface Spec {
  readonly surrogate: "clip" | "sequence_clip" | "cispo" | "sapo";
  readonly epsilon: number;
  readonly epsilonHigh: number;
  readonly delta: number | null;
  readonly tauPositive: number;
  readonly tauNegative: number;
  readonly beta: number;
  readonly kl: "k1" | "k2" | "k3";
  readonly entropyCoefficient: number;
}

/** Of one token: its value, and its derivative by the logarithm of the ratio or, where there is none, by the token. */
interface Term {
  readonly value: number;
  readonly slope: number;
}

/** @returns the loss of all tokens and its derivative by each token's log-probability */
export function weightedLoss(
  tokens: readonly Token[],
  given: Pick<Spec, "surrogate"> & Partial<Spec>,
): { loss: number; gradient: number[] } {
  const spec = withDefaults(given);
  const ratios = logRatios(tokens, spec).map(Math.exp);
  const terms = tokens.map((token, index) => surrogate(token, ratios[index]!, spec));
  const kls = tokens.map(({ reference, logprob }) => klTerm((reference ?? logprob) - logprob, spec.kl));
  const loss = tokens.reduce(
    (sum, { weight, entropy = 0 }, index) =>
      sum + weight * (terms[index]!.value + spec.beta * kls[index]!.value - spec.entropyCoefficient * entropy),
    0,
  );
  const slopes = tokens.map(({ weight }, index) => weight * terms[index]!.slope);
  const policy = spec.surrogate === "sequence_clip" ? meanOfSequence(tokens, slopes) : slopes;
  return {
    loss,
    gradient: tokens.map(({ weight }, index) => policy[index]! + weight * spec.beta * kls[index]!.slope),
  };
}

/** As docs/protocol.md has them. */
function withDefaults({ epsilon = 0.2, ...given }: Pick<Spec, "surrogate"> & Partial<Spec>): Spec {
  const epsilonHigh = given.surrogate === "cispo" ? 1 + epsilon : epsilon;
  const rest = { delta: null, tauPositive: 1, tauNegative: 1.05, beta: 0, kl: "k3", entropyCoefficient: 0 } as const;
  return { epsilon, epsilonHigh, ...rest, ...given };
}

function logRatios(tokens: readonly Token[], { surrogate: kind }: Spec): number[] {
  const own = tokens.map(({ logprob, old }) => logprob - (old ?? logprob));
  return kind === "sequence_clip" ? meanOfSequence(tokens, own) : own;
}

/** Mean over the tokens of the sequence: also how a slope by such a mean spreads over its tokens, once summed. */
function meanOfSequence(tokens: readonly Token[], values: readonly number[]): number[] {
  return tokens.map(({ sequence }) => {
    const own = values.filter((_, index) => tokens[index]!.sequence === sequence);
    return own.reduce((sum, value) => sum + value, 0) / own.length;
  });
}

function surrogate({ advantage, logprob }: Token, ratio: number, spec: Spec): Term {
  if (spec.surrogate === "cispo") {
    const weight = Math.min(ratio, spec.epsilonHigh) * advantage;
    return { value: -weight * logprob, slope: -weight };
  }
  if (spec.surrogate === "sapo") {
    const tau = advantage > 0 ? spec.tauPositive : spec.tauNegative;
    const gate = 1 / (1 + Math.exp(-tau * (ratio - 1)));
    return { value: (-4 / tau) * gate * advantage, slope: -4 * gate * (1 - gate) * ratio * advantage };
  }
  const capped = Math.min(ratio, spec.delta ?? Number.POSITIVE_INFINITY);
  const clipped = Math.min(1 + spec.epsilonHigh, Math.max(1 - spec.epsilon, ratio));
  const cut = clipped * advantage < capped * advantage || capped < ratio;
  return { value: -Math.min(capped * advantage, clipped * advantage), slope: cut ? 0 : -ratio * advantage };
}

function klTerm(gap: number, kind: Spec["kl"]): Term {
  if (kind === "k1") return { value: -gap, slope: 1 };
  if (kind === "k2") return { value: gap ** 2 / 2, slope: -gap };
  return { value: Math.exp(gap) - gap - 1, slope: 1 - Math.exp(gap) };
}
