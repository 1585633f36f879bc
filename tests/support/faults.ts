import { expect } from "bun:test";
import { Fault, type FaultCode } from "#lib/fault";

/** Asserts that `work` rejects with a Fault of this code, and gives it back. */
export async function expectFault(work: Promise<unknown> | (() => unknown), code: FaultCode): Promise<Fault> {
  const error = await caught(work);
  expect(error).toBeInstanceOf(Fault);
  if (!(error instanceof Fault)) throw error;
  expect(error.code).toBe(code);
  return error;
}

/** What `work` throws; fails the test when it throws nothing. */
export async function caught(work: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
