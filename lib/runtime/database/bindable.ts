import type { SqlParameter } from "./database.ts";

/**
 * What libsql is given for a parameter. It binds every number as REAL, which a column without integer affinity (or an
 * expression) keeps, so whole numbers go as bigint. TypeError for what SQLite has no value for.
 */
export function bindable(value: SqlParameter): null | number | bigint | string | Uint8Array {
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return BigInt(value);
    if (Number.isFinite(value)) return value;
    throw new TypeError("not a finite number");
  }
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "bigint") {
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < -BigInt(Number.MAX_SAFE_INTEGER))
      throw new TypeError("a bigint outside ±2^53-1");
    return value;
  }
  if (value === null || typeof value === "string" || value instanceof Uint8Array) return value;
  throw new TypeError("neither null, number, boolean, text nor bytes");
}
