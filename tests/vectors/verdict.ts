import { hex } from "#lib/bytes";
import { type CryptoSuite, nobleSuite, webSuite } from "#lib/crypto";

/** What became of one case of a vector file. */
export type Verdict =
  | { readonly kind: "passed" }
  | { readonly kind: "failed"; readonly name: string; readonly reason: string }
  | { readonly kind: "not applicable"; readonly reason: string };

const passed: Verdict = { kind: "passed" };

export function notApplicable(reason: string): Verdict {
  return { kind: "not applicable", reason };
}

/** A case went other than the file says; its message becomes the reason shown. */
export class Mismatch extends Error {
  override readonly name = "Mismatch";
}

/** Throws a Mismatch unless both are the same bytes; shows the first few of each. */
export function demandSame(what: string, actual: Uint8Array, expected: Uint8Array): void {
  if (hex(actual) !== hex(expected)) throw new Mismatch(`${what} is ${short(actual)}, not ${short(expected)}`);
}

function short(bytes: Uint8Array): string {
  const text = hex(bytes);
  return text === "" ? "empty" : text.length > 40 ? `${text.slice(0, 40)}… (${bytes.length} bytes)` : text;
}

export const suiteNames = ["both", "web", "noble"] as const;
export type SuiteName = (typeof suiteNames)[number];

/**
 * Runs one case on each suite asked for. It counts once, and has passed only if it passes on all of them. Whatever
 * is thrown is a failure: a Mismatch, a Fault where there should be none, and a bug alike.
 */
export async function onSuites(
  which: SuiteName,
  name: string,
  work: (suite: CryptoSuite) => Promise<void>,
): Promise<Verdict> {
  for (const suite of [webSuite, nobleSuite]) {
    if (which !== "both" && which !== suite.name) continue;
    try {
      await work(suite);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { kind: "failed", name, reason: `on ${suite.name}: ${text}` };
    }
  }
  return passed;
}
