/** WebSocket close codes of ours: a client may send 1000 and 3000 … 4999 only (RFC 6455 §7.4.2; WebSocket standard `close()`). */
export const closeCode = {
  /** A wire's end that was asked for. */
  normal: 1000,
  /** A text message came. */
  binaryOnly: 4003,
  /** More came before a receiver than is held. */
  tooEarly: 4009,
  /** The peer does not take what is sent. */
  full: 4013,
  /** A channel ended with a fault; the reason is its code. */
  fault: 4000,
} as const;
