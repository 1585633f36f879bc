import { type Bytes, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { bodyBytesMax, pageItemsMax } from "#lib/limits";
import { numberText, parseExactJson } from "./exact-json.ts";

const cursorLengthMax = 1_000;

/** One page of a poll: its items as they go up, and the cursor that asks for what follows. */
export interface Page {
  readonly bodies: readonly Bytes[];
  /** Undefined when the page is empty. */
  readonly cursor: string | undefined;
}

/** Reads a page; `items` and `cursor` are JSON pointers. Faults: `plugin_failed` when it has another form, `too_large`. */
export function readPage(text: string, pointers: { readonly items: string; readonly cursor: string }): Page {
  if (text.trim() === "") return { bodies: [], cursor: undefined };
  const items = at(parse(text), pointers.items);
  if (!Array.isArray(items)) throw misfit(`no list at "${pointers.items}"`);
  if (items.length > pageItemsMax)
    throw new Fault("too_large", `the system's answer has more than ${pageItemsMax} items`);
  if (items.length === 0) return { bodies: [], cursor: undefined };
  const bodies = items.map((item: unknown) => utf8(JSON.stringify(item)));
  if (bodies.some((body) => body.length > bodyBytesMax))
    throw new Fault("too_large", `an item in the system's answer is larger than ${bodyBytesMax} bytes`);
  return { bodies, cursor: cursorOf(at(items.at(-1), pointers.cursor), pointers.cursor) };
}

function parse(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    throw misfit("no JSON"); // the parser's own message quotes the text
  }
}

function cursorOf(value: unknown, pointer: string): string {
  const text = typeof value === "string" ? value : numberText(value);
  if (text === undefined || text === "" || text.length > cursorLengthMax)
    throw misfit(`no text or number for the cursor at "${pointer}"`);
  return text;
}

/** RFC 6901. */
function at(value: unknown, pointer: string): unknown {
  let here = value;
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (here === null || typeof here !== "object" || !Object.hasOwn(here, name)) return undefined;
    here = Reflect.get(here, name);
  }
  return here;
}

function misfit(what: string): Fault {
  return new Fault("plugin_failed", `the system's answer has ${what}`);
}
