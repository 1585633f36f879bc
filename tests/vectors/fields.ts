import { z } from "zod";
import { type Bytes, fromHex } from "#lib/bytes";

/** A field in hexadecimal of either case, as bytes. */
export const hexField = z.string().transform((text, context): Bytes => {
  const bytes = fromHex(text);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: "custom", message: "is not hexadecimal" });
  return z.NEVER;
});

/** `value` as `schema` has it, or the reason why not with the path of the first field that does not fit. */
export function parseFields<T>(schema: z.ZodType<T>, value: unknown): { value: T } | { reason: string } {
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data };
  const [issue] = result.error.issues;
  const path = issue?.path.join(".") ?? "";
  return { reason: `${path === "" ? "" : `${path}: `}${issue?.message ?? "does not have the form expected"}` };
}
