import { customType, integer, text } from "drizzle-orm/sqlite-core";
import type { Bytes } from "#lib/bytes";

/** Ciphertext under KMS (`Seals`). The brand keeps plaintext out of a sealed column at compile time. */
export type Sealed = Bytes & { readonly __sealed: true };

/** A blob as plain bytes. */
export const bytes = customType<{ data: Bytes; driverData: Uint8Array }>({
  dataType: () => "blob",
  fromDriver: ownBytes,
});

/** A blob that `Seals` wrote: secrets, payloads, private keys. Its table and column are part of what is authenticated. */
export const sealed = customType<{ data: Sealed; driverData: Uint8Array }>({
  dataType: () => "blob",
  fromDriver: (value) => ownBytes(value) as Sealed, // what stands in a sealed column came from Seals
});

/** A time in ms since 1970. */
export const time = (name?: string) => (name === undefined ? integer() : integer(name));

/** A value kept as JSON text; `T` is what its own schema checked on the way in. */
export const json = <T>(name?: string) =>
  (name === undefined ? text({ mode: "json" }) : text(name, { mode: "json" })).$type<T>();

function ownBytes(value: Uint8Array): Bytes {
  return new Uint8Array(value);
}
