import { z } from "zod";
import { Fault } from "#lib/fault";

/** `https://host[:port]` (or `http://` for a machine's own loopback); `wss` and `ws` are taken as the same. */
export const originSchema = z
  .string()
  .max(255)
  .refine((text) => originOf(text) !== undefined, { message: "an origin such as https://gateway.example.com" })
  .transform((text) => originOf(text) ?? text);

/** The one spelling of an origin, with http(s); undefined when `text` is none or has more than an origin. */
export function originOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (!/^(https?|wss?):$/.test(url.protocol)) return undefined;
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "" || url.pathname !== "/")
    return undefined;
  return new URL(text.replace(/^ws/i, "http")).origin;
}

/** Every spelling of these origins that a header's `aud` may have. */
export function audiencesOf(origins: readonly string[]): string[] {
  return origins.flatMap((origin) => [origin, origin.replace(/^http/, "ws")]);
}

/** Fault `forbidden` when a dedicated gateway is asked about another customer's agent. */
export function demandServes(gateway: { readonly customerId: string | null }, customerId: string): void {
  if (gateway.customerId === null || gateway.customerId === customerId) return;
  throw new Fault("forbidden", "this gateway serves another customer");
}
