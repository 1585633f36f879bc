import { join } from "node:path";

/** A certificate that is its own authority, and its private key, as PEM files. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes one for these DNS names and 127.0.0.1 with `openssl`. RangeError with what it printed. */
export function testCertificate(folder: string, name: string, dnsNames: readonly string[]): TestCertificate {
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const alternatives = [...dnsNames.map((dns) => `DNS:${dns}`), "IP:127.0.0.1"].join(",");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=${alternatives}`];
  const made = Bun.spawnSync(["openssl", "req", "-x509", ...key, ...subject, "-days", "2", "-out", certFile]);
  if (made.exitCode !== 0) throw new RangeError(made.stderr.toString());
  return { certFile, keyFile };
}
