import { z } from "zod";
import { policyLengthMax, policyRulesMax } from "#lib/limits";

/** What somebody may want to do with a resource. */
export const policyActions = ["open", "http", "message"] as const;

const ruleSchema = z.strictObject({
  /** Shown in decisions, logs and reports. */
  name: z.string().regex(/^[A-Za-z0-9_ .:-]{1,64}$/, "1 to 64 of A-Z a-z 0-9 _ - . : and blanks"),
  /** CEL; the rule allows when it is exactly `true`. */
  allow: z.string().min(1).max(policyLengthMax),
});

/** The rules of one policy: the first that allows decides, none denies. Whether they compile says `compilePolicy`. */
export const policyRulesSchema = z.array(ruleSchema).max(policyRulesMax);

export type PolicyRule = Readonly<z.infer<typeof ruleSchema>>;
