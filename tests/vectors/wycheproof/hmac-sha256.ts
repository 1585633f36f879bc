import { z } from "zod";
import { equalBytes } from "#lib/bytes";
import { hexField, parseFields } from "../fields.ts";
import type { GroupRunner } from "../wycheproof-file.ts";
import { caseRunner, demandVerdict } from "./case.ts";

const test = z.object({ key: hexField, msg: hexField, tag: hexField });

/** HMAC-SHA-256. A group of a smaller tag size has tags cut after so many bits (RFC 2104 §5). */
export const hmacSha256: GroupRunner = (group, algorithm) => {
  if (algorithm !== "HMACSHA256") return { notApplicable: algorithm };
  const parsed = parseFields(z.object({ tagSize: z.number().min(8).max(256).multipleOf(8).default(256) }), group);
  if ("reason" in parsed) return { notApplicable: `HMAC-SHA-256 with a tag whose ${parsed.reason}` };
  const tagBytes = parsed.value.tagSize / 8;
  return caseRunner(test, async (suite, { key, msg, tag }, about) => {
    const mac = await suite.hmacSha256(key, msg);
    demandVerdict(about, equalBytes(mac.subarray(0, tagBytes), tag));
  });
};
