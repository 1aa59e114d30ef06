/**
 * The bridge: typed requests with raw tensors to worker processes. It knows nothing of models.
 *
 * @module
 */
export { decodeMessage, encodeMessage, PROTOCOL_VERSION } from "./codec.js";
export type { Limits } from "./codec.js";
export { makeKeys } from "./curve-keys.js";
export type { MadeKeys } from "./curve-keys.js";
export { awaitWorkers } from "./joined-workers.js";
export type { AwaitWorkersOptions, JoinedWorkers } from "./joined-workers.js";
export type { Message, MessageKind } from "./message.js";
export { createMemoryPair } from "./memory-transport.js";
export { createPeer } from "./peer.js";
export type { Peer, PeerOptions, PeerStatistics } from "./peer.js";
export { createResponder } from "./responder.js";
export type { HandlerContext, Method, ResponderOptions } from "./responder.js";
export { bytesOf, tensor, viewOf } from "./tensor.js";
export type { Transport, TransportHandlers } from "./transport.js";
export { startWorkers } from "./worker-group.js";
export type { StartWorkersOptions, WorkerGroup } from "./worker-group.js";
export { startWorker } from "./worker-process.js";
export type { StartWorkerOptions, StopOptions, WorkerProcess, WorkerStatistics } from "./worker-process.js";
export type { Heartbeat } from "./heartbeat.js";
export type { Hello } from "./handshake.js";
export type * from "./types.js";
