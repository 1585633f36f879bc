import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** DESIGN §11: a folder of `lib` may import only folders that stand before it, through their doors. */
const order = [
  ["bytes", "fault", "clock", "limits", "log", "metrics"],
  ["crypto", "noise", "identity", "statement", "policy", "hosts"],
  ["channel", "mux", "delivery", "session"],
  ["runtime", "wire", "kms", "broker"],
  ["link", "portal", "client"],
];
const rank = new Map(order.flat().map((folder, index) => [folder, index]));
const pureFolders = new Set(order.slice(0, 3).flat());
const programs = ["agent", "gateway", "control"];
/** The one place where two programs meet: `solaris serve --with-gateway`. */
const meetings = new Map([["control/single-machine.ts", ["gateway/app.ts"]]]);
/** Build files and entry points may name Bun and import `node:*`. */
const entryPoint = /^(agent|gateway|control)\/(main|build)\.ts$/;

interface Import {
  readonly from: string;
  readonly to: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => join(folder, path));
}

/** Every import of a file, type-only ones included (the transpiler's own scan leaves those out). */
function importsOf(path: string): Import[] {
  const text = readFileSync(join(root, path), "utf8");
  const specifiers = text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*["']([^"'\n]+)["']/g);
  return [...specifiers].flatMap(([, specifier]) => {
    if (specifier === undefined) return [];
    const to = specifier.startsWith(".") ? relative(root, resolve(root, dirname(path), specifier)) : specifier;
    return [{ from: path, to }];
  });
}

const libFiles = sources("lib");
const programFiles = programs.flatMap(sources);
const imports = [...libFiles, ...programFiles].flatMap(importsOf);
const libFolderOf = (path: string) => /^(?:lib\/|#lib\/)([^/]+)/.exec(path)?.[1];

function offences(judge: (found: Import) => string | undefined): string[] {
  return imports.flatMap((found) => {
    const reason = judge(found);
    return reason === undefined ? [] : [`${found.from} imports ${found.to}: ${reason}`];
  });
}

describe("layers", () => {
  test("every folder of lib has its place in the order", () => {
    const folders = readdirSync(join(root, "lib"));
    expect(folders.filter((folder) => !rank.has(folder))).toEqual([]);
  });

  test("lib imports only what stands before it", () => {
    expect(
      offences(({ from, to }) => {
        const here = libFolderOf(from);
        const there = libFolderOf(to);
        if (here === undefined || there === undefined || here === there) return undefined;
        return (rank.get(there) ?? -1) < (rank.get(here) ?? -1)
          ? undefined
          : `"${there}" stands after "${here}"; a lower layer that knows a higher one can't be tested or reused without it`;
      }),
    ).toEqual([]);
  });

  test("folders of lib are entered by their doors", () => {
    expect(
      offences(({ from, to }) => {
        const there = libFolderOf(to);
        if (there === undefined || libFolderOf(from) === there) return undefined;
        return to === `#lib/${there}` ? undefined : `use the door #lib/${there}: what is behind it may change`;
      }),
    ).toEqual([]);
  });

  test("lib and programs know no program above or beside them", () => {
    expect(
      offences(({ from, to }) => {
        const here = from.split("/")[0];
        const there = to.split("/")[0];
        if (there === undefined || !programs.includes(there) || here === there) return undefined;
        if (meetings.get(from)?.includes(to)) return undefined;
        return "programs meet on the wire only, so that each can be deployed and judged alone";
      }),
    ).toEqual([]);
  });

  test("only lib/runtime, main.ts and build.ts touch the runtime", () => {
    const runtimeImports = offences(({ from, to }) => {
      if (from.startsWith("lib/runtime/") || entryPoint.test(from)) return undefined;
      return /^(node:|bun$|bun:)/.test(to) ? "what no web standard offers comes through #lib/runtime" : undefined;
    });
    const runtimeNames = [...libFiles, ...programFiles]
      .filter((path) => !path.startsWith("lib/runtime/") && !entryPoint.test(path))
      .filter((path) => /(?<![\w."'/])(Bun|process)\.\w/.test(code(path)));
    expect([...runtimeImports, ...runtimeNames]).toEqual([]);
  });

  test("formats and machines are pure", () => {
    const impure = /(?<![\w.])(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|performance\.now|fetch\()/;
    const found = libFiles.filter((path) => pureFolders.has(libFolderOf(path) ?? "") && impure.test(code(path)));
    expect(found).toEqual([]);
  });
});

/** The file without comments and string contents, so that prose may name what code may not. */
function code(path: string): string {
  return readFileSync(join(root, path), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "")
    .replace(/(["'`])(?:\\.|(?!\1)[^\\])*\1/g, '""');
}
