/**
 * Fetches packages that carry photographs, with the registries' own clients, and unpacks them without installing.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** Everything is fetched and unpacked below `folder`. */
export function createFetcher(folder) {
  const run = (command, args) => execFileSync(command, args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });
  return {
    /** @returns where the package's own tree begins */
    debian(name) {
      run("apt-get", ["download", "-qq", name]);
      run("sh", ["-c", 'dpkg -x "$1"_*.deb "$1"', "sh", name]);
      return join(folder, name);
    },
    npm(name, version) {
      const target = name.replaceAll("/", "-").replace("@", "");
      mkdirSync(join(folder, target), { recursive: true });
      run("npm", ["pack", "--silent", `${name}@${version}`, "--pack-destination", target]);
      run("sh", ["-c", 'cd "$1" && tar xzf ./*.tgz', "sh", target]);
      return join(folder, target, "package");
    },
    pypi(name, version) {
      run("python3", [
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version=3.11",
        "--dest",
        name,
        `${name}==${version}`,
      ]);
      run("sh", ["-c", 'python3 -m zipfile -e "$1"/*.whl "$1"', "sh", name]);
      return join(folder, name);
    },
  };
}
