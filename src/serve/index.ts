/**
 * What leaves the room of the HTTP service.
 *
 * @module
 */
export { DEFAULT_LIMITS } from "./limits.js";
export type { ServeLimits } from "./limits.js";
export type { PictureRecord } from "./score-request.js";
export { startService } from "./service.js";
export type { Service, ServiceOptions } from "./service.js";
