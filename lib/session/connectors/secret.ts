import { z } from "zod";

/** A text that is write-only in every API answer, log, event and audit entry. */
export const secretSchema = (title: string) => z.string().min(1).max(4_096).meta({ title, secret: true });

/** What stands in an API answer where a secret is set; sent back, it means "unchanged". */
export const secretMask = "‹secret›";

/**
 * `config` with every value that its schema marks as secret replaced by `replace(value, path)`.
 * Fields that the schema does not know are left out: what can't be classified is not shown.
 */
export function mapSecrets(
  schema: z.ZodType,
  config: unknown,
  replace: (value: unknown, path: string) => unknown,
  path = "",
): unknown {
  const inner = unwrap(schema);
  if (z.globalRegistry.get(inner)?.secret === true || z.globalRegistry.get(schema)?.secret === true)
    return config === undefined ? undefined : replace(config, path);
  if (inner instanceof z.ZodObject && isRecord(config)) {
    return Object.fromEntries(
      Object.entries(inner.shape).flatMap(([name, field]) =>
        name in config
          ? [[name, mapSecrets(field as z.ZodType, config[name], replace, path === "" ? name : `${path}.${name}`)]] // shape values are schemas
          : [],
      ),
    );
  }
  if (inner instanceof z.ZodDiscriminatedUnion || inner instanceof z.ZodUnion) {
    const option =
      (inner.options as readonly z.ZodType[]).find((choice) => choice.safeParse(config).success) ??
      looseOption(inner.options as readonly z.ZodType[], config);
    return option === undefined ? undefined : mapSecrets(option, config, replace, path);
  }
  if (inner instanceof z.ZodArray && Array.isArray(config))
    return config.map((item, index) => mapSecrets(inner.element as z.ZodType, item, replace, `${path}.${index}`));
  if (inner instanceof z.ZodRecord && isRecord(config))
    return Object.fromEntries(
      Object.entries(config).map(([name, item]) => [
        name,
        mapSecrets(inner.valueType as z.ZodType, item, replace, path === "" ? name : `${path}.${name}`),
      ]),
    );
  return config;
}

/** The option whose literal `kind` matches, where the rest does not (a mask is no valid secret everywhere). */
function looseOption(options: readonly z.ZodType[], config: unknown): z.ZodType | undefined {
  if (!isRecord(config)) return undefined;
  return options.find(
    (option) =>
      option instanceof z.ZodObject &&
      option.shape.kind instanceof z.ZodLiteral &&
      option.shape.kind.value === config.kind,
  );
}

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodNullable ||
    inner instanceof z.ZodPrefault
  ) {
    if (z.globalRegistry.get(inner)?.secret === true) return inner;
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
