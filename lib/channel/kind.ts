/** First byte of every message on a wire (PROTOCOL §7). */
export const messageKind = {
  /** 0x01 ‖ Noise message. */
  handshake: 0x01,
  /** 0x02 ‖ 8-byte counter ‖ AES-256-GCM ciphertext ‖ 16-byte tag. */
  record: 0x02,
  /** 0x03 ‖ 4-byte relay id ‖ an inner 0x01 or 0x02 of an end-to-end channel. */
  relay: 0x03,
  /** 0x04 ‖ code ‖ optional answer of Solaris; before the handshake only. */
  refusal: 0x04,
} as const;
