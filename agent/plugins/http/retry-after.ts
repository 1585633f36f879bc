const dayMs = 24 * 3_600_000;

/** Milliseconds that a `Retry-After` header asks for (RFC 9110 §10.2.3: seconds or a date); at most a day. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  const waitMs = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs;
  return Number.isFinite(waitMs) ? Math.min(Math.max(waitMs, 0), dayMs) : undefined;
}
