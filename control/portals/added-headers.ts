import { decodeJson, encodeJson } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { portalHeadersSchema, secretMask } from "#lib/session";
import type { Sealed, Seals } from "../db/index.ts";
import type { PortalRow } from "./repo.ts";
import { portals } from "./tables.ts";

/** Headers that an inlet adds, by name in lower case. */
export type AddedHeaders = Readonly<Record<string, string>>;

/** Names the seal: what was sealed for one version opens in no other. */
const keyOf = ({ id, version }: Pick<PortalRow, "id" | "version">) => `${id}/${version}`;

export const sealHeaders = async (
  seals: Seals,
  row: Pick<PortalRow, "id" | "version">,
  headers: AddedHeaders,
): Promise<Sealed | null> =>
  Object.keys(headers).length === 0 ? null : seals.seal(portals.headers, keyOf(row), encodeJson(headers));

export async function openHeaders(seals: Seals, row: PortalRow): Promise<AddedHeaders> {
  if (row.headers === null) return {};
  return portalHeadersSchema.parse(decodeJson(await seals.open(portals.headers, keyOf(row), row.headers)));
}

/**
 * What a caller wants, with each mask replaced by what is stored. `elsewhere`: the portal leads to another service than the one that the
 * stored values were entered for. Fault `invalid` per header.
 */
export function completeHeaders(
  wanted: Readonly<Record<string, string>>,
  stored: AddedHeaders,
  elsewhere: boolean,
): AddedHeaders {
  const wrong: Record<string, string> = {};
  const complete = Object.entries(wanted).map(([given, value]): [string, string] => {
    const name = given.toLowerCase();
    const kept = elsewhere || !Object.hasOwn(stored, name) ? undefined : stored[name];
    if (value === secretMask && kept === undefined)
      wrong[`http.headers.${given}`] = elsewhere
        ? "the portal leads to another service now: enter the value again"
        : "no value is stored here: enter it";
    return [name, value === secretMask ? (kept ?? "-") : value];
  });
  const parsed = portalHeadersSchema.safeParse(Object.fromEntries(complete));
  for (const { path, message } of parsed.error?.issues ?? [])
    wrong[["http.headers", ...path.map(String)].join(".")] = message;
  if (Object.keys(wrong).length > 0 || !parsed.success) throw new Fault("invalid", undefined, { detail: wrong });
  return parsed.data;
}
