import { describe, expect, it } from "vitest";
import { workerEnvironment } from "../../src/trainer/open-policy.js";

describe("the environment of a worker", () => {
  it("asks the C library for huge pages", () => {
    expect(workerEnvironment("/runtime", {})).toEqual({
      PYTHONPATH: "/runtime",
      GLIBC_TUNABLES: "glibc.malloc.hugetlb=1",
    });
  });

  it("leaves what the user has chosen", () => {
    expect(workerEnvironment("/runtime", { GLIBC_TUNABLES: "glibc.malloc.check=1" })).toEqual({
      PYTHONPATH: "/runtime",
    });
  });
});
