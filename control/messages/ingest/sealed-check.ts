import type { Clock } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { asFault, Fault } from "#lib/fault";
import { type NodeKeys, type VerifiedIdentity, verifyIdentity } from "#lib/identity";
import { formerSignerMs, sealedUpAgeMaxMs } from "#lib/limits";
import type { Statement } from "#lib/runtime";
import type { UpMessage } from "#lib/session";
import { isSealed, openMessage, readSealedBody } from "#lib/statement";
import type { Db } from "../../db/index.ts";
import type { Messenger } from "../../messenger/index.ts";
import type { CheckMessage } from "./lane-checks.ts";

export interface SealedCheckDeps {
  readonly db: Db;
  readonly suite: CryptoSuite;
  readonly clock: Clock;
  readonly messenger: Messenger;
}

/** A sealed lane: whose messages come up in it, and for whom they are. */
export interface SealedLane {
  readonly lane: number;
  readonly agentId: string;
  readonly plugin: string;
  readonly consumer: string | null;
}

interface Ends {
  /** Of the node; undefined before it has an identity. */
  readonly node: VerifiedIdentity | undefined;
  readonly nodeRevoked: boolean;
  /** Changes that may be sealed to. */
  readonly kids: readonly string[];
  /** Set where Solaris itself is the consumer. */
  readonly own: NodeKeys | undefined;
}

/**
 * What a sealed lane takes: sealed to its consumer, under an id that it has not had. What is for Solaris itself is opened, in memory, and
 * must be the node's own, for this lane and id, of now; what is for another consumer only that one can open and verify. One check serves
 * one group: ids that it has let pass are known to it before they are written.
 */
export async function makeSealedCheck(deps: SealedCheckDeps, sealed: SealedLane): Promise<CheckMessage> {
  const { db, suite, clock } = deps;
  const { lane, agentId, plugin } = sealed;
  const ends = await endsOf(deps, sealed);
  const passed = new Set<string>();

  async function demandNew(id: string): Promise<void> {
    const [row] = await db.read<{ one: number }>("SELECT 1 AS one FROM sealed_ids WHERE lane = ? AND id = ?", [
      lane,
      id,
    ]);
    if (row !== undefined || passed.has(id)) throw new Fault("conflict", "an id that this lane has had");
  }

  async function demandGenuine({ id, body }: UpMessage): Promise<void> {
    const { kid } = readSealedBody(body);
    if (!ends.kids.includes(kid)) throw new Fault("crypto", "sealed to another than the plugin's consumer");
    const { own, node } = ends;
    if (own === undefined) return;
    if (node === undefined) throw new Fault("statement_invalid", "this agent has no identity");
    await openMessage(suite, body, {
      unseal: (jwe) => own.unseal(jwe),
      senders: [node],
      isRevoked: () => ends.nodeRevoked,
      recipient: own.identity.identifier,
      lane: { agent: agentId, plugin, direction: "up" },
      id,
      now: clock.now(),
      ageMaxMs: sealedUpAgeMaxMs,
      formerMs: formerSignerMs,
    });
  }

  return async (message) => {
    try {
      if (!isSealed(message)) throw new Fault("not_sealed");
      await demandGenuine(message);
      await demandNew(message.id);
    } catch (error) {
      const fault = asFault(error, "crypto");
      if (fault.entry.retry && fault.code !== "clock") throw fault; // the database's trouble, not the message's
      return { code: fault.code, reason: fault.message };
    }
    passed.add(message.id);
    return { also: [remember(lane, message.id, clock.now())] };
  };
}

const remember = (lane: number, id: string, at: number): Statement => ({
  sql: "INSERT INTO sealed_ids (lane, id, at) VALUES (?, ?, ?)",
  params: [lane, id, at],
});

async function endsOf({ db, suite, messenger }: SealedCheckDeps, { agentId, consumer }: SealedLane): Promise<Ends> {
  const [row] = await db.read<{ chain: Uint8Array; revoked: number }>(
    `SELECT i.chain, i.revoked_at IS NOT NULL OR a.revoked_at IS NOT NULL AS revoked FROM agents a
      JOIN agent_identities i ON i.identifier = a.identifier WHERE a.id = ?`,
    [agentId],
  );
  const node = row === undefined ? undefined : await verifyIdentity(suite, row.chain, { now: "any time" });
  const nodeRevoked = row?.revoked === 1;
  if (consumer === null) {
    const own = await messenger.keys();
    return { node, nodeRevoked, kids: [own.identity.last.hash], own };
  }
  const [service] = await db.read<{ kid: string; formerKid: string | null }>(
    `SELECT i.kid, i.former_kid AS formerKid FROM agents a JOIN agent_identities i ON i.identifier = a.identifier
      WHERE a.id = ?`,
    [consumer],
  );
  const kids = [service?.kid, service?.formerKid].flatMap((kid) => kid ?? []);
  return { node, nodeRevoked, kids, own: undefined };
}
