import { rootCertificates } from "node:tls";

/** PEM texts of the authorities that this runtime trusts by itself: a custom list replaces them where it is given (RFC 5280). */
export function builtInAuthorities(): readonly string[] {
  return rootCertificates;
}
