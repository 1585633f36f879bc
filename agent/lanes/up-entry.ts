import { type Bytes, concat, encodeCbor } from "#lib/bytes";
import type { LaneStatus } from "#lib/session";

/** What an up entry holds, its messages already encoded. */
export interface UpEntryParts {
  readonly plugin: string;
  readonly generation: number;
  readonly first: number;
  readonly status: LaneStatus | undefined;
  readonly count: number;
  /** CBOR of `count` messages, one behind the other. */
  readonly messages: readonly Bytes[];
}

/**
 * The bytes of `encodeEntry` for these parts, without reading the messages again. Deterministic CBOR sorts a map's keys by
 * their bytes, shorter ones first (RFC 8949 §4.2.1): v, first, plugin, status, messages, generation.
 */
export function encodeUpEntry({ plugin, generation, first, status, count, messages }: UpEntryParts): Bytes {
  const pair = (name: string, value: Parameters<typeof encodeCbor>[0]) => [encodeCbor(name), encodeCbor(value)];
  const defined = status === undefined ? undefined : statusFields(status);
  return concat(
    Uint8Array.of(0xa0 + (defined === undefined ? 5 : 6)),
    ...pair("v", 1),
    ...pair("first", first),
    ...pair("plugin", plugin),
    ...(defined === undefined ? [] : pair("status", defined)),
    encodeCbor("messages"),
    arrayHead(count),
    ...messages,
    ...pair("generation", generation),
  );
}

function statusFields({ waiting, ...fields }: LaneStatus) {
  return waiting === undefined ? fields : { ...fields, waiting };
}

/** Head of an array of `count` items (RFC 8949 §3): what an array of so many nulls begins with. */
function arrayHead(count: number): Bytes {
  if (count < 24) return Uint8Array.of(0x80 + count);
  return count < 256 ? Uint8Array.of(0x98, count) : Uint8Array.of(0x99, count >> 8, count & 0xff);
}
