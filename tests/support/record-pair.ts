import type { Bytes } from "#lib/bytes";
import { RecordOpener, RecordSealer } from "#lib/channel";
import { type CryptoSuite, webSuite } from "#lib/crypto";
import type { Fault } from "#lib/fault";
import { DrivenClock } from "./driven-clock.ts";

/** A sealing and an opening end of one direction, with what came out of each. */
export interface RecordPair {
  readonly clock: DrivenClock;
  readonly sealer: RecordSealer;
  readonly opener: RecordOpener;
  /** Records as they left the sealer, copied. */
  readonly records: Bytes[];
  readonly plaintexts: Bytes[];
  readonly sealFaults: Fault[];
  readonly openFaults: Fault[];
  /** Seals all, and waits until they are records. */
  seal(...plaintexts: Bytes[]): Promise<Bytes[]>;
  /** Hands these to the opener, in this order, and waits until they were judged. */
  open(...records: Bytes[]): Promise<void>;
}

/** Both ends of one direction under one random key, with nothing between them: the test carries records. */
export async function recordPair(options: { epochRecords?: number; suite?: CryptoSuite } = {}): Promise<RecordPair> {
  const { epochRecords, suite = webSuite } = options;
  const clock = new DrivenClock();
  const key = crypto.getRandomValues(new Uint8Array(32));
  const records: Bytes[] = [];
  const plaintexts: Bytes[] = [];
  const sealFaults: Fault[] = [];
  const openFaults: Fault[] = [];
  const sealed = {
    record: (record: Bytes) => void records.push(record.slice()),
    failed: (f: Fault) => void sealFaults.push(f),
  };
  const opened = { plaintext: (p: Bytes) => void plaintexts.push(p), failed: (f: Fault) => void openFaults.push(f) };
  const sealer = await RecordSealer.create(suite, key.slice(), sealed, epochRecords);
  const opener = await RecordOpener.create(suite, key.slice(), clock, opened, epochRecords);
  return {
    clock,
    sealer,
    opener,
    records,
    plaintexts,
    sealFaults,
    openFaults,
    async seal(...all) {
      const before = records.length;
      for (const plaintext of all) sealer.seal(plaintext);
      while (sealer.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
      return records.slice(before);
    },
    async open(...all) {
      for (const record of all) opener.open(record);
      await clock.advance(0);
      await new Promise<void>((resolve) => {
        if (openFaults.length > 0) resolve();
        else opener.drain(resolve);
        opened.failed = (fault) => {
          openFaults.push(fault);
          resolve();
        };
      });
    },
  };
}

/** A one-byte plaintext for each number. */
export function numbered(count: number, from = 0): Bytes[] {
  return Array.from({ length: count }, (_, index) => new Uint8Array([(from + index) & 0xff, (from + index) >> 8]));
}
