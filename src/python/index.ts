/**
 * The Python installation: where it is.
 *
 * @module
 */

export { findPython, PACKAGE_ROOT, type FindPythonOptions, type PythonLocation } from "./find-python.js";
