/**
 * What leaves the advantages room.
 *
 * @module
 */

export { groupAdvantages, type GroupAdvantageOptions } from "./group.js";
