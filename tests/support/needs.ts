import { describe, expect, test } from "bun:test";

/**
 * `describe` when `program` is on the PATH, or when `there` says so of something else. Otherwise a skip that names what would enable it, which is a failure where
 * `TEST_SKIPS_FAIL=1` says that everything must be there (CI).
 */
export function needs(
  program: string,
  enabledBy: string,
  there = Bun.which(program) !== null,
): (name: string, suite: () => void) => void {
  if (there) return describe;
  return (name) => {
    const reason = `${name} (needs ${program}: ${enabledBy})`;
    if (process.env.TEST_SKIPS_FAIL === "1")
      test(reason, () => {
        expect(program).toBe("there");
      });
    else test.skip(reason, () => undefined);
  };
}
