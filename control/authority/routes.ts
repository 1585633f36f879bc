import { z } from "zod";
import { base64url } from "#lib/bytes";
import {
  authorityAnswerSchema,
  identifierSchema,
  numberSchema,
  revocationsAnswerSchema,
  timeSchema,
} from "#lib/session";
import { etag, newRouter, operation } from "../api/index.ts";
import { newNexusRouter } from "../gateways/authenticate.ts";
import type { Authority } from "./authority.ts";
import { type Revocations, revocationAnswer } from "./revocations.ts";

export interface AuthorityRouteDeps {
  readonly authority: Authority;
  readonly revocations: Revocations;
}

/** `GET /nexus/v1/authority` and `/revocations`. */
export function authorityNexusRoutes({ authority, revocations }: AuthorityRouteDeps) {
  return newNexusRouter()
    .get("/authority", (context) =>
      context.json(authorityAnswerSchema.parse({ authority: base64url(authority.identity.chain) })),
    )
    .get("/revocations", async (context) => {
      const row = await revocations.current();
      const tag = `"${row.number}"`;
      context.header("etag", tag);
      if (context.req.header("if-none-match") === tag) return context.body(null, 304);
      return context.json(revocationsAnswerSchema.parse(revocationAnswer(row, authority)));
    });
}

const authoritySchema = z
  .object({
    identifier: identifierSchema,
    changes: z.array(z.object({ hash: z.string(), createdAt: timeSchema, expiresAt: timeSchema })),
    chain: z.string().meta({ description: "Base64url of the chain: what nodes verify." }),
    revocations: numberSchema,
  })
  .meta({ ref: "Authority" });

/** `/authority`: who signs here. */
export function authorityRoutes({ authority, revocations }: AuthorityRouteDeps) {
  const tag = "Authority";
  return newRouter().get(
    "/authority",
    operation({ tag, summary: "The authority's identity", scope: "audit:read", answers: { 200: authoritySchema } }),
    async (context) => {
      const number = await revocations.number();
      const { identifier, changes, chain } = authority.identity;
      return (
        etag(context, `${changes.length}-${number}`) ??
        context.json({
          identifier,
          changes: changes.map(({ hash, createdMs, expiresMs }) => ({
            hash,
            createdAt: createdMs,
            expiresAt: expiresMs,
          })),
          chain: base64url(chain),
          revocations: number,
        })
      );
    },
  );
}
