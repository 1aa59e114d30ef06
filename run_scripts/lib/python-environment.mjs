/**
 * The Python side of the setup: an interpreter, a virtual environment, and the packages of requirements.txt in it.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { digest, Problem, readStamp, ROOT, run, runWithRetries, say, step, writeStamp } from "./tools.mjs";

const OLDEST = [3, 10];
const CANDIDATES = ["python3.12", "python3.11", "python3.10", "python3", "python"];
const REQUIREMENTS = join(ROOT, "requirements.txt");
/** Everything below this line of requirements.txt is for working on thurstone, not for using it. */
const DEVELOPMENT = "# Development";
const RUNTIME = join(ROOT, "python_runtime");
const CHECKER = join(RUNTIME, "thurstone_runtime", "environment.py");

const PROBE = `
import importlib.util as u, json, sys
print(json.dumps({"version": list(sys.version_info[:3]), "base": sys.base_prefix,
                  "venv": all(u.find_spec(m) is not None for m in ("venv", "ensurepip"))}))`;

/** Written last: for which requirements and interpreter the environment is complete, and the PYTHON_BIN it was made from. */
export function stampOf(venv) {
  return join(venv, ".thurstone-setup.json");
}

export function pythonOf(venv) {
  return join(venv, "bin", "python");
}

/**
 * The step that makes `venv` complete.
 *
 * @param development also install what the tests and linters need
 */
export function pythonEnvironment({ venv, development }) {
  const pythonBin = process.env.PYTHON_BIN || undefined;
  const requirements = requirementLines(development);
  const isCurrent = () => {
    const stamp = readStamp(stampOf(venv));
    if (stamp === undefined || stamp.key !== keyOf(venv, requirements) || !existsSync(pythonOf(venv))) return false;
    return pythonBin === undefined || stamp.pythonBin === pythonBin;
  };
  return step({
    name: "Python packages",
    lock: `${venv}.lock`,
    isCurrent: () => isCurrent() || (pythonBin !== undefined && check(pythonBin, requirements)),
    async complete() {
      await fill({ venv, pythonBin, requirements });
      await compile(venv);
      writeStamp(stampOf(venv), { key: keyOf(venv, requirements), pythonBin });
    },
  });
}

function requirementLines(development) {
  const text = readFileSync(REQUIREMENTS, "utf8");
  const wanted = development ? text : text.split(DEVELOPMENT)[0];
  return wanted
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
}

/** The version stands in pyvenv.cfg, so that the check needs no Python start. */
function keyOf(venv, requirements) {
  const configuration = join(venv, "pyvenv.cfg");
  const version = existsSync(configuration)
    ? /^version(?:_info)?\s*=\s*(\S+)/m.exec(readFileSync(configuration, "utf8"))?.[1]
    : "";
  return digest(version ?? "", ...requirements);
}

async function fill({ venv, pythonBin, requirements }) {
  if (!usable(venv, pythonBin)) await create(venv, pythonBin);
  await install(venv, requirements);
  if (check(pythonOf(venv), ["--intact", ...requirements])) return;
  // An install that was cut off can leave a package that pip believes in: only a new environment is certain.
  say("the packages in the environment are damaged, making it anew");
  await create(venv, pythonBin);
  await install(venv, requirements);
  if (!check(pythonOf(venv), ["--intact", ...requirements], "inherit")) {
    throw new Problem(`pip finished, but ${venv} does not hold what requirements.txt asks for (see above).`);
  }
}

/** An environment whose interpreter or pip does not answer is the rest of a broken start. */
function usable(venv, pythonBin) {
  if (!existsSync(venv)) return false;
  const { status, stdout } = spawnSync(pythonOf(venv), ["-c", `import pip\n${PROBE}`], { encoding: "utf8" });
  if (status !== 0 || !newEnough(JSON.parse(stdout).version)) {
    say(`${venv} is incomplete or too old, making it anew`);
    return false;
  }
  if (pythonBin === undefined || findInterpreter(pythonBin).base === JSON.parse(stdout).base) return true;
  say(`${venv} was made from another interpreter than PYTHON_BIN, making it anew`);
  return false;
}

async function create(venv, pythonBin) {
  const { command, version } = findInterpreter(pythonBin);
  say(`virtual environment: ${command} (Python ${version.join(".")}) -> ${venv}`);
  rmSync(venv, { recursive: true, force: true });
  if ((await run(command, ["-m", "venv", venv])) !== 0) {
    rmSync(venv, { recursive: true, force: true });
    throw new Problem(`"${command} -m venv ${venv}" failed; its output is above.\n${venvHint(version)}`);
  }
}

async function install(venv, requirements) {
  say(`Python packages: pip install of ${requirements.length} requirements`);
  const pip = ["-m", "pip", "install", "--no-compile", "--disable-pip-version-check", "--no-input", ...requirements];
  await runWithRetries("pip install", pythonOf(venv), pip);
}

/** A worker loads a quarter of the files that pip installed: only those are worth compiling before the first start. */
async function compile(venv) {
  say("Python packages: compiling what a worker loads");
  const PYTHONPATH = [RUNTIME, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
  // Images of containers often forbid Python to keep byte code; every worker would compile it all anew then.
  const env = { ...process.env, PYTHONPATH, PYTHONDONTWRITEBYTECODE: "" };
  if ((await run(pythonOf(venv), ["-m", "thurstone_runtime.compile"], { env })) !== 0) {
    throw new Problem(`pip finished, but the packages in ${venv} cannot be imported (see above).`);
  }
}

/** Runs environment.py as a plain file: it needs nothing but the standard library. */
function check(python, args, stdio = "ignore") {
  return spawnSync(python, ["-B", CHECKER, ...args], { stdio }).status === 0;
}

/** PYTHON_BIN alone when it is set; else the first candidate that is new enough and can make environments. */
export function findInterpreter(pythonBin) {
  const tried = [];
  for (const command of pythonBin === undefined ? CANDIDATES : [pythonBin]) {
    const { status, stdout } = spawnSync(command, ["-c", PROBE], { encoding: "utf8" });
    if (status !== 0) continue;
    const found = { command, ...JSON.parse(stdout) };
    if (newEnough(found.version) && found.venv) return found;
    tried.push(found);
  }
  throw new Problem(explain(pythonBin, tried));
}

function newEnough([major, minor]) {
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

function explain(pythonBin, tried) {
  const wanted = `Python ${OLDEST.join(".")} or later is needed`;
  const withoutVenv = tried.find(({ version }) => newEnough(version));
  if (withoutVenv !== undefined) {
    return `${withoutVenv.command} is Python ${withoutVenv.version.join(".")}, but its venv or ensurepip module is missing.\n${venvHint(withoutVenv.version)}`;
  }
  const advice =
    "Install one (Debian, Ubuntu: sudo apt install python3.11 python3.11-venv) or set PYTHON_BIN to its path.";
  if (tried.length > 0) {
    const list = tried.map(({ command, version }) => `${command} is ${version.join(".")}`).join(", ");
    return `${wanted}; found only older ones: ${list}.\n${advice}`;
  }
  if (pythonBin !== undefined)
    return `${wanted}; PYTHON_BIN is "${pythonBin}", which does not run as a Python interpreter.`;
  return `${wanted}; none of ${CANDIDATES.join(", ")} is on PATH.\n${advice}`;
}

function venvHint([major, minor]) {
  return `On Debian and Ubuntu: sudo apt install python${major}.${minor}-venv. Or set PYTHON_BIN to a Python that has it.`;
}
