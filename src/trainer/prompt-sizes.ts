/**
 * How long prompts are, and how large their pictures, before there is a tokenizer: for the memory plan.
 *
 * @module
 */
import type { ModelFiles, SharedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { readImageSize, smartResize } from "../images/index.js";
import { buildMessages } from "../prompts/index.js";
import type { RunBasis } from "./prepare.js";
import { withoutLastAnswer } from "./sft-examples.js";

/** Prompts and pictures of so many rows are looked at. */
const ROWS_LOOKED_AT = 32;

/** The largest of what was looked at. */
export interface PromptSizes {
  readonly textTokens: number;
  readonly answerTokens: number;
  readonly imageTokens: number;
  readonly patches: number;
  /** Pixels of the pictures of a row. */
  readonly pixels: number;
  /** Of one picture. */
  readonly pixelsOfOne: number;
}

/** What a chat template adds around a message, about. */
const TOKENS_AROUND = 16;
/** Letters that become one token, about: of a full vocabulary of English, and of the small ones of tests. */
const LETTERS = { full: 4, small: 1.6 };
const FULL_VOCABULARY = 32_000;

/** @param answer what of a row's messages is trained for, where something is */
export async function measurePrompts(
  { sampler }: Pick<RunBasis, "sampler">,
  config: SharedConfig,
  { architecture, ...limits }: ModelFiles,
  answer: (row: Row) => string = () => "",
): Promise<PromptSizes> {
  const { patchSize, mergeSize } = architecture.vision;
  const letters = architecture.text.vocabulary >= FULL_VOCABULARY ? LETTERS.full : LETTERS.small;
  const rows = (await sampler.at(1)).slice(0, ROWS_LOOKED_AT);
  const measured = await Promise.all(
    rows.map(async (row): Promise<PromptSizes> => {
      const said = answer(row);
      const messages = buildMessages(said === "" ? row : withoutLastAnswer(row), config.question_template);
      const text = messages.map(({ content }) =>
        typeof content === "string" ? content : content.map((part) => (part.type === "text" ? part.text : "")).join(""),
      );
      const areas = await Promise.all(
        row.images.map(async (file) => {
          const { height, width } = smartResize({
            ...(await readImageSize(file)),
            factor: patchSize * mergeSize,
            minPixels: config.min_pixels ?? limits.minPixels,
            maxPixels: config.max_pixels ?? limits.maxPixels,
          });
          return height * width;
        }),
      );
      const pixels = areas.reduce((total, area) => total + area, 0);
      const patches = pixels / patchSize ** 2;
      return {
        textTokens: text.reduce((total, { length }) => total + Math.ceil(length / letters) + TOKENS_AROUND, 0),
        answerTokens: Math.ceil(said.length / letters) + 1,
        imageTokens: patches / mergeSize ** 2,
        patches,
        pixels,
        pixelsOfOne: Math.max(0, ...areas),
      };
    }),
  );
  const largest = (name: keyof PromptSizes): number => Math.max(...measured.map((one) => one[name]));
  return {
    textTokens: largest("textTokens"),
    answerTokens: largest("answerTokens"),
    imageTokens: largest("imageTokens"),
    patches: largest("patches"),
    pixels: largest("pixels"),
    pixelsOfOne: largest("pixelsOfOne"),
  };
}
