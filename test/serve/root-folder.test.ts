import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRoot } from "../../src/serve/root-folder.js";
import type { RootFolder } from "../../src/serve/root-folder.js";

let folder: string;
let root: RootFolder;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "thurstone-root-")));
  await mkdir(join(folder, "root/sub"), { recursive: true });
  await mkdir(join(folder, "root-2"));
  await writeFile(join(folder, "secret.png"), "secret");
  await writeFile(join(folder, "root-2/secret.png"), "secret");
  await writeFile(join(folder, "root/a.png"), "aaa");
  await writeFile(join(folder, "root/sub/..b.png"), "bbbb");
  await symlink("../a.png", join(folder, "root/sub/inside.png"));
  await symlink("../../secret.png", join(folder, "root/sub/out.png"));
  await symlink(folder, join(folder, "root/up"));
  await symlink(join(folder, "nowhere.png"), join(folder, "root/dangling.png"));
  await symlink("root", join(folder, "link-to-root"));
  execFileSync("mkfifo", [join(folder, "root/pipe.png")]);
  root = await openRoot(join(folder, "root"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const read = async (path: string): Promise<string | null> => {
  const sizes: number[] = [];
  const bytes = await root.read(path, (size) => sizes.push(size));
  expect(sizes).toEqual(bytes === null ? [] : [bytes.length]);
  return bytes === null ? null : Buffer.from(bytes).toString();
};

describe("a root folder", () => {
  it("reads what is in it, by relative and absolute paths and by links that stay inside", async () => {
    expect(await read("a.png")).toBe("aaa");
    expect(await read("sub/../a.png")).toBe("aaa");
    expect(await read("sub/..b.png")).toBe("bbbb");
    expect(await read("sub/inside.png")).toBe("aaa");
    expect(await read("up/root/a.png")).toBe("aaa");
    expect(await read(join(folder, "root/a.png"))).toBe("aaa");
  });

  it("may itself be given by a link, and its files by that name", async () => {
    const linked = await openRoot(join(folder, "link-to-root"));
    for (const path of ["a.png", join(folder, "link-to-root/a.png"), join(folder, "root/a.png")]) {
      expect(Buffer.from((await linked.read(path, () => undefined))!).toString()).toBe("aaa");
    }
  });

  it.each(["../secret.png", "sub/../../secret.png", "..", ".", "", "/", "/etc/passwd", "../root-2/secret.png"])(
    "refuses %j, whether something is there or not",
    async (path) => {
      await expect(read(path)).rejects.toMatchObject({ code: "SERVE_OUTSIDE", status: 403 });
      await expect(root.read(join(folder, "secret.png"), () => undefined)).rejects.toMatchObject({
        code: "SERVE_OUTSIDE",
      });
    },
  );

  it.each([
    ["a link that leads out", "sub/out.png"],
    ["a file behind a folder that leads out", "up/secret.png"],
    ["what would not be there either", "up/nothing.png"],
    ["a link to nothing", "dangling.png"],
    ["nothing", "none.png"],
    ["a folder", "sub"],
    ["a pipe, for which it does not wait", "pipe.png"],
    ["a name that is none", "a.png\0.txt"],
    ["a file as if it were a folder", "a.png/b"],
    ["a name too long", "x".repeat(5000)],
  ])("has no file for %s", async (_, path) => {
    expect(await read(path)).toBeNull();
  });

  it("lets the size decide before it reads", async () => {
    const refuse = (): never => {
      throw new Error("too much");
    };
    await expect(root.read("a.png", refuse)).rejects.toThrow("too much");
  });

  it("must be a folder", async () => {
    await expect(openRoot(join(folder, "none"))).rejects.toMatchObject({ code: "SERVE_ROOT" });
    await expect(openRoot(join(folder, "secret.png"))).rejects.toMatchObject({ code: "SERVE_ROOT" });
  });
});
