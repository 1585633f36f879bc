/** A close code as the next connection may be told it (RFC 6455 §7.4); undefined for a connection that was lost. */
export function sendable(code: number): number | undefined {
  if (code === 1_005) return 1_000; // none was given
  return code === 1_000 || (code >= 1_001 && code <= 1_003) || (code >= 1_007 && code <= 1_014) || code >= 3_000
    ? code
    : undefined;
}
