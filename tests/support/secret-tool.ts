import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A `secret-tool` of our own, over a file for each entry, and the environment in which it is found. */
export function secretTool(folder: string): { environment: Record<string, string>; entries: string; lock(): void } {
  const entries = join(folder, "entries");
  const bin = join(folder, "bin");
  const locked = join(folder, "locked");
  for (const path of [entries, bin]) mkdirSync(path, { recursive: true });
  const script = `#!/bin/sh
verb=$1; shift
[ "$verb" = store ] && shift # its label
entry="${entries}/$2.$4"
case $verb in
  lookup) [ -f "$entry" ] && cat "$entry" ;;
  store) cat > "$entry" ;;
  clear) [ ! -f "${locked}" ] && rm "$entry" ;;
esac
`;
  writeFileSync(join(bin, "secret-tool"), script);
  chmodSync(join(bin, "secret-tool"), 0o755);
  return {
    entries,
    environment: { PATH: `${bin}:${process.env.PATH ?? ""}`, DBUS_SESSION_BUS_ADDRESS: "unix:path=/nowhere" },
    lock: () => {
      if (!existsSync(locked)) writeFileSync(locked, "");
    },
  };
}
