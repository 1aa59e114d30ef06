/**
 * What leaves the prompt room: question templates and the messages made with them.
 *
 * @module
 */
export { buildMessages } from "./messages.js";
export { asksForThinking, ratingQuestion, templateDigest, templateNames } from "./templates.js";
