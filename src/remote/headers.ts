/**
 * Addresses and headers of remote rewards: secrets come from the environment and are never part of a message.
 *
 * @module
 */
import { ConfigError } from "../errors.js";

/** A header as it stands, or the content of an environment variable, with something before it ("Bearer "). */
export type HeaderSource = string | { readonly env: string; readonly prefix?: string };

/**
 * @param env variables by name. Default: this process's
 * @throws ConfigError CONFIG_REWARD_HEADER when a variable is not set, or a header cannot be sent
 */
export function readHeaders(
  headers: Readonly<Record<string, HeaderSource>>,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, source]) => {
      const value = typeof source === "string" ? source : fromEnvironment(name, source, env);
      try {
        new Headers([[name, value]]);
      } catch {
        // Without its cause, which would show the value.
        throw wrong(name, "has a name or a value that HTTP does not allow (a line break, for example)");
      }
      return [name, value];
    }),
  );
}

/** @throws ConfigError CONFIG_REWARD_URL for anything but http and https, and for a user name or password in it */
export function readUrl(reward: string, given: string | URL): URL {
  const url = URL.canParse(String(given)) ? new URL(given) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    throw new ConfigError(
      "CONFIG_REWARD_URL",
      `url of the reward "${reward}" is ${JSON.stringify(String(given))}; it must be an http or https address.`,
      { fields: { reward } },
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new ConfigError(
      "CONFIG_REWARD_URL",
      `url of the reward "${reward}" holds a user name or a password, which logs would show. Use headers: { authorization: { env: "NAME" } }.`,
      { fields: { reward } },
    );
  }
  return url;
}

function fromEnvironment(
  header: string,
  { env: variable, prefix = "" }: Exclude<HeaderSource, string>,
  env: Readonly<Record<string, string | undefined>>,
): string {
  const value = env[variable];
  if (value !== undefined && value !== "") return `${prefix}${value}`;
  throw wrong(header, `is to come from the environment variable ${variable}, which is not set. Set it before the run`);
}

function wrong(header: string, what: string): ConfigError {
  return new ConfigError("CONFIG_REWARD_HEADER", `the header ${JSON.stringify(header)} ${what}.`, {
    fields: { header },
  });
}
