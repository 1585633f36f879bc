const waitMaxMs = 60_000;

/** `wait=N` of a `Prefer` header (RFC 7240 §4.3) in ms, at most 60,000; 0 without one. */
export function preferredWaitMs(header: string | undefined): number {
  const seconds = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?=$|[,;])/i.exec(header ?? "")?.[1];
  return seconds === undefined ? 0 : Math.min(Number(seconds) * 1_000, waitMaxMs);
}
