/**
 * How long prompts are, and how large their pictures, before there is a tokenizer: for the memory plan.
 *
 * @module
 */
import type { ModelFiles, PromptSizes, SharedConfig } from "../config/index.js";
import type { Row } from "../data/index.js";
import { readImageSize, smartResize } from "../images/index.js";
import { buildMessages } from "../prompts/index.js";
import type { RunBasis } from "./prepare.js";
import { withoutLastAnswer } from "./sft-examples.js";

/** Prompts and pictures of so many rows are looked at. */
const ROWS_LOOKED_AT = 32;

/** What a chat template adds around a message, about. */
const TOKENS_AROUND = 16;
/** Letters that become one token, about: of a full vocabulary of English, and of the small ones of tests. */
const LETTERS = { full: 4, small: 1.6 };
const FULL_VOCABULARY = 32_000;

/**
 * Looks at the rows once: how large they are then follows from the limits on pictures alone.
 *
 * @param answer what of a row's messages is trained for, where something is
 * @returns the largest sizes, of any such limits
 */
export async function measurePrompts(
  { sampler }: Pick<RunBasis, "sampler">,
  config: SharedConfig,
  { architecture, ...limits }: ModelFiles,
  answer: (row: Row) => string = () => "",
): Promise<(limited: Pick<SharedConfig, "min_pixels" | "max_pixels">) => PromptSizes> {
  const { patchSize, mergeSize } = architecture.vision;
  const letters = architecture.text.vocabulary >= FULL_VOCABULARY ? LETTERS.full : LETTERS.small;
  const rows = (await sampler.at(1)).slice(0, ROWS_LOOKED_AT);
  const looked = await Promise.all(
    rows.map(async (row) => {
      const said = answer(row);
      const messages = buildMessages(said === "" ? row : withoutLastAnswer(row), config.question_template);
      const text = messages.map(({ content }) =>
        typeof content === "string" ? content : content.map((part) => (part.type === "text" ? part.text : "")).join(""),
      );
      return {
        textTokens: text.reduce((total, { length }) => total + Math.ceil(length / letters) + TOKENS_AROUND, 0),
        answerTokens: Math.ceil(said.length / letters) + 1,
        pictures: await Promise.all(row.images.map((file) => readImageSize(file))),
      };
    }),
  );
  return ({ min_pixels, max_pixels }) => {
    const minPixels = min_pixels ?? limits.minPixels;
    const maxPixels = max_pixels ?? limits.maxPixels;
    const measured = looked.map(({ pictures, ...sizes }): PromptSizes => {
      const areas = pictures.map((picture) => {
        const { height, width } = smartResize({ ...picture, factor: patchSize * mergeSize, minPixels, maxPixels });
        return height * width;
      });
      const pixels = areas.reduce((total, area) => total + area, 0);
      const patches = pixels / patchSize ** 2;
      return {
        ...sizes,
        imageTokens: patches / mergeSize ** 2,
        patches,
        pixels,
        pixelsOfOne: Math.max(0, ...areas),
      };
    });
    const largest = (name: keyof PromptSizes): number => Math.max(...measured.map((one) => one[name]));
    return {
      textTokens: largest("textTokens"),
      answerTokens: largest("answerTokens"),
      imageTokens: largest("imageTokens"),
      patches: largest("patches"),
      pixels: largest("pixels"),
      pixelsOfOne: largest("pixelsOfOne"),
    };
  };
}
