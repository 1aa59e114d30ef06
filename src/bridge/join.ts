/**
 * Judges the request of a worker on another machine to take part in a launch. Its key has been checked before.
 *
 * @module
 */
import { z } from "zod";
import { PROTOCOL_VERSION } from "./codec.js";
import type { Message } from "./message.js";

/** Launch id of such a request: the worker does not know the launch's yet. */
export const JOIN_SESSION = "join";

const count = z.number().int().nonnegative();

const joinSchema = z.object({
  role: z.literal("join"),
  rank: count,
  world_size: count,
  host: z.string().max(255),
  pid: count,
  protocol: z.tuple([count, count]),
  runtime: z.string().max(64),
});

/** What a worker that wants to join says of itself. */
export type Join = z.output<typeof joinSchema>;

/** What a launch is looking for. */
export interface Sought {
  readonly worldSize: number;
  /** Version of the Python side that all ranks must have; undefined: any. */
  readonly runtime: string | undefined;
  /** Whether a rank's worker is there. */
  readonly taken: (rank: number) => boolean;
}

export type JoinVerdict =
  | { readonly kind: "welcome"; readonly join: Join }
  | { readonly kind: "refused"; readonly code: string; readonly reason: string };

export function judgeJoin(message: Message, { worldSize, runtime, taken }: Sought): JoinVerdict {
  const { success, data: join } = joinSchema.safeParse(message.params);
  const refused = (code: string, reason: string): JoinVerdict => ({ kind: "refused", code, reason });
  if (!success) return refused("HELLO_VERSION", "its request to join cannot be understood");
  const [major] = PROTOCOL_VERSION;
  if (join.protocol[0] !== major) {
    return refused("HELLO_VERSION", `it speaks protocol ${join.protocol.join(".")}, and this control plane ${major}.x`);
  }
  if (runtime !== undefined && join.runtime !== runtime) {
    return refused("HELLO_VERSION", `its runtime has version ${join.runtime}, and this control plane needs ${runtime}`);
  }
  if (join.world_size !== worldSize) {
    return refused("HELLO_WORLD_SIZE", `it is one of ${join.world_size} workers, and num_processes is ${worldSize}`);
  }
  if (join.rank >= worldSize) return refused("HELLO_RANK", `there is no rank ${join.rank} among ${worldSize} workers`);
  if (taken(join.rank)) return refused("HELLO_RANK", `rank ${join.rank} is there already`);
  return { kind: "welcome", join };
}
