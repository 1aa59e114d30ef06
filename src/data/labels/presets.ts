/**
 * The data sets of the field. The terms of use are with each set's authors, so `licence` is null where they could not be
 * looked up.
 *
 * @module
 */
import type { LabelPreset } from "./preset.js";
import { photoPresets } from "./presets-photos.js";
import { versionPresets } from "./presets-versions.js";

export const labelPresets: readonly LabelPreset[] = [...versionPresets, ...photoPresets];
