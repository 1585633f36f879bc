import { fromUtf8, utf8 } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { Fault } from "#lib/fault";
import type { Lease } from "../broker.ts";
import { leaseSubject } from "../subjects.ts";
import { type NatsValues, valueOfMessage } from "./nats-values.ts";

const stream = "VALUES";

interface Holding {
  readonly holder: string;
  /** Revision under which it was acquired; 0 in that first writing itself. */
  readonly number: number;
  readonly until: number;
}

/** A lease as a last value, compared and set: its number is the revision under which it was acquired. */
export async function acquireNatsLease(
  values: NatsValues,
  clock: Clock,
  name: string,
  holder: string,
  termMs: number,
): Promise<Lease | undefined> {
  const subject = leaseSubject(name);
  const write = (holding: Holding, expect: number) =>
    values.write(stream, subject, utf8(JSON.stringify(holding)), expect).catch((error: unknown) => {
      if (error instanceof Fault && error.code === "conflict") return undefined;
      throw error;
    });
  const held = await read(values, subject);
  if (held !== undefined && held.until > clock.now()) return undefined;
  const number = await write({ holder, number: 0, until: clock.now() + termMs }, held?.revision ?? 0);
  if (number === undefined) return undefined;
  let until = clock.now() + termMs;
  let revision = number;
  const mine = async () => {
    const now = await read(values, subject);
    return now !== undefined && (now.number === number || now.revision === number) ? now.revision : undefined;
  };
  return {
    name,
    number,
    async renew() {
      if (until < clock.now()) return false;
      const next = clock.now() + termMs;
      let written = await write({ holder, number, until: next }, revision);
      if (written === undefined) {
        const current = await mine(); // an earlier renewal may have arrived though its answer did not
        if (current !== undefined) written = await write({ holder, number, until: next }, current);
      }
      if (written === undefined) return false;
      revision = written;
      until = next;
      return true;
    },
    async release() {
      until = 0;
      const current = await mine();
      if (current !== undefined) await write({ holder, number, until: 0 }, current);
    },
  };
}

async function read(values: NatsValues, subject: string): Promise<(Holding & { revision: number }) | undefined> {
  const message = await values.read(stream, subject);
  if (message === undefined) return undefined;
  const value = valueOfMessage(message);
  try {
    const holding = JSON.parse(fromUtf8(value.bytes)) as Partial<Holding>; // our own writing; checked below
    const { holder = "", number = 0, until = 0 } = holding;
    if (typeof holder !== "string" || typeof number !== "number" || typeof until !== "number") throw new TypeError();
    return { holder, number, until, revision: value.revision };
  } catch (cause) {
    throw new Fault("broker", "a lease in the broker can't be read", { cause });
  }
}
