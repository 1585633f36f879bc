import { type Schema, Validator } from "@cfworker/json-schema";
import { fromUtf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";

const schemaLengthMax = 32_768;
const depthMax = 24;
const patternLengthMax = 256;
const errorsShown = 3;

/** Why a body does not fit; undefined when it does. Names places in the schema and the message, never values. */
export type CheckReceived = (body: Uint8Array) => string | undefined;

/**
 * A schema that a plugin's messages must fit (JSON Schema 2020-12), as the API takes it. Fault `invalid` with the path of what
 * is not accepted: too large or deep, references out of the document, a regular expression that can run for long.
 */
export function checkReceiveSchema(schema: unknown): void {
  const text = JSON.stringify(schema);
  const refuse = (path: string, message: string): never => {
    throw new Fault("invalid", undefined, { detail: { [`receiveSchema${path}`]: message } });
  };
  if (schema === null || typeof schema !== "object" || Array.isArray(schema)) refuse("", "a JSON Schema object");
  if (text.length > schemaLengthMax) refuse("", `at most ${schemaLengthMax} characters`);
  walk(schema, "", 0, refuse);
  try {
    compileReceiveSchema(schema)(new TextEncoder().encode("{}"));
  } catch {
    refuse("", "not a JSON Schema that can be used");
  }
}

/** Makes the check of a schema that `checkReceiveSchema` accepted. */
export function compileReceiveSchema(schema: unknown): CheckReceived {
  const validator = new Validator(schema as Schema, "2020-12", false); // an object: see checkReceiveSchema
  return (body) => {
    let value: unknown;
    try {
      value = JSON.parse(fromUtf8(body));
    } catch {
      return "not JSON";
    }
    const { valid, errors } = validator.validate(value);
    if (valid) return undefined;
    const shown = errors
      .filter(({ keyword }) => keyword !== "properties" && keyword !== "items")
      .slice(0, errorsShown)
      .map(({ instanceLocation, keyword }) => `${instanceLocation} (${keyword})`);
    return `does not fit: ${shown.join(", ")}`.slice(0, 500);
  };
}

function walk(value: unknown, path: string, depth: number, refuse: (path: string, message: string) => never): void {
  if (depth > depthMax) refuse(path, `nested more than ${depthMax} deep`);
  if (value === null || typeof value !== "object") return;
  for (const [name, inner] of Object.entries(value)) {
    const at = `${path}.${name}`;
    if ((name === "$ref" || name === "$dynamicRef") && !(typeof inner === "string" && inner.startsWith("#")))
      refuse(at, "only references inside this schema");
    if (name === "pattern" && typeof inner === "string") checkPattern(inner, at, refuse);
    if (name === "patternProperties" && inner !== null && typeof inner === "object")
      for (const pattern of Object.keys(inner)) checkPattern(pattern, at, refuse);
    walk(inner, at, depth + 1, refuse);
  }
}

/** Refuses what backtracks without bound: a repeated group that repeats inside or has alternatives, and back references. */
function checkPattern(pattern: string, path: string, refuse: (path: string, message: string) => never): void {
  if (pattern.length > patternLengthMax) refuse(path, `at most ${patternLengthMax} characters`);
  const repeatedGroup = /\((?:[^()\\]|\\.)*(?:[*+|}])(?:[^()\\]|\\.)*\)\s*[*+{]/;
  const nested = /\)[^()]*\)\s*[*+{]/;
  if (repeatedGroup.test(pattern) || nested.test(pattern) || /\\[1-9k]|\(\?[=!<]/.test(pattern))
    refuse(path, "a regular expression that may run for long");
  try {
    new RegExp(pattern, "u");
  } catch {
    refuse(path, "not a regular expression");
  }
}
