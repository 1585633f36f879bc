import { asFault, Fault, type FaultCode } from "#lib/fault";

const codes: Readonly<Record<string, FaultCode>> = {
  ENOENT: "not_found",
  ENOTDIR: "not_found",
  EACCES: "not_allowed_here",
  EPERM: "not_allowed_here",
  EROFS: "not_allowed_here",
  ENOSPC: "disk_full",
  EDQUOT: "disk_full",
  EEXIST: "conflict",
};

/** A file system error as a Fault: its errno, and the path as detail. Anything unlisted is `unavailable`. */
export function fileFault(error: unknown, path: string): Fault {
  if (error instanceof Fault) return error;
  const errno = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
  if (errno === undefined) return asFault(error, "internal", "a file operation failed");
  return new Fault(codes[errno] ?? "unavailable", `file operation failed with ${errno}`, { detail: { path, errno } });
}
