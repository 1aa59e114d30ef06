/**
 * For tests of users of thurstone: a worker without a model, and a way to run a reward without a worker.
 *
 * @module
 */
export { createFakeWorker } from "./fake-worker.js";
export type { FakeWorker, FakeWorkerOptions, RecordedCall } from "./fake-worker.js";
export type { FakePrompt } from "./fake-verbs.js";
export { testReward } from "./test-reward.js";
export type { TestCompletion, TestedReward, TestPrompt, TestRewardOptions } from "./test-reward.js";
