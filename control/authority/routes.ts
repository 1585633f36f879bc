import { z } from "zod";
import { base64url } from "#lib/bytes";
import {
  authorityAnswerSchema,
  identifierSchema,
  numberSchema,
  revocationsAnswerSchema,
  timeSchema,
} from "#lib/session";
import { actorOf } from "../access/principal.ts";
import { etag, newRouter, operation, principalOf } from "../api/index.ts";
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
export function authorityRoutes({
  authority,
  revocations,
  rotate,
}: AuthorityRouteDeps & { readonly rotate: (actor: string) => Promise<void> }) {
  const tag = "Authority";
  const show = async () => {
    const { identifier, changes, chain } = authority.identity;
    return {
      identifier,
      changes: changes.map(({ hash, createdMs, expiresMs }) => ({ hash, createdAt: createdMs, expiresAt: expiresMs })),
      chain: base64url(chain),
      revocations: await revocations.number(),
    };
  };
  return newRouter()
    .get(
      "/authority",
      operation({ tag, summary: "The authority's identity", scope: "audit:read", answers: { 200: authoritySchema } }),
      async (context) => {
        const shown = await show();
        return etag(context, `${shown.changes.length}-${shown.revocations}`) ?? context.json(shown);
      },
    )
    .post(
      "/authority/rotate",
      operation({
        tag,
        summary: "Give the authority new keys",
        description: "Its identifier stays. All that it signed is signed anew; the former private keys are destroyed.",
        scope: "*",
        answers: { 200: authoritySchema },
        faults: ["conflict"],
      }),
      async (context) => {
        await rotate(actorOf(principalOf(context)));
        return context.json(await show());
      },
    );
}
