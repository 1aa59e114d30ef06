/**
 * The Python installation: where it is, what it has, and calls of single functions in it.
 *
 * @module
 */

export { callPython, type CallPythonOptions } from "./call-python.js";
export { findPython, PACKAGE_ROOT, type FindPythonOptions, type PythonLocation } from "./find-python.js";
export { probePython, type ProbePythonOptions, type PythonReport } from "./probe.js";
