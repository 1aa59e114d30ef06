/**
 * Ways into DeepSpeed's settings.
 *
 * @module
 */
import { z } from "zod";

/** DeepSpeed's settings, as its documentation names them. */
export type DeepSpeedSettings = Readonly<Record<string, unknown>>;

/** What the configuration, or the worker, fills in. */
export const AUTO = "auto";

/** What a section must be. */
export const settingsSchema: z.ZodType<DeepSpeedSettings> = z.record(z.string(), z.unknown());

/** The value at "a.b.c"; undefined where there is none. */
export function at(settings: DeepSpeedSettings, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => settingsOf(value)[name], settings);
}

/** A section's settings; none where it is no section. */
export function settingsOf(value: unknown): DeepSpeedSettings {
  const parsed = settingsSchema.safeParse(value);
  return parsed.success ? parsed.data : {};
}
