import type { BunPlugin } from "bun";

/** Programs are built for these. */
export type BuildTarget = "linux-x64" | "linux-arm64" | "linux-x64-musl" | "windows-x64" | "darwin-arm64";

const addons: Readonly<Record<BuildTarget, string>> = {
  "linux-x64": "@libsql/linux-x64-gnu",
  "linux-arm64": "@libsql/linux-arm64-gnu",
  "linux-x64-musl": "@libsql/linux-x64-musl",
  "windows-x64": "@libsql/win32-x64-msvc",
  "darwin-arm64": "@libsql/darwin-arm64",
};

/**
 * Puts the target's native libSQL into the binary: `libsql/index.js` picks it by a computed `require`, which no bundler can
 * follow. The package named in `addonPackage` must be installed. With `addonFile` the binary loads that file of the machine that
 * it runs on instead: what is inside a binary is unpacked into the temporary directory, which must allow execution then.
 */
export function libsqlPlugin(target: BuildTarget, addonFile?: string): BunPlugin {
  return {
    name: "libsql-addon",
    setup(build) {
      build.onLoad({ filter: /[\\/]libsql[\\/]index\.js$/ }, async ({ path }) => {
        const source = await Bun.file(path).text();
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of libsql itself
        const computed = "return require(`@libsql/${target}`);";
        const begin = source.indexOf("function requireNative() {");
        const end = source.indexOf(computed, begin);
        if (begin < 0 || end < 0) throw new TypeError("libsql/index.js is not as this plugin knows it");
        const addon = JSON.stringify(addonFile ?? `${addons[target]}/index.node`);
        const literal = `function requireNative() { return require(${addon});`;
        const loaders = /^const \{ (load, currentTarget|familySync, GLIBC, MUSL) \} = require\(.*$/gm;
        const contents = (source.slice(0, begin) + literal + source.slice(end + computed.length)).replace(loaders, "");
        return { contents, loader: "js" };
      });
    },
  };
}

/** npm package that holds libSQL's native addon for this target. */
export function addonPackage(target: BuildTarget): string {
  return addons[target];
}
