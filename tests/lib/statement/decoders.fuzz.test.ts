import { test } from "bun:test";
import fc from "fast-check";
import { base64url, encodeCbor, encodeJson, utf8 } from "#lib/bytes";
import { Fault } from "#lib/fault";
import { nodeKeys } from "#lib/identity";
import { systemRandom } from "#lib/runtime";
import {
  decodeEnrollmentToken,
  openEnrollmentRequest,
  readAuthorizationUnverified,
  recipientOf,
  seal,
  verifyAnswer,
} from "#lib/statement";
import { kinds } from "./kinds.ts";
import { authority, now, suite } from "./world.ts";

const key = { header: systemRandom(32), answer: systemRandom(32) };

async function faultOnly(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
  }
}

const runs = { numRuns: 150 };
const part = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.json().map((json) => base64url(utf8(json))),
  fc.uint8Array({ maxLength: 80 }).map(base64url),
  fc.constant(""),
);
const text = fc.oneof(
  fc.string(),
  fc.array(part, { minLength: 2, maxLength: 5 }).map((parts) => parts.join(".")),
);
/** Claims of any kind, and good ones with a piece replaced. */
const claims = fc.dictionary(
  fc.oneof(
    fc.constantFrom("sub", "iat", "exp", "number", "attrs", "plugins", "arguments", "revoked", "__proto__"),
    fc.string(),
  ),
  fc.jsonValue(),
);

test("text of any form in place of a statement, a header or a token is refused with a Fault", async () => {
  await fc.assert(
    fc.asyncProperty(text, async (any) => {
      for (const { verify } of kinds) await faultOnly(() => verify(any));
      await faultOnly(() => readAuthorizationUnverified(any));
      await faultOnly(() => readAuthorizationUnverified(`Mercury ${any}`));
      await faultOnly(() => decodeEnrollmentToken(suite, any));
      await faultOnly(() => decodeEnrollmentToken(suite, `mercury_${any}`));
    }),
    runs,
  );
});

test("signed claims of any kind are read or refused with a Fault", async () => {
  await fc.assert(
    fc.asyncProperty(claims, async (any) => {
      for (const { typ, verify } of kinds) {
        const payload = typ === "mercury-message" ? encodeCbor(any as never) : encodeJson(any as never);
        const header = encodeJson({ alg: "EdDSA", kid: authority.identity.last.hash, typ });
        const signed = `${base64url(header)}.${base64url(payload)}`;
        const jws = `${signed}.${base64url(await authority.signer.sign(utf8(signed)))}`;
        await faultOnly(() => verify(jws));
      }
    }),
    { numRuns: 60 },
  );
});

test("an answer with a good MAC and any content is read or refused with a Fault", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (body) => {
      const bytes = new Uint8Array([...(await suite.hmacSha256(key.answer, body)), ...body]);
      await faultOnly(() => verifyAnswer(suite, key, bytes, { jti: "j" }));
    }),
    runs,
  );
});

test("an enrollment request of any content is refused with a Fault", async () => {
  const { unseal } = await nodeKeys(suite, authority.secrets, authority.identity);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        claims.map((any) => encodeCbor(any as never)),
      ),
      async (any) => {
        const jwe = await seal(suite, systemRandom, recipientOf(authority.identity), any);
        await faultOnly(() => openEnrollmentRequest(suite, unseal, jwe, { authority: authority.identity, now }));
      },
    ),
    runs,
  );
});
