import { z } from "zod";
import { type Bytes, decodeCbor, encodeCbor } from "#lib/bytes";
import { positionOf } from "#lib/delivery";
import type { Fault, FaultCode } from "#lib/fault";
import { batchMessagesMax, carriedBodyBytesMax } from "#lib/limits";
import type { SqlValue } from "#lib/runtime";
import { type DownMessage, downEntrySchema, downMessageSchema } from "#lib/session";
import { type EncodedUp, encodeUp } from "./up-letters.ts";

/** A broker entry as it came over the tunnel, read as far as it can be. */
export interface IncomingEntry {
  readonly created: string;
  readonly seq: number;
  /** When the broker took it, ms. */
  readonly at: number;
  readonly body: Bytes;
  /** Its messages by index; null = is none, a letter tells why. */
  readonly messages: readonly (DownMessage | null)[];
  readonly letters: readonly EncodedUp[];
  /** When sealed messages among them were signed, by id, ms. */
  readonly signedAt?: ReadonlyMap<string, number>;
  /** Ids of messages before this may be forgotten, ms; absent: as the broker's time says. */
  readonly forgetBefore?: number;
}

/** An entry in the inbox: what is null was skipped (a repeat, or no message). */
export interface StoredEntry {
  readonly n: number;
  readonly created: string;
  readonly seq: number;
  readonly messages: readonly (DownMessage | null)[];
}

/** Where an entry came from and whom it must name. */
export interface EntryOrigin {
  readonly agent: string;
  readonly plugin: string;
  readonly created: string;
  readonly seq: number;
  readonly at: number;
  readonly now: number;
  /** An id for a letter about something that has none. */
  readonly newId: () => string;
}

/** Reads what came from the broker. Never throws for what a peer sent: what does not fit becomes a dead letter (PROTOCOL §8). */
export function readIncoming(body: Bytes, origin: EntryOrigin): IncomingEntry {
  const { created, seq, at } = origin;
  const read = readEntry(body, origin);
  if (typeof read === "string") return wholeDead(body, origin, read);
  const letters: EncodedUp[] = [];
  const messages = read.map((item, index) => {
    const parsed = downMessageSchema.safeParse(item);
    if (parsed.success) return parsed.data;
    letters.push(letter(bytesOf(item), origin, index, "invalid", idIn(item)));
    return null;
  });
  return { created, seq, at, body, messages, letters };
}

/** An entry that Nexus could not forward: its place is taken, and a letter tells so. */
export function unreadableEntry(origin: EntryOrigin, code: FaultCode): IncomingEntry {
  return wholeDead(new Uint8Array(), origin, code);
}

/** Messages of an entry's body as it lies in the store. */
export function readStoredMessages(
  body: SqlValue | undefined,
  count: number,
  skip: SqlValue | undefined,
): (DownMessage | null)[] {
  const skipped = new Set<unknown>(typeof skip === "string" ? JSON.parse(skip) : []);
  if (!(body instanceof Uint8Array) || body.length === 0) return Array.from({ length: count }, () => null);
  const items = frameSchema.parse(decodeCbor(body)).messages;
  return items.map((item, index) => (skipped.has(index) ? null : downMessageSchema.parse(item)));
}

/** The frame of an entry, its messages not yet looked at: one bad message must not cost its neighbours. */
const frameSchema = downEntrySchema.extend({ messages: z.array(z.unknown()).min(1).max(batchMessagesMax) });

function readEntry(body: Bytes, origin: EntryOrigin): readonly unknown[] | FaultCode {
  let value: unknown;
  try {
    value = decodeCbor(body);
  } catch {
    return "malformed"; // the letter carries the bytes
  }
  const frame = frameSchema.safeParse(value);
  if (!frame.success) return "invalid";
  if (frame.data.agent !== origin.agent) return "wrong_agent";
  return frame.data.plugin === origin.plugin ? frame.data.messages : "unknown_plugin";
}

function wholeDead(body: Bytes, origin: EntryOrigin, code: FaultCode): IncomingEntry {
  const { created, seq, at } = origin;
  return { created, seq, at, body, messages: [null], letters: [letter(body, origin, 0, code)] };
}

/** A dead letter about a message that the lane does not take, whole. */
export function letterAbout(
  { contentType, body }: DownMessage,
  about: string | undefined,
  origin: Pick<EntryOrigin, "created" | "seq" | "now" | "newId">,
  index: number,
  { code, message: reason }: Fault,
): EncodedUp {
  return encodeUp(
    {
      kind: "dead",
      id: origin.newId(),
      time: origin.now,
      ...(about === undefined ? {} : { about }),
      position: positionOf(origin.seq, index),
      code,
      reason: reason.slice(0, 500),
      tries: 0,
      ...(contentType === undefined ? {} : { contentType }),
      body,
    },
    origin.created,
  );
}

function letter(body: Bytes, origin: EntryOrigin, index: number, code: FaultCode, about?: string): EncodedUp {
  return encodeUp(
    {
      kind: "dead",
      id: origin.newId(),
      time: origin.now,
      ...(about === undefined ? {} : { about }),
      position: positionOf(origin.seq, index),
      code,
      tries: 0,
      body: body.length > carriedBodyBytesMax ? body.slice(0, carriedBodyBytesMax) : body,
    },
    origin.created,
  );
}

function bytesOf(item: unknown): Bytes {
  return encodeCbor(item as Parameters<typeof encodeCbor>[0]); // it was decoded from CBOR
}

function idIn(item: unknown): string | undefined {
  const parsed = downMessageSchema.pick({ id: true }).loose().safeParse(item);
  return parsed.success ? parsed.data.id : undefined;
}
