/**
 * `thurstone schema`: the configuration's JSON Schema, for editors that check YAML.
 *
 * @module
 */
import { jsonSchema } from "../config/index.js";
import { EXIT, type Command } from "./io.js";

/** The text of configs/schema.json. */
export function schemaText(): string {
  return `${JSON.stringify(jsonSchema(), null, 2)}\n`;
}

/** Prints the JSON Schema. */
export const schemaCommand: Command = async (args, io) => {
  const help = args.includes("--help") || args.includes("-h");
  if (!help && args.length > 0) {
    io.stderr.write(`thurstone schema takes no arguments, and got: ${args.join(" ")}\n`);
    return EXIT.usage;
  }
  io.stdout.write(
    help
      ? "Usage: thurstone schema > schema.json\n\nPrints the JSON Schema of a configuration file. A YAML file that starts with\n" +
          '"# yaml-language-server: $schema=./schema.json" gets completion and checks in editors.\n'
      : schemaText(),
  );
  return EXIT.done;
};
