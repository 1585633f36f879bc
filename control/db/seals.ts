import { getTableName } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";
import type { Bytes } from "#lib/bytes";
import type { Kms } from "#lib/kms";
import type { Sealed } from "./columns.ts";

/** A column declared with `sealed()`. */
export type SealedColumn = SQLiteColumn & { readonly _: { readonly data: Sealed } };

/** Seals and opens the values of sealed columns. A value opens only in the column and row it was sealed for. */
export interface Seals {
  /** `row` is the row's key: what is copied to another row does not open there. */
  seal(column: SealedColumn, row: string, plaintext: Uint8Array): Promise<Sealed>;
  /** Fault `crypto` when the value is of another row or column, or was changed. */
  open(column: SealedColumn, row: string, sealed: Sealed): Promise<Bytes>;
}

export function makeSeals(kms: Pick<Kms, "sealData" | "openData">): Seals {
  const context = (column: SealedColumn, row: string) => `${getTableName(column.table)}.${column.name}/${row}`;
  return {
    seal: async (column, row, plaintext) => (await kms.sealData(context(column, row), plaintext)) as Sealed, // the one maker of the brand
    open: (column, row, value) => kms.openData(context(column, row), value),
  };
}
