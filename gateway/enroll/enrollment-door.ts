import { type Bytes, base64url } from "#lib/bytes";
import type { Clock } from "#lib/clock";
import { asFault, Fault } from "#lib/fault";
import { enrollmentBodyBytesMax } from "#lib/limits";
import { publicEnrollRequestSchema } from "#lib/session";
import { problemAnswer } from "../http-problem.ts";
import type { SolarisClient } from "../replica/solaris-client.ts";
import type { AddressLimits } from "../tunnel/address-limits.ts";
import type { TokenBucket } from "../tunnel/token-bucket.ts";

/** The authority's chain is asked for once in this time, however many want it. */
const authorityMemoryMs = 2_000;

/** What the door needs from around it. */
export interface EnrollmentParts {
  readonly clock: Clock;
  readonly solaris: Pick<SolarisClient, "enroll" | "authority">;
  /** Enrollments per address. */
  readonly addresses: AddressLimits;
  /** Enrollments in all. */
  readonly total: TokenBucket;
}

/** `/enroll`: passes on what is sealed to the authority; can drop an enrollment, not take it over (PROTOCOL §4). */
export class EnrollmentDoor {
  readonly #parts: EnrollmentParts;
  #authority: { readonly asked: Promise<Bytes>; readonly atMs: number } | undefined;

  constructor(parts: EnrollmentParts) {
    this.#parts = parts;
  }

  /** `GET`: the authority's chain, which the token is checked against. */
  async authority(): Promise<Response> {
    const nowMs = this.#parts.clock.monotonic();
    if (this.#authority === undefined || nowMs - this.#authority.atMs > authorityMemoryMs)
      this.#authority = { asked: this.#parts.solaris.authority(), atMs: nowMs };
    try {
      const chain = base64url(await this.#authority.asked);
      return Response.json({ authority: chain }, { headers: { "cache-control": "no-store" } });
    } catch (error) {
      this.#authority = undefined;
      return problemAnswer(asFault(error, "unavailable"));
    }
  }

  /** `POST`: one sealed request. Refusals carry Solaris' code; only its sealed answer proves anything. */
  async enroll(request: Request, address: string, secure: boolean): Promise<Response> {
    const nowMs = this.#parts.clock.monotonic();
    try {
      if (!secure) throw new Fault("forbidden", "an enrollment without TLS");
      if (!this.#parts.addresses.take(address, nowMs) || !this.#parts.total.take(nowMs)) throw new Fault("limited");
      const parsed = publicEnrollRequestSchema.safeParse(await bodyOf(request));
      if (!parsed.success) throw new Fault("bad_request");
      const answer = await this.#parts.solaris.enroll({ ...parsed.data, address });
      return Response.json({ answer }, { headers: { "cache-control": "no-store" } });
    } catch (error) {
      const fault = asFault(error, "internal");
      return problemAnswer(fault, fault.code === "limited" ? 60_000 : undefined);
    }
  }
}

/** The JSON of a body; read only as far as the limit, whatever its length claims. */
async function bodyOf(request: Request): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of request.body ?? []) {
    length += piece.length;
    if (length > enrollmentBodyBytesMax) throw new Fault("too_large");
    pieces.push(piece);
  }
  try {
    return await new Response(new Blob(pieces as Uint8Array<ArrayBuffer>[])).json(); // a request's body is over plain ArrayBuffers
  } catch (cause) {
    throw new Fault("bad_request", "a body that is no JSON", { cause });
  }
}
