/**
 * Losses of one's own: a function of a batch's log-probabilities that returns the loss and its derivative.
 *
 * By the chain rule the gradient of such a loss is sum over tokens of (dloss / dlogprob) * gradient of logprob, which is
 * that of one weighted sum of log-probabilities. So the worker, which knows no algorithm, executes any loss exactly: one
 * forward pass for the log-probabilities, the function here, and one forward and backward pass with the derivative as
 * weights. Tinker's custom losses work the same way.
 *
 * Legend: N tokens of all completions of the batch, C completions, P prompts (groups).
 *
 * @module
 */

/**
 * Where the parts of a flat array lie: [S + 1] offsets that begin with 0, never fall, and end with the array's length.
 * Segment s holds the elements `segments[s]` to `segments[s + 1] - 1`.
 */
export type Segments = Int32Array;

/** What a loss is given. Token arrays hold all completions of the batch, one after another, in the order of the batch. */
export interface CustomLossInput {
  /** [N] log-probabilities of the completions' tokens under the weights as they are; the derivative is by these. */
  readonly policy: Float64Array;
  /** [N] those kept before the batch's first update (option `old: "stored"`), else a copy of `policy`: a constant. */
  readonly old: Float64Array;
  /** [N] under the weights as they were loaded. Reading it without the option `reference: true` is an error. */
  readonly reference: Float64Array;
  /** [N] of the batch. */
  readonly advantages: Float64Array;
  /** [N] of the batch: each contains the normaliser over the whole update, and 0 asks to leave a token out. */
  readonly weights: Float64Array;
  /** [C + 1] the tokens of each completion. */
  readonly completions: Segments;
  /** [P + 1] the completions of each prompt. */
  readonly groups: Segments;
  /** [C] position of each completion in the rollout batch, which stays the same when `splitUpdates` cuts it. */
  readonly positions: Int32Array;
}

/** What a loss returns. */
export interface CustomLossResult {
  /** Finite, of any sign. */
  readonly loss: number;
  /** [N] dloss / dpolicy, in the order of `policy`; finite. A token with 0 is left out of the backward pass. */
  readonly derivative: Float64Array;
}

/**
 * A loss of one's own, for `policy.forwardBackward`. It sees the whole batch at once, however many parts the worker
 * needs for it, and takes no mean that it does not write down itself. `tape` makes one from a formula.
 */
export type CustomLoss = (input: CustomLossInput) => CustomLossResult | Promise<CustomLossResult>;
