/**
 * A transport moves whole messages, as frames, between two ends. It knows nothing of what they say.
 *
 * @module
 */

export interface TransportHandlers {
  onMessage(frames: Uint8Array[]): void;
  /** Called once, when nothing can arrive any more. */
  onClose(error?: Error): void;
}

export interface Transport {
  /** Begins to deliver; messages that arrived before are delivered first. */
  start(handlers: TransportHandlers): void;
  /** Hands a message over, in order. The frames must not change before the other end has answered. */
  send(frames: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}
