import type { Fault } from "#lib/fault";

/** What went through one end of a portal since it runs, and why its last connection failed. */
export class PortalCounts {
  open = 0;
  total = 0;
  refused = 0;
  sentBytes = 0;
  receivedBytes = 0;
  /** Of the last refusal or cut; undefined = none yet. */
  last: { readonly at: number; readonly code: string; readonly reason: string } | undefined;

  failed(fault: Fault, now: number): void {
    this.last = { at: Math.floor(now), code: fault.code, reason: fault.message };
  }
}
