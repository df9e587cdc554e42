// Prints what a bundle of each entry weighs: minified, gzip -9. Bytes; the entry's static imports only.

import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const ENTRIES = { core: "livequery", react: "react", vue: "vue", svelte: "svelte", solid: "solid", element: "element", "tanstack-db": "tanstack-db" };
const FRAMEWORKS = ["react", "vue", "svelte/reactivity", "solid-js"];

/** @param {string} entry */
async function sizeOf(entry) {
  const { metafile, outputFiles } = await build({
    entryPoints: [new URL(`../src/${entry}.js`, import.meta.url).pathname],
    bundle: true,
    minify: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    outdir: "/out",
    external: FRAMEWORKS,
    metafile: true,
    write: false,
  });
  const named = new Map(outputFiles.map((file) => [file.path.split("/").at(-1), file.contents]));
  const wanted = new Set([`${entry}.js`]);
  for (const name of wanted) {
    const output = Object.entries(metafile.outputs).find(([path]) => path.endsWith(`/${name}`))[1];
    for (const { path, kind } of output.imports) if (kind === "import-statement" && !FRAMEWORKS.includes(path)) wanted.add(path.split("/").at(-1));
  }
  const bytes = [...wanted].map((name) => named.get(name));
  return {
    minified: bytes.reduce((sum, one) => sum + one.length, 0),
    gzipped: bytes.reduce((sum, one) => sum + gzipSync(one, { level: 9 }).length, 0),
  };
}

/** One file, with what is imported later left out: what a page without a bundler's splitting loads first. */
export async function coreSize() {
  const { outputFiles } = await build({
    entryPoints: [new URL("../src/livequery.js", import.meta.url).pathname],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    plugins: [
      {
        name: "leave out import()",
        setup: ({ onResolve }) => onResolve({ filter: /.*/ }, ({ path, kind }) => (kind === "dynamic-import" ? { path, external: true } : undefined)),
      },
    ],
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

/** Per entry; that of a wrapper is what it adds. */
export const entrySizes = () =>
  Promise.all(Object.entries(ENTRIES).map(async ([name, entry]) => /** @type {const} */ ([name, await sizeOf(entry)])));

if (process.argv[1] === new URL(import.meta.url).pathname) {
  console.log("core, in one file:", await coreSize());
  for (const [name, { minified, gzipped }] of await entrySizes()) {
    console.log(`${name}: ${minified} minified, ${gzipped} gzipped`);
  }
}
