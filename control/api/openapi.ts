import type { Hono } from "hono";
import { generateSpecs } from "hono-openapi";
import type { ApiEnv } from "./env.ts";

const description = `Everything that the console can do, and how programs push to and pull from systems on site.

Authenticate with \`Authorization: Bearer <API key>\`. Errors are \`application/problem+json\` (RFC 9457) with a stable
\`code\`; \`invalid\` names each field. Lists take \`limit\` and \`after\` and answer \`next\`. A \`POST\` that creates takes an
\`Idempotency-Key\`: a repeat within 24 h gets the first answer and does nothing. Secrets are shown once, when they are made,
and in no other answer but to a repeat under the same API key and \`Idempotency-Key\`.`;

/** The OpenAPI 3.1 document of all routes of `app`. */
export function openApiDocument(app: Hono<ApiEnv>, version: string): Promise<object> {
  return generateSpecs(app, {
    documentation: {
      info: { title: "Solaris", version, description },
      servers: [{ url: "/" }],
      components: { securitySchemes: { key: { type: "http", scheme: "bearer", description: "An API key" } } },
    },
    defaultValidationErrorResponse: {
      description: "`bad_request`, or 422 `invalid` with one entry per field",
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    },
  });
}
