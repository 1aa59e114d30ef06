/**
 * What leaves the prompt room: question templates and the messages made with them.
 *
 * @module
 */
export { ratingQuestion } from "../data/index.js";
export { buildMessages } from "./messages.js";
export { asksForThinking, distortionTemplate, templateDigest, templateNames } from "./templates.js";
