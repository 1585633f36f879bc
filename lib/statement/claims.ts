import { z } from "zod";
import { fromBase64url } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { clockLeewayMs, idLengthMax, nameLengthMax } from "#lib/limits";

/** `I` and 64 lower-case hex digits (PROTOCOL §1). */
export const identifierClaim = z.string().regex(/^I[0-9a-f]{64}$/);
/** 64 lower-case hex digits: SHA-256. */
export const hashClaim = z.string().regex(/^[0-9a-f]{64}$/);
/** Name of an agent or plugin: 1 … 64 of `[A-Za-z0-9_-]` (PROTOCOL §8). */
export const nameClaim = z.string().regex(new RegExp(`^[A-Za-z0-9_-]{1,${nameLengthMax}}$`));
/** An id: 1 … 64 of `[A-Za-z0-9_-]`. */
export const idClaim = z.string().regex(new RegExp(`^[A-Za-z0-9_-]{1,${idLengthMax}}$`));
/** 0 … 2^53-1. */
export const numberClaim = z.int().min(0);
/** NumericDate in whole seconds since 1970 (RFC 7519 §2). */
export const dateClaim = z.int().min(0).max(253_402_300_799);
/** Unpadded base64url of `minBytes` … `maxBytes` bytes, in its one spelling. */
export const base64urlClaim = (minBytes: number, maxBytes: number) =>
  z.string().refine((text) => {
    if (text.length > Math.ceil((maxBytes * 4) / 3)) return false;
    const length = fromBase64url(text)?.length;
    return length !== undefined && length >= minBytes && length <= maxBytes;
  });

/** Milliseconds since 1970 as NumericDate, rounded down. */
export function numericDate(timeMs: number): number {
  return Math.floor(timeMs / 1_000);
}

/** Fault `clock` when `iat` (seconds) lies further ahead of `now` (ms) than the leeway. */
export function checkIssued(iat: number, now: number): void {
  if (iat * 1_000 > now + clockLeewayMs) throw new Fault("clock", "issued in the future");
}

/** Whether `exp` (seconds) lies further behind `now` (ms) than the leeway. */
export function isExpired(exp: number, now: number): boolean {
  return exp * 1_000 + clockLeewayMs <= now;
}

/** Fault `statement_invalid` when an order is addressed to somebody else. */
export function checkRecipient(sub: string, recipient: string): void {
  if (sub !== recipient) throw new Fault("statement_invalid", "addressed to another", { detail: { recipient, sub } });
}
