/** The credential authority: Solaris' identity, credentials, the revocation list. */
export { type Authority, authorityLifeMs, openAuthority, storedAuthority } from "./authority.ts";
export { type IssueCredential, makeIssueCredential } from "./credentials.ts";
export { openRevocations, type Revocations } from "./revocations.ts";
export { finishRotation, rotateAuthority } from "./rotation.ts";
export { authorityNexusRoutes, authorityRoutes } from "./routes.ts";
