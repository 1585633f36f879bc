/** The one place that builds and parses subjects; the embedded broker names its queues and values by them too. */
import { sha256 } from "@noble/hashes/sha2.js";
import { hex, utf8 } from "#lib/bytes";
import type { CommandQueue, Destination, DownLane, Heard, Source, Topic, ValueName } from "./broker.ts";

/** Shards of the down lanes: fixed for ever, since an agent's shard follows from its name. */
export const downShards = 64;

const name = /^[A-Za-z0-9_-]{1,64}$/;
/** Replicas are named by identifiers, which are 65 characters long. */
const longName = /^[A-Za-z0-9_-]{1,80}$/;

/** Shard of an agent: first byte of SHA-256(agent) mod 64, as two digits. */
export function shardOf(agent: string): string {
  return String((sha256(utf8(agent))[0] ?? 0) % downShards).padStart(2, "0");
}

/** Subject of a lane, queue, value or topic. TypeError for a name that can't stand in one. */
export function subjectOf(to: Destination | ValueName | Topic | Source): string {
  switch (to.kind) {
    case "down":
      return `down.${shardOf(to.agent)}.${token(to.agent)}.data.${token(to.plugin)}`;
    case "up":
    case "event":
      return "agent" in to ? `${to.kind}.${token(to.agent)}.${laneToken(to.plugin)}` : `${to.kind}.>`;
    case "command":
    case "desired":
    case "session":
      return `${to.kind}.${token(to.agent)}`;
    case "node":
    case "relay":
      return `${to.kind}.${token(to.replica, longName)}`;
    case "agent":
      return `agent.${token(to.agent)}.${to.slot}`;
    case "revocations":
    case "gateways":
      return to.kind;
  }
}

/** Subject to listen on: like `subjectOf`, with `*` for any agent, replica or slot. */
export function heardSubject(to: Heard): string {
  switch (to.kind) {
    case "command":
    case "desired":
    case "session":
      return to.agent === "*" ? `${to.kind}.*` : subjectOf(to);
    case "node":
      return to.replica === "*" ? "node.*" : subjectOf(to);
    case "agent":
      return `agent.${to.agent === "*" ? "*" : token(to.agent)}.${to.slot}`;
    default:
      return subjectOf(to);
  }
}

/** The agent or replica that a subject which can be listened to names; empty for one that names none. */
export function aboutOf(subject: string): string {
  return subject.split(".")[1] ?? "";
}

/** Whether a message on `subject` is for who listens on `pattern` (`*` = one token). */
export function matches(pattern: string, subject: string): boolean {
  if (!pattern.includes("*")) return pattern === subject;
  const wanted = pattern.split(".");
  const given = subject.split(".");
  return wanted.length === given.length && wanted.every((part, index) => part === "*" || part === given[index]);
}

/** Agent and plugin of an entry's subject; undefined for a subject of another form. A command has no plugin. */
export function laneOf(subject: string): { agent: string; plugin: string } | undefined {
  const parts = subject.split(".");
  if (parts[0] === "down" && parts.length === 5) return { agent: parts[2] ?? "", plugin: parts[4] ?? "" };
  if ((parts[0] === "up" || parts[0] === "event") && parts.length === 3)
    return { agent: parts[1] ?? "", plugin: parts[2] ?? "" };
  if (parts[0] === "command" && parts.length === 2) return { agent: parts[1] ?? "", plugin: "" };
  return undefined;
}

/** The value that has this subject; undefined for a subject of another form. */
export function valueNameOf(subject: string): ValueName | undefined {
  const [kind, first = "", second] = subject.split(".");
  if (kind === "node") return { kind, replica: first };
  if (kind === "agent" && (second === "0" || second === "1"))
    return { kind, agent: first, slot: second === "0" ? 0 : 1 };
  if (kind === "desired") return { kind, agent: first };
  return kind === "revocations" ? { kind } : undefined;
}

/** Id of an entry over all lanes of a stream: the broker's dedup must not take two agents' ids for one (PROTOCOL §8). */
export function entryKey(to: Destination, id: string): string {
  if (!name.test(id)) throw new TypeError("an entry id is 1 to 64 of A-Z a-z 0-9 _ -");
  return `${to.agent}.${"plugin" in to ? to.plugin : ""}.${id}`;
}

/** Agent, plugin and id of an entry's key. */
export function keyParts(key: string): { agent: string; plugin: string; id: string } {
  const [agent = "", plugin = "", id = ""] = key.split(".");
  return { agent, plugin, id };
}

/** Name of the queue in which an entry waits: every down lane and command queue is its own, all up lanes are one. */
export function queueOf(to: Destination | Source | CommandQueue | DownLane): string {
  return to.kind === "up" || to.kind === "event" ? to.kind : subjectOf(to);
}

function token(text: string, form = name): string {
  if (!form.test(text)) throw new TypeError("a name in a subject is 1 to 64 of A-Z a-z 0-9 _ -");
  return text;
}

function laneToken(text: string): string {
  return text === "$node" ? text : token(text);
}

/** Subject of a lease. */
export function leaseSubject(lease: string): string {
  return `lease.${token(lease)}`;
}

/** 24 hex digits that stand for a source in names which may not hold its subject. */
export function sourceHash(source: Source): string {
  return hex(sha256(utf8(subjectOf(source)))).slice(0, 24);
}
