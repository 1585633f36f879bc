import { FAULT_TABLE, type FaultCode, type FaultEntry } from "./table.ts";

/** Facts that may be shown to an operator: never a secret, token, payload or row value. */
export type FaultDetail = Readonly<Record<string, string | number | boolean | null>>;

/**
 * Something from outside (peer, user, disk, network) was not as it must be. Bugs are TypeError or RangeError.
 * `message` is for the operator; a peer sees `code` and `entry.text` only.
 */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: FaultCode;
  readonly detail: FaultDetail;

  constructor(code: FaultCode, message?: string, options: { detail?: FaultDetail; cause?: unknown } = {}) {
    super(message ?? FAULT_TABLE[code].text, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail ?? {};
  }

  /** The row of the code table: who has to act, whether a retry helps, HTTP status, public text. */
  get entry(): FaultEntry {
    return FAULT_TABLE[this.code];
  }
}

/** `error` itself when it is a Fault, else a Fault of `code` with `error` as its cause. */
export function asFault(error: unknown, code: FaultCode, message?: string): Fault {
  return error instanceof Fault ? error : new Fault(code, message, { cause: error });
}

/** Runs `work`; what it throws that is no Fault becomes one of `code`. */
export async function faultFrom<T>(code: FaultCode, work: () => Promise<T> | T, message?: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asFault(error, code, message);
  }
}
