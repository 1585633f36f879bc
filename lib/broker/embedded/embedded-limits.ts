import type { Destination } from "../broker.ts";
import type { EmbeddedBrokerOptions } from "./embedded-broker.ts";

const mebibyte = 1024 * 1024;

/** Bytes that may wait in a queue of each kind, and in all of them. */
export interface Limits {
  readonly down: number;
  readonly up: number;
  readonly event: number;
  readonly command: number;
  readonly all: number;
}

/** What the options say, or the defaults. */
export function limitsOf(options: EmbeddedBrokerOptions): Limits {
  return {
    down: options.laneBytesMax ?? 256 * mebibyte,
    up: options.upBytesMax ?? 1024 * mebibyte,
    event: options.eventBytesMax ?? 512 * mebibyte,
    command: 8 * mebibyte,
    all: options.bytesMax ?? 4096 * mebibyte,
  };
}

/** What a publish is refused by. Events are trimmed by the purge instead. */
export function refusingBytesMax(limits: Limits, kind: Destination["kind"]): number {
  return kind === "event" ? Number.MAX_SAFE_INTEGER : limits[kind];
}
