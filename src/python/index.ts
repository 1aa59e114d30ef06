/**
 * The Python installation: where it is, what it has, and calls of functions in it.
 *
 * @module
 */

export { callPython, type CallPythonOptions } from "./call-python.js";
export {
  findPython,
  PACKAGE_ROOT,
  PACKAGE_VERSION,
  type FindPythonOptions,
  type PythonLocation,
} from "./find-python.js";
export { probePython, type ProbePythonOptions, type PythonReport } from "./probe.js";
export {
  startPythonChild,
  type PythonCall,
  type PythonCallOptions,
  type PythonChild,
  type PythonOutcome,
} from "./python-child.js";
