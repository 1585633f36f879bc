import { z } from "zod";
import type { Broker, Unlisten, Value } from "#lib/broker";
import { decodeCbor, encodeCbor } from "#lib/bytes";
import type { Cancel, Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import type { Log } from "#lib/log";
import { identifierSchema, nameSchema, numberSchema } from "#lib/session";
import type { SessionKey } from "../replica/solaris-client.ts";

/** A replica's lease is written this often; it lives 15 s (DESIGN §5). */
const leaseEveryMs = 5_000;
/** Writes of one place that meet another writer. */
const triesMax = 5;

const placeSchema = z.strictObject({ replica: identifierSchema, epoch: numberSchema });
const displacedSchema = z.strictObject({
  type: z.literal("displaced"),
  agent: nameSchema,
  slot: z.union([z.literal(0), z.literal(1)]),
  epoch: numberSchema,
});

/** What presence needs from around it. */
export interface PresenceParts {
  readonly broker: Pick<Broker, "get" | "put" | "remove" | "send" | "listen" | "onRestored">;
  readonly clock: Clock;
  readonly log: Log;
  /** Identifier of this replica: its name in presence. */
  readonly replica: string;
  /** Another replica holds a slot under a newer epoch. */
  displaced(session: SessionKey): void;
}

/**
 * Where the sessions of this replica are to be found: its own lease, and for each slot the replica and epoch, written
 * by compare-and-set on the epoch and whole again after every reconnect to the broker.
 */
export class Presence {
  readonly #parts: PresenceParts;
  readonly #held = new Map<string, SessionKey>();
  readonly #unlisten: readonly Unlisten[];
  #cancel: Cancel = () => undefined;
  #closed = false;

  constructor(parts: PresenceParts) {
    this.#parts = parts;
    this.#unlisten = [
      parts.broker.listen({ kind: "gateways" }, (bytes) => this.#hear(bytes)),
      parts.broker.onRestored(() => void this.#restore()),
    ];
  }

  /** Writes the lease now and every 5 s. Resolves after the first try. */
  start(): Promise<void> {
    return this.#lease();
  }

  /** Writes that the slot is here. Fault `displaced` when a newer epoch holds it, `broker`. */
  async claim(session: SessionKey): Promise<void> {
    const { broker, replica } = this.#parts;
    const former = await this.#write(session);
    this.#held.set(keyOf(session), session);
    if (former === undefined || former.replica === replica) return;
    const { agentId, slot, epoch } = session;
    broker.send({ kind: "gateways" }, encodeCbor({ type: "displaced", agent: agentId, slot, epoch }));
  }

  /** Takes the slot out if this epoch still holds it. Not awaited: what is left over names a session that is gone. */
  release(session: SessionKey): void {
    if (this.#held.get(keyOf(session))?.epoch === session.epoch) this.#held.delete(keyOf(session));
    this.#remove(session).catch((error) => {
      this.#parts.log.debug("presence could not be removed", { code: asFault(error, "broker").code });
    });
  }

  /** Takes the replica's lease out: nobody is to be found here any more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel();
    for (const unlisten of this.#unlisten) unlisten();
    const { broker, replica } = this.#parts;
    await broker.remove({ kind: "node", replica }).catch(() => undefined); // it runs out by itself
  }

  async #lease(): Promise<void> {
    this.#cancel();
    const { broker, clock, replica, log } = this.#parts;
    try {
      await broker.put({ kind: "node", replica }, encodeCbor({ at: clock.now() }));
    } catch (error) {
      log.warn("the lease of this replica could not be written", { code: asFault(error, "broker").code });
    }
    if (!this.#closed) this.#cancel = clock.after(leaseEveryMs, () => void this.#lease());
  }

  async #restore(): Promise<void> {
    if (this.#closed) return;
    await this.#lease();
    for (const session of [...this.#held.values()]) {
      if (this.#closed || this.#held.get(keyOf(session)) !== session) continue;
      await this.#write(session).catch((error) => this.#lost(session, error));
    }
  }

  #lost(session: SessionKey, error: unknown): void {
    const { code } = asFault(error, "broker");
    if (code === "displaced") this.#parts.displaced({ ...session, epoch: session.epoch + 1 });
    else this.#parts.log.warn("presence could not be written again", { code });
  }

  /** What the place held before, if this epoch may follow it. */
  async #write(session: SessionKey): Promise<z.infer<typeof placeSchema> | undefined> {
    const { broker, replica } = this.#parts;
    const name = nameOf(session);
    const bytes = encodeCbor({ replica, epoch: session.epoch });
    for (let tries = 0; tries < triesMax; tries++) {
      const value = await broker.get(name);
      const former = placeIn(value);
      if (former !== undefined && former.epoch > session.epoch) throw new Fault("displaced");
      try {
        await broker.put(name, bytes, { expect: value?.revision ?? 0 });
        return former;
      } catch (error) {
        if (!(error instanceof Fault) || error.code !== "conflict") throw error;
      }
    }
    throw new Fault("broker", "presence was written by others each time");
  }

  async #remove(session: SessionKey): Promise<void> {
    const { broker, replica } = this.#parts;
    const name = nameOf(session);
    const value = await broker.get(name);
    const place = placeIn(value);
    if (value === undefined || place?.epoch !== session.epoch || place.replica !== replica) return;
    await broker.remove(name, { expect: value.revision });
  }

  #hear(bytes: Uint8Array): void {
    const heard = displacedSchema.safeParse(decodedOrUndefined(bytes));
    if (!heard.success) return; // another kind of message, or nonsense: a hint is only a hint
    const { agent, slot, epoch } = heard.data;
    this.#parts.displaced({ agentId: agent, slot, epoch });
  }
}

function nameOf({ agentId, slot }: SessionKey) {
  return { kind: "agent", agent: agentId, slot } as const;
}

function keyOf({ agentId, slot }: SessionKey): string {
  return `${agentId}.${slot}`;
}

/** What a place says; one that can't be read counts as empty and is overwritten. */
function placeIn(value: Value | undefined): z.infer<typeof placeSchema> | undefined {
  return value === undefined ? undefined : placeSchema.safeParse(decodedOrUndefined(value.bytes)).data;
}

function decodedOrUndefined(bytes: Uint8Array): unknown {
  try {
    return decodeCbor(bytes);
  } catch {
    return undefined; // judged by the schema
  }
}
