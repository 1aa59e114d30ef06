/**
 * Test doubles for users of thurstone.
 *
 * @module
 */
export { createFakeWorker } from "./fake-worker.js";
export type { FakeWorker, FakeWorkerOptions, RecordedCall } from "./fake-worker.js";
export type { FakePrompt } from "./fake-verbs.js";
