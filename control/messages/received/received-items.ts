import { z } from "zod";
import { type Bytes, type CborValue, decodeCbor, encodeCbor } from "#lib/bytes";
import { carriedBodyBytesMax } from "#lib/limits";
import { bytesSchema, numberSchema, timeSchema } from "#lib/session";

/** One message of a stored entry. */
export interface ReceivedItem {
  /** Its number in the lane's generation. */
  readonly number: number;
  readonly id: string;
  /** When the site stored it. */
  readonly time: number;
  readonly contentType?: string | undefined;
  readonly body: Bytes;
}

const itemsSchema = z.array(
  z.tuple([numberSchema, z.string(), timeSchema, z.string().nullable(), bytesSchema(carriedBodyBytesMax)]),
);

/** Items as they are sealed: an array each, names would be half of a small message. */
export function encodeItems(items: readonly ReceivedItem[]): Bytes {
  return encodeCbor(
    items.map(({ number, id, time, contentType, body }): CborValue => [number, id, time, contentType ?? null, body]),
  );
}

/** What `encodeItems` was given. */
export function decodeItems(bytes: Uint8Array): ReceivedItem[] {
  return itemsSchema.parse(decodeCbor(bytes)).map(([number, id, time, contentType, body]) => ({
    number,
    id,
    time,
    ...(contentType === null ? {} : { contentType }),
    body: new Uint8Array(body),
  }));
}
