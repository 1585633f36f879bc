/** What TC39's "JSON.parse source text access" adds, which the type definitions do not know yet. */
interface ExactJson {
  parse(
    text: string,
    reviver: (name: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
}
const json = JSON as unknown as ExactJson; // the runtime has both (tested)

/**
 * JSON whose numbers `JSON.stringify` writes again digit by digit: those that a double can't hold, or would spell otherwise (64-bit
 * integers, `1.10`), are kept as text. Throws SyntaxError.
 */
export function parseExactJson(text: string): unknown {
  return json.parse(text, (_name, value, { source }) =>
    typeof value === "number" && source !== undefined && String(value) !== source ? json.rawJSON(source) : value,
  );
}

/** The digits of a number out of `parseExactJson`; undefined for anything else. */
export function numberText(value: unknown): string | undefined {
  return typeof value === "number" || json.isRawJSON(value) ? JSON.stringify(value) : undefined;
}
