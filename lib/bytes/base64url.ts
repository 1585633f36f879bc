import type { Bytes } from "./octets.ts";

/** Base64url without padding (RFC 4648 §5). */
export function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

/**
 * Bytes of an unpadded base64url text; undefined unless it is the one text that encodes them, so that no
 * two texts stand for the same bytes (RFC 4648 §3.5: unused bits must be zero).
 */
export function fromBase64url(text: string): Bytes | undefined {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(Buffer.from(text, "base64url"));
  return base64url(bytes) === text ? bytes : undefined;
}
