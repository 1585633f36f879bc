import type { Bytes } from "#lib/bytes";
import { fromBase64url, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { bodyBytesMax, pushBatchMessagesMax, sealedBytesMax } from "#lib/limits";
import { isSealed } from "#lib/statement";
import { checkedIdempotencyKey } from "../message-id.ts";

const contentTypeLengthMax = 200;
const itemFields = new Set(["body", "bodyBase64", "json", "contentType", "idempotencyKey"]);
const bodyFields = ["body", "bodyBase64", "json"] as const;

/** A message as a caller handed it in. */
export interface PushItem {
  readonly body: Bytes;
  readonly contentType?: string;
  readonly key?: string;
  /** Id of the message that this one replays. */
  readonly replays?: string;
}

/** The messages of a `:batch` request. Fault `invalid` names each field that is wrong by its path (`[3].body`). */
export function parseBatch(text: string): PushItem[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Fault("bad_request", "the body is not JSON", { cause });
  }
  if (!Array.isArray(value) || value.length === 0 || value.length > pushBatchMessagesMax)
    throw new Fault("invalid", undefined, {
      detail: { "(body)": `an array of 1 to ${pushBatchMessagesMax} messages` },
    });
  const wrong: [string, string][] = [];
  const items = value.flatMap((item: unknown, index) =>
    parseItem(item, (field, message) => wrong.push([`[${index}]${field}`, message])),
  );
  if (wrong.length > 0) throw new Fault("invalid", undefined, { detail: Object.fromEntries(wrong.slice(0, 50)) });
  return items;
}

/** Written out, not a schema: it runs for each of some thousand messages a second. */
function parseItem(item: unknown, wrong: (field: string, message: string) => void): PushItem[] {
  if (item === null || typeof item !== "object" || Array.isArray(item)) {
    wrong("", "an object");
    return [];
  }
  const fields = item as Readonly<Record<string, unknown>>; // an object that is no array
  for (const name of Object.keys(fields)) if (!itemFields.has(name)) wrong(`.${name}`, "not a field of a message");
  const body = parseBody(fields, wrong);
  const { contentType, idempotencyKey } = fields;
  if (contentType !== undefined && !isContentType(contentType))
    wrong(".contentType", "a media type of at most 200 characters");
  const key = idempotencyKey === undefined ? undefined : parseKey(idempotencyKey, wrong);
  const sealed = isSealed({ contentType: typeof contentType === "string" ? contentType : undefined });
  if (sealed && key === undefined) wrong(".idempotencyKey", "the one that the id of the sealed message was made of");
  if (body === undefined) return [];
  if (body.length > (sealed ? sealedBytesMax : bodyBytesMax)) wrong("", `at most ${bodyBytesMax} bytes`);
  const type =
    typeof contentType === "string" ? contentType : fields.json === undefined ? undefined : "application/json";
  return [{ body, ...(type === undefined ? {} : { contentType: type }), ...(key === undefined ? {} : { key }) }];
}

function parseBody(
  fields: Readonly<Record<string, unknown>>,
  wrong: (field: string, message: string) => void,
): Bytes | undefined {
  const given = bodyFields.filter((name) => fields[name] !== undefined);
  const name = given[0];
  if (name === undefined || given.length > 1) {
    wrong("", "exactly one of body, bodyBase64 and json");
    return undefined;
  }
  const body = bodyBytes(name, fields[name]);
  if (body === undefined) wrong(`.${name}`, name === "bodyBase64" ? "base64 or base64url" : "a text");
  else if (body.length > sealedBytesMax) wrong(`.${name}`, `at most ${bodyBytesMax} bytes`);
  else return body;
  return undefined;
}

function bodyBytes(name: (typeof bodyFields)[number], value: unknown): Bytes | undefined {
  if (name === "json") return utf8(JSON.stringify(value));
  if (typeof value !== "string") return undefined;
  if (name === "body") return utf8(value);
  return fromBase64url(value.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""));
}

function parseKey(value: unknown, wrong: (field: string, message: string) => void): string | undefined {
  try {
    if (typeof value === "string") return checkedIdempotencyKey(value);
  } catch {
    // told below, with its path
  }
  wrong(".idempotencyKey", "1 to 255 printable ASCII characters");
  return undefined;
}

/** Whether `value` may stand in a header: what the site's plugin will send on. */
export const isContentType = (value: unknown): value is string =>
  typeof value === "string" && value.length <= contentTypeLengthMax && /^[\x20-\x7e]+$/.test(value);
