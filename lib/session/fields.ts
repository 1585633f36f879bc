import { z } from "zod";
import { identityChainBytesMax, idLengthMax, nameLengthMax, statementBytesMax } from "#lib/limits";

/** Name of an agent or plugin as it stands in broker subjects: 1 … 64 of `[A-Za-z0-9_-]` (PROTOCOL §8). */
export const nameSchema = z
  .string()
  .regex(new RegExp(`^[A-Za-z0-9_-]{1,${nameLengthMax}}$`), "1 to 64 of A-Z a-z 0-9 _ -");

/** Name of a lane: a plugin, or `$node` for what concerns the node itself (reports, answers, warnings). */
export const laneNameSchema = z.union([nameSchema, z.literal("$node")]);
export const nodeLane = "$node";

/** Message id: 32 lower-case hex digits, from a key or random; opaque to everyone but Solaris. */
export const idSchema = z.string().regex(new RegExp(`^[A-Za-z0-9_-]{1,${idLengthMax}}$`), "1 to 64 of A-Z a-z 0-9 _ -");

/** `I` and 64 lower-case hex digits (PROTOCOL §1). */
export const identifierSchema = z.string().regex(/^I[0-9a-f]{64}$/, "I and 64 hex digits");

/** Milliseconds since 1970. */
export const timeSchema = z.int().min(0);

/** Counts from 0 to 2^53-1. */
export const numberSchema = z.int().min(0);

/** Bytes up to `lengthMax`, as CBOR carries them. */
export const bytesSchema = (lengthMax: number) =>
  z.instanceof(Uint8Array).refine((bytes) => bytes.length <= lengthMax, { message: `at most ${lengthMax} bytes` });

/** An encoded identity chain. */
export const chainSchema = bytesSchema(identityChainBytesMax);

/** A compact JWS or JWE. */
export const statementSchema = z.string().max(statementBytesMax);

/** A fault code or a short reason that anyone may see. */
export const codeSchema = z.string().regex(/^[a-z][a-z_]{0,63}$/);
export const reasonSchema = z.string().max(500);
