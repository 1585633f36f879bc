import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Program } from "../program.ts";
import { execForm, type Stage } from "./dockerfile.ts";

/** Shared libraries of `gcr.io/distroless/cc-debian12`, which this machine's own stand for. */
const baseLibraries = /^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.\d+|ld-linux-.*\.so\.\d+)$/;

/** Runs what follows in a mount namespace of its own, where `$1` is read-only but for its volumes (`$2`, separated by `:`). */
const enter = `
set -e
root=$1 volumes=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --bind /dev "$root/dev"
IFS=:; for volume in $volumes; do mount --bind "$root$volume" "$root$volume"; done; unset IFS
mount -o remount,bind,ro "$root"
exec "$@"
`;

/** Whether a root can be entered here: root on Linux with mount namespaces. */
export function canEnterRoots(): boolean {
  const tools = ["unshare", "chroot", "setpriv", "mount", "ldd"].every((tool) => Bun.which(tool) !== null);
  return tools && Bun.spawnSync(["unshare", "--mount", "mount", "--make-rprivate", "/"]).exitCode === 0;
}

/** What the last stage of a Dockerfile makes, laid out as a root of its own. */
export class Image {
  readonly root: string;
  readonly user: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #volumes: readonly string[];
  readonly #stage: Stage;

  private constructor(stage: Stage, root: string) {
    this.#stage = stage;
    this.root = root;
    this.user = this.#text("USER");
    this.#environment = Object.fromEntries(
      this.#all("ENV").flatMap((text) => [...text.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value])),
    );
    this.#volumes = this.#all("VOLUME").flatMap((text) => text.split(/\s+/));
  }

  /** Lays out a stage: what it copies from `built` (by the names of the stages there), and what its base image holds. */
  static lay(stage: Stage, built: Readonly<Record<string, string>>, root: string): Image {
    const image = new Image(stage, root);
    const files = stage.instructions.flatMap(({ name, options, text }) => {
      if (name !== "COPY") return [];
      const [source = "", target = ""] = text.split(/\s+/);
      const path = join(root, target);
      mkdirSync(dirname(path), { recursive: true });
      cpSync(join(built[options.from ?? ""] ?? "", source), path, { recursive: true });
      const [uid = 0, gid = 0] = (options.chown ?? "0:0").split(":").map(Number);
      chownSync(path, uid, gid);
      if (options.chmod !== undefined) chmodSync(path, Number.parseInt(options.chmod, 8));
      return [path];
    });
    layBase(root, files);
    return image;
  }

  /** The program as the image starts it, or with other `words` after its entry point. */
  program(directory: string, environment: Readonly<Record<string, string>>, words?: readonly string[]): Program {
    const command = [...execForm(this.#text("ENTRYPOINT")), ...(words ?? execForm(this.#text("CMD")))];
    return this.#program("image", directory, environment, command);
  }

  /** Exit code of the image's health check. */
  async health(directory: string, environment: Readonly<Record<string, string>>): Promise<number> {
    const check = /^.*?CMD\s+(\[.*\])$/.exec(this.#text("HEALTHCHECK"))?.[1] ?? "";
    await using program = this.#program("health", directory, environment, execForm(check));
    program.start();
    return await program.exit();
  }

  /** Paths of all files, relative to the root and but for its volumes. */
  files(): string[] {
    const outside = (path: string) => !this.#volumes.some((volume) => `/${path}`.startsWith(`${volume}/`));
    return readdirSync(this.root, { recursive: true, encoding: "utf8" }).filter(outside).sort();
  }

  #program(name: string, directory: string, extra: Readonly<Record<string, string>>, command: string[]): Program {
    const environment = { HOME: "/home/nonroot", PATH: process.env.PATH ?? "", ...this.#environment, ...extra };
    const asUser = ["setpriv", "--no-new-privs", "chroot", `--userspec=${this.user}`, "--groups=", this.root];
    return new Program({
      name,
      command: [
        "unshare",
        "--mount",
        "sh",
        "-c",
        enter,
        "enter",
        this.root,
        this.#volumes.join(":"),
        ...asUser,
        ...command,
      ],
      environment,
      directory,
      logFile: join(directory, `${name}.log`),
    });
  }

  #all(name: string): string[] {
    return this.#stage.instructions.filter((one) => one.name === name).map(({ text }) => text);
  }

  #text(name: string): string {
    const [text] = this.#all(name);
    if (text === undefined) throw new RangeError(`the image has no ${name}`);
    return text;
  }
}

/** Loader and libraries that the files need, certificates, users, and empty folders. RangeError when the base image lacks one. */
function layBase(root: string, files: readonly string[]): void {
  for (const file of files) {
    const listed = Bun.spawnSync(["ldd", file]).stdout.toString();
    for (const [library = ""] of listed.matchAll(/\/\S+/g)) {
      if (!library.includes(".so")) continue;
      if (!baseLibraries.test(library.split("/").at(-1) ?? "")) throw new RangeError(`${file} needs ${library}`);
      if (!existsSync(join(root, library)))
        cpSync(library, join(root, library), { recursive: true, dereference: true });
    }
  }
  for (const folder of ["proc", "dev", "home/nonroot", "etc"]) mkdirSync(join(root, folder), { recursive: true });
  if (existsSync("/etc/ssl/certs/ca-certificates.crt"))
    cpSync("/etc/ssl/certs/ca-certificates.crt", join(root, "etc/ssl/certs/ca-certificates.crt"));
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n",
  );
}
