import type { Clock } from "#lib/clock";
import { takeNumbers, type Watermark } from "#lib/delivery";
import { asFault, Fault, type FaultCode } from "#lib/fault";
import type { Statement } from "#lib/runtime";
import { decodeUpEntry, nodeLane, type UpEntry, type UpMessage } from "#lib/session";
import type { Seals } from "../../db/index.ts";
import type { Lane } from "../../lanes/index.ts";
import { encodeItems, type ReceivedItem } from "../received/received-items.ts";
import { letters, quarantine, received } from "../tables.ts";
import type { CheckMessage } from "./lane-checks.ts";
import {
  insertLetter,
  insertQuarantine,
  insertReceived,
  moveWatermark,
  settleLetters,
  writeOutcome,
  writeStatus,
} from "./statements.ts";

/** What other slices do with what concerns the node itself, in the set that stores. Fault `invalid` quarantines the message. */
export interface NodeHooks {
  report(lane: Lane, message: UpMessage): Promise<readonly Statement[]>;
  answer(lane: Lane, message: UpMessage): Promise<readonly Statement[]>;
  warning(lane: Lane, message: UpMessage): Promise<readonly Statement[]>;
}

export interface EffectDeps {
  readonly seals: Seals;
  readonly clock: Clock;
  readonly hooks: NodeHooks;
}

/** A broker entry of the up queue with the lane that its subject names. */
export interface UpArrival {
  readonly lane: Lane;
  readonly created: string;
  readonly seq: number;
  readonly id: string;
  readonly bytes: Uint8Array;
  /** What the lane's data must fit; undefined = anything. */
  readonly check: CheckMessage | undefined;
}

/** All that one entry does to the database, and where the lane stands after it. */
export interface Effects {
  readonly statements: readonly Statement[];
  readonly watermark: Watermark;
  /** Messages stored, refused, and whether anything was quarantined: for metrics and the log. */
  readonly stored: number;
  readonly refused: FaultCode | undefined;
}

/**
 * What an entry does. The agent is the subject's, never a field; what is malformed, of another lane, or out of order
 * goes into quarantine whole, with its reason, and the next goes on.
 */
export async function effectsOf(deps: EffectDeps, arrival: UpArrival, watermark: Watermark): Promise<Effects> {
  const { lane, bytes } = arrival;
  const now = deps.clock.now();
  let entry: UpEntry;
  try {
    entry = decodeUpEntry(bytes);
  } catch (error) {
    const fault = asFault(error, "malformed");
    return refusal(deps, arrival, watermark, fault.code, fault.message);
  }
  if (entry.plugin !== lane.plugin)
    return refusal(deps, arrival, watermark, "unknown_plugin", "names another plugin than the lane it came by");
  const { generation, first } = entry;
  const status = entry.status === undefined || lane.plugin === nodeLane ? [] : writeStatus(lane.id, entry.status);
  const taking = takeNumbers(watermark, { generation, first, count: entry.messages.length });
  if (taking.take === "nothing") return { statements: status, watermark, stored: 0, refused: undefined };
  if (taking.take === "ignore") return { statements: [], watermark, stored: 0, refused: undefined };
  if (taking.take === "refuse") {
    const reason = `numbers from ${first} of generation ${generation}; ${watermark.number} of ${watermark.generation} is the last stored`;
    // Its status is left out with it: that may pass positions whose letters stand in this entry.
    return refusal(deps, arrival, watermark, taking.code, reason);
  }
  const numbered = entry.messages.slice(taking.skip).map((message, index) => ({
    message,
    number: first + taking.skip + index,
  }));
  const data: ReceivedItem[] = [];
  const statements: Statement[] = [moveWatermark(lane.id, watermark, taking.watermark, now)];
  for (const { message, number } of numbered) {
    const origin = `${lane.id}/${generation}/${number}`;
    if (message.kind === "data" && lane.plugin !== nodeLane) {
      const checked = (await arrival.check?.(message)) ?? { also: [] };
      if ("also" in checked) {
        statements.push(...checked.also);
        data.push(itemOf(message, number));
      } else statements.push(await quarantined(deps, lane, message, origin, checked.code, checked.reason));
    } else statements.push(...(await exceptional(deps, lane, message, origin)));
  }
  const [head] = data;
  if (head !== undefined) {
    const row = { lane: lane.id, generation, first: head.number, count: data.length, at: now };
    const items = await deps.seals.seal(received.items, receivedKey(row), encodeItems(data));
    statements.push(insertReceived({ ...row, items }));
  }
  // The status stands last: it may pass positions whose letters came in this very entry.
  return {
    statements: [...statements, ...status],
    watermark: taking.watermark,
    stored: numbered.length,
    refused: undefined,
  };
}

