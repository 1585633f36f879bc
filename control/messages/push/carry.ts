import type { Bytes } from "#lib/bytes";
import type { Clock, Random } from "#lib/clock";
import type { CryptoSuite } from "#lib/crypto";
import { Fault } from "#lib/fault";
import { isSealed, readSealedBody, sealedContentType, sealMessage } from "#lib/statement";
import type { Db } from "../../db/index.ts";
import type { Lane } from "../../lanes/index.ts";
import type { Messenger } from "../../messenger/index.ts";
import type { PushItem } from "./push-item.ts";

/** A message as it goes to the broker. */
export interface Carried {
  readonly contentType?: string;
  readonly replays?: string;
  readonly body: Bytes;
}

/**
 * Makes pushed messages what their lane carries: as they are for a lane that is not sealed; else sealed to the node of now, by Solaris or
 * as their caller sealed them. The plaintext is in memory alone. Faults: `invalid` for a sealed message where none is taken, or one
 * sealed to another key; `too_large`; `unavailable` before the node has an identity.
 */
export type Carry = (
  lane: Lane,
  sealed: boolean,
  messages: readonly { readonly id: string; readonly item: PushItem }[],
) => Promise<(Carried | Fault)[]>;

export interface CarryDeps {
  readonly db: Db;
  readonly suite: CryptoSuite;
  readonly random: Random;
  readonly clock: Clock;
  readonly messenger: Messenger;
}

interface Recipient {
  readonly identifier: string;
  readonly kid: string;
  readonly x25519: Uint8Array;
  readonly formerKid: string | null;
}

export function makeCarry(deps: CarryDeps): Carry {
  async function recipientOf(lane: Lane): Promise<Recipient> {
    const [row] = await deps.db.read<Recipient>(
      `SELECT i.identifier, i.kid, i.x25519, i.former_kid AS formerKid FROM agents a
        JOIN agent_identities i ON i.identifier = a.identifier WHERE a.id = ?`,
      [lane.agentId],
    );
    if (row === undefined)
      throw new Fault("unavailable", "this agent is not enrolled yet: there is nobody to seal to", {
        detail: { retryAfterMs: 10_000 },
      });
    return row;
  }

  async function seal(lane: Lane, recipient: Recipient, id: string, item: PushItem): Promise<Carried> {
    const { contentType, replays, body } = item;
    if (isSealed(item) && replays === undefined) return { contentType: sealedContentType, body: own(recipient, body) };
    const { agentId: agent, plugin } = lane;
    const sender = await deps.messenger.keys();
    const to = { sender, recipient, lane: { agent, plugin, direction: "down" } as const, now: deps.clock.now() };
    // A sealed one that is replayed travels inside as its sender made it: nobody here can open it.
    const content = { id, contentType, replays, body };
    return { contentType: sealedContentType, body: await sealMessage(deps.suite, deps.random, to, content) };
  }

  return async (lane, sealed, messages) => {
    if (!sealed) return messages.map(({ item }) => (isSealed(item) ? notHere() : plain(item)));
    const recipient = await recipientOf(lane);
    return Promise.all(
      messages.map(async ({ id, item }) => {
        try {
          return await seal(lane, recipient, id, item);
        } catch (error) {
          if (error instanceof Fault) return error;
          throw error;
        }
      }),
    );
  };
}

const plain = ({ contentType, replays, body }: PushItem): Carried => ({
  ...(contentType === undefined ? {} : { contentType }),
  ...(replays === undefined ? {} : { replays }),
  body,
});

const notHere = () =>
  new Fault("invalid", undefined, { detail: { contentType: "this plugin is not sealed: it can't open the message" } });

/** What a caller sealed, if it is of our form and to a key that the node has. Whose it is only the node can say. */
function own({ kid, formerKid }: Recipient, body: Bytes): Bytes {
  const to = readSealedBody(body).kid;
  if (to === kid || to === formerKid) return body;
  throw new Fault("invalid", undefined, {
    detail: { body: "sealed to another key than the node's: get its identity again" },
  });
}
