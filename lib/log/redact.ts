const MASK = "‹redacted›";
const SECRET_FIELD =
  /pass(word|phrase)?|secret|token|authorization|cookie|private|credential|api-?key|licen[cs]e-?key|\bkey$/i;
/** Compact JWS and JWE, our own keys and tokens, Basic and Bearer values, passwords in URLs. */
const SECRET_TEXT = [
  /\b[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+){0,2}\b(?=.{0}|$)/g,
  /\b(mercury|nexus|solaris|licence)_[A-Za-z0-9_-]{20,}/g,
  /\b(Basic|Bearer)\s+[A-Za-z0-9._~+/=-]{6,}/gi,
  /\bMercury\s+[A-Za-z0-9._-]{20,}/gi, // longer than a word: `mercury enroll` is something to do
  /(?<=\/\/[^/\s:@]*:)[^/\s@]+(?=@)/g,
];

/** `value` without what looks secret, by field name and by form. Depth at most 6, texts cut at 2,000 characters. */
export function redact(value: unknown, field = "", depth = 0): unknown {
  if (typeof value === "string") return SECRET_FIELD.test(field) ? MASK : redactText(value);
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return `‹${value.length} bytes›`;
  if (depth >= 6) return "‹deep›";
  if (value instanceof Error) {
    const code = "code" in value ? { code: value.code } : {};
    return { name: value.name, ...code, message: redactText(value.message), cause: redact(value.cause, "", depth + 1) };
  }
  if (Array.isArray(value)) return value.slice(0, 100).map((item) => redact(item, field, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, redact(item, name, depth + 1)]));
}

function redactText(text: string): string {
  let shown = text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text;
  for (const pattern of SECRET_TEXT) shown = shown.replace(pattern, MASK);
  return shown;
}