/** Names a row of `received` for its seal. */
export const receivedKey = (row: { readonly lane: number; readonly generation: number; readonly first: number }) =>
  `${row.lane}/${row.generation}/${row.first}`;

const itemOf = ({ id, time, contentType, body }: UpMessage, number: number): ReceivedItem => ({
  number,
  id,
  time,
  contentType,
  body: new Uint8Array(body),
});

/** Everything that is no data: few enough to be written one by one. */
async function exceptional(
  deps: EffectDeps,
  lane: Lane,
  message: UpMessage,
  origin: string,
): Promise<readonly Statement[]> {
  const ofNode = lane.plugin === nodeLane;
  try {
    if (message.kind === "warning") return await deps.hooks.warning(lane, message);
    if (ofNode && message.kind === "report") return await deps.hooks.report(lane, message);
    if (ofNode && message.kind === "answer") return await deps.hooks.answer(lane, message);
    if (!ofNode && (message.kind === "dead" || message.kind === "unknown"))
      return await letter(deps, lane, { ...message, kind: message.kind }, origin);
    if (!ofNode && message.kind === "settled") return settled(lane, message);
  } catch (error) {
    const fault = asFault(error, "invalid");
    if (fault.code !== "invalid" && fault.code !== "malformed") throw error;
    return [await quarantined(deps, lane, message, origin, fault.code, fault.message)];
  }
  return [await quarantined(deps, lane, message, origin, "invalid", `a ${message.kind} in a lane that has none`)];
}

async function letter(
  deps: EffectDeps,
  lane: Lane,
  message: UpMessage & { readonly kind: "dead" | "unknown" },
  origin: string,
): Promise<Statement[]> {
  const {
    kind,
    about = null,
    code = kind === "dead" ? "dead" : "outcome_unknown",
    reason = null,
    tries = null,
  } = message;
  const at = message.time;
  const row = {
    lane: lane.id,
    kind,
    message: about,
    code,
    reason,
    tries,
    position: message.position ?? null,
    contentType: message.contentType ?? null,
    size: message.body.length,
    at,
    storedAt: deps.clock.now(),
    origin,
    body: await deps.seals.seal(letters.body, origin, message.body),
  };
  if (about === null) return [insertLetter(row)];
  const closing = kind === "dead" ? [settleLetters(lane.id, about, "dead", at)] : [];
  return [
    ...closing,
    insertLetter(row),
    writeOutcome({ lane: lane.id, message: about, outcome: kind, code, reason, tries, at }),
  ];
}

/** What became of an unknown message: `code` is `applied` or `dead`. */
function settled(lane: Lane, message: UpMessage): Statement[] {
  const { about, code, time: at } = message;
  if (about === undefined || (code !== "applied" && code !== "dead"))
    throw new Fault("invalid", "a settlement without a message or a decision");
  return [
    settleLetters(lane.id, about, code, at),
    writeOutcome({
      lane: lane.id,
      message: about,
      outcome: code,
      code: null,
      reason: message.reason ?? null,
      tries: null,
      at,
    }),
  ];
}

async function quarantined(
  deps: EffectDeps,
  lane: Lane,
  message: UpMessage,
  origin: string,
  code: FaultCode,
  reason: string,
): Promise<Statement> {
  return insertQuarantine({
    lane: lane.id,
    kind: "message",
    code,
    reason: reason.slice(0, 500),
    message: message.id,
    contentType: message.contentType ?? null,
    size: message.body.length,
    at: deps.clock.now(),
    ...(message.kind === "data" && lane.plugin !== nodeLane ? { time: message.time } : {}),
    origin,
    body: await deps.seals.seal(quarantine.body, origin, message.body),
  });
}

async function refusal(
  deps: EffectDeps,
  { lane, created, seq, id, bytes }: UpArrival,
  watermark: Watermark,
  code: FaultCode,
  reason: string,
): Promise<Effects> {
  const origin = `${lane.id}/${created}/${seq}/${id}`;
  const body = await deps.seals.seal(quarantine.body, origin, bytes);
  const row = { lane: lane.id, message: null, contentType: "application/cbor", size: bytes.length, origin, body };
  const statement = insertQuarantine({
    ...row,
    kind: "entry",
    code,
    reason: reason.slice(0, 500),
    at: deps.clock.now(),
  });
  return { statements: [statement], watermark, stored: 0, refused: code };
}
