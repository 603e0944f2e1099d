// node componentize.mjs PACKAGE ENTRY.js WIT-FOLDER WORLD OUT.wasm: a component without any import of WASI.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, sourcePath, witPath, worldName, out] = process.argv.slice(2);
const { exports, main } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
const { componentize } = await import(pathToFileURL(join(folder, exports?.import ?? main)));
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName,
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);
