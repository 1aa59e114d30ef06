/**
 * Question templates: how a row's question is put to the model.
 *
 * Source of scoring and scoring_non_thinking: VisualQuality-R1 (arXiv 2505.14460), training code and README. The answer tags
 * they ask for are what the format reward and the parser look for. scoring_distortion asks for the distortion as well, with
 * the keys of Q-Insight (arXiv 2503.22679).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { distortions } from "../data/index.js";
import { ConfigError } from "../errors.js";

/** Where a template takes the question. */
const QUESTION = "{Question}";

const BUILT_IN: Readonly<Record<string, string>> = {
  scoring:
    "{Question} First output the thinking process in <think> </think> tags and then output the final answer with only one score in <answer> </answer> tags.",
  scoring_non_thinking:
    "{Question} Please only output the final answer with only one score in <answer> </answer> tags.",
  scoring_distortion: distortionTemplate(distortions.map(({ name }) => name)),
};

/**
 * A template that asks for a score and, at the end of the thinking, for type and severity of the distortion: what the
 * reward `distortion` reads, and the rewards of scores and `format` read as well.
 *
 * @param types the names to choose from, as in the rows' `type` or `type_name`. The built-in scoring_distortion has KADID-10k's
 */
export function distortionTemplate(types: readonly string[]): string {
  const names = types.map((name) => JSON.stringify(name)).join(", ");
  return (
    "{Question} First output the thinking process in <think> </think> tags. At its end name the distortion that harms the " +
    "picture most, in <distortion> </distortion> tags within the thinking process, as JSON with two keys: " +
    `"distortion_class": one of ${names}, or null if there is none; "severity": a whole number from 1 (slight) to 5 (catastrophic), ` +
    "or null. Then output the final answer with only one score in <answer> </answer> tags."
  );
}

/** Names of the built-in templates. */
export const templateNames: readonly string[] = Object.keys(BUILT_IN);

/** What a template puts before and after the question. */
export interface QuestionTemplate {
  readonly before: string;
  readonly after: string;
}

/**
 * @param template name of a built-in template, or a text with `{Question}` in it, once
 * @throws ConfigError CONFIG_INVALID_VALUE that lists the names
 */
export function findTemplate(template: string): QuestionTemplate {
  const [before, after, ...more] = textOf(template).split(QUESTION);
  if (before === undefined || after === undefined || more.length > 0) {
    const found = after === undefined ? "neither a built-in template nor a text with" : "a text with more than one";
    throw new ConfigError(
      "CONFIG_INVALID_VALUE",
      `question_template is ${JSON.stringify(template)}: ${found} ${QUESTION}. Use ${templateNames.join(", ")}, or a text that contains ${QUESTION} once.`,
      { fields: { template, known: templateNames } },
    );
  }
  return { before, after };
}

/** Whether a template asks for a think block; an own text is taken to. */
export function asksForThinking(template: string): boolean {
  return template !== "scoring_non_thinking";
}

/** SHA-256 of the template's text in hex; part of every run record. */
export function templateDigest(template: string): string {
  findTemplate(template);
  return createHash("sha256").update(textOf(template)).digest("hex");
}

function textOf(template: string): string {
  return Object.hasOwn(BUILT_IN, template) ? BUILT_IN[template]! : template;
}
