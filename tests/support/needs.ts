import { describe, expect, test } from "bun:test";

/**
 * `describe` when `program` is on the PATH. Otherwise a skip that names what would enable it, which is a failure where
 * `TEST_SKIPS_FAIL=1` says that everything must be there (CI).
 */
export function needs(program: string, enabledBy: string): (name: string, suite: () => void) => void {
  if (Bun.which(program) !== null) return describe;
  return (name) => {
    const reason = `${name} (needs ${program}: ${enabledBy})`;
    if (process.env.TEST_SKIPS_FAIL === "1")
      test(reason, () => {
        expect(program).toBe("on the PATH");
      });
    else test.skip(reason, () => undefined);
  };
}
