import { Fault } from "#lib/fault";

/** JetStream's own description of a refusal. */
export interface ApiProblem {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** Numbers of nats-server's errors.json that we act on. */
export const natsError = {
  consumerNotFound: 10_014,
  consumerNotUnique: 10_100,
  messageNotFound: 10_037,
  storeFailed: 10_077,
  streamNameInUse: 10_058,
  streamNotFound: 10_059,
  wrongLastSequence: 10_071,
  streamMismatch: 10_060,
  subjectsOverlap: 10_065,
} as const;

/** A refusal of JetStream as a Fault; detail `nats` holds its number. */
export function apiFault(problem: ApiProblem): Fault {
  const number = problem.err_code ?? problem.code;
  const description = problem.description ?? "";
  const detail = { nats: number };
  if (number === natsError.storeFailed && /per subject/.test(description))
    return new Fault("lane_full", undefined, { detail: { ...detail, limit: "lane" } });
  if (number === natsError.storeFailed && /^maximum/.test(description))
    return new Fault("lane_full", undefined, { detail: { ...detail, limit: "broker" } });
  if (number === natsError.wrongLastSequence)
    return new Fault("conflict", "the value has another revision", { detail });
  if (number === natsError.streamNotFound || number === natsError.streamMismatch)
    return new Fault("broker_settings", "a stream is missing", { detail });
  return new Fault("broker", `NATS refused: ${description.slice(0, 200)}`, { detail });
}

/** Whether `error` is JetStream's refusal with this number. */
export function isNatsError(error: unknown, number: number): boolean {
  return error instanceof Fault && error.detail.nats === number;
}
