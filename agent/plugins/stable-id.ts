import { hex, utf8 } from "#lib/bytes";

/** 32 hex digits that are the same for the same parts: a message id that a repeat finds again. */
export async function stableId(...parts: readonly (string | Uint8Array)[]): Promise<string> {
  const digests = await Promise.all(
    parts.map((part) => crypto.subtle.digest("SHA-256", typeof part === "string" ? utf8(part) : Uint8Array.from(part))),
  );
  // A hash of hashes: no part can run into the next.
  const joined = new Uint8Array(digests.length * 32);
  for (const [index, digest] of digests.entries()) joined.set(new Uint8Array(digest), index * 32);
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", joined))).slice(0, 32);
}
