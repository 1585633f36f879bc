import { utf8 } from "#lib/bytes";

const padded = (name: string) => {
  const bytes = new Uint8Array(16);
  bytes.set(utf8(name));
  return bytes;
};

/** Names (16 bytes) of the three message streams of a session; Mercury opens them in this order. */
export const sessionStreams = {
  control: padded("control"),
  down: padded("down"),
  up: padded("up"),
} as const;

/** Name of the message stream of an end-to-end channel; its initiator opens it. All others are connections of portals. */
export const peerStream = padded("peer");
