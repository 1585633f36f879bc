import { fromBase64url, hex } from "#lib/bytes";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { verifyCheckpoint } from "#lib/statement";
import { type ExportLine, entryOfLine } from "./export.ts";
import { type AuditHead, breakOf, emptyHead } from "./rules.ts";

/** What a verification found. */
export interface Verified {
  readonly entries: number;
  /** Checkpoints whose signature holds. */
  readonly checkpoints: number;
  /** Signed through this entry; what is behind it could still be changed by whoever holds the database. */
  readonly signedThrough: number;
  /** What does not fit, at most 100; empty = the log is whole. */
  readonly problems: readonly string[];
}

const problemsMax = 100;

/**
 * Verifies an exported log without a network or a database: every entry follows the one before, and every checkpoint is the
 * authority's word on the entry it names. `authority` is the identifier that is trusted, known from elsewhere.
 */
export async function verifyLog(
  suite: CryptoSuite,
  lines: AsyncIterable<ExportLine>,
  { authority, now }: { readonly authority: string; readonly now: number },
): Promise<Verified> {
  const problems: string[] = [];
  const note = (problem: string) => void (problems.length < problemsMax && problems.push(problem));
  const checkpoints: Extract<ExportLine, { kind: "checkpoint" }>[] = [];
  const hashes = new Map<number, string>();
  let head: AuditHead = emptyHead;
  let signer: VerifiedIdentity | undefined;
  for await (const line of lines) {
    if (line.kind === "authority") signer = await signerOf(suite, line.chain, authority);
    else if (line.kind === "checkpoint") checkpoints.push(line);
    else {
      const entry = entryOfLine(line);
      const problem = await breakOf(suite, head, entry);
      if (problem !== undefined) note(problem);
      hashes.set(entry.number, hex(entry.hash));
      head = entry;
    }
  }
  if (signer === undefined) throw new Fault("bad_request", "the export has no authority");
  let [held, signedThrough] = [0, 0];
  for (const { number, statement } of checkpoints) {
    const problem = await checkpointProblem(suite, statement, { signer, now, number, hash: hashes.get(number) });
    if (problem === "superseded") continue;
    if (problem !== undefined) note(problem);
    else {
      held++;
      signedThrough = Math.max(signedThrough, number);
    }
  }
  return { entries: hashes.size, checkpoints: held, signedThrough, problems };
}

async function signerOf(suite: CryptoSuite, chain: string, expected: string): Promise<VerifiedIdentity> {
  return verifyIdentity(suite, fromBase64url(chain) ?? new Uint8Array(), { now: "any time", expected });
}

async function checkpointProblem(
  suite: CryptoSuite,
  statement: string,
  expected: { signer: VerifiedIdentity; now: number; number: number; hash: string | undefined },
): Promise<string | undefined> {
  const { signer, now, number, hash } = expected;
  try {
    const claims = await verifyCheckpoint(suite, statement, { authority: signer, now });
    if (claims.number !== number) return `checkpoint ${number} names entry ${claims.number}`;
    return claims.hash === hash ? undefined : `checkpoint ${number} signs another entry than the one that is there`;
  } catch (error) {
    // Signed by a key that a rotation replaced: the checkpoint signed then covers all that this one did.
    if (asFault(error, "internal").code === "statement_stale") return "superseded";
    return `checkpoint ${number}: ${asFault(error, "internal").code}`;
  }
}
