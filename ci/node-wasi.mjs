// Runs a WASI preview 1 command under Node, to show that a guest needs no particular runtime.
//
//   node ci/node-wasi.mjs GUEST.wasm DIR [ARGUMENT...]
//
// DIR is the guest's current directory. The exit code is the guest's own, 134 if it trapped (as with the wasmtime
// command line), 64 if this script was misused.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';

// node:wasi announces on import that it is experimental, which would otherwise be mixed into the guest's stderr.
const emitWarning = process.emitWarning;
process.emitWarning = (warning, ...rest) => {
  const type = typeof rest[0] === 'object' ? rest[0]?.type : rest[0];
  if (type !== 'ExperimentalWarning') emitWarning.call(process, warning, ...rest);
};
const { WASI } = await import('node:wasi');

const [guest, directory, ...args] = process.argv.slice(2);
if (directory === undefined) {
  console.error('usage: node node-wasi.mjs GUEST.wasm DIR [ARGUMENT...]');
  process.exit(64);
}

const wasi = new WASI({
  version: 'preview1',
  args: [basename(guest), ...args],
  env: {},
  preopens: { '.': directory },
  returnOnExit: true,
});
const module = await WebAssembly.compile(await readFile(guest));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
try {
  process.exitCode = wasi.start(instance);
} catch (error) {
  if (!(error instanceof WebAssembly.RuntimeError)) throw error;
  console.error(`trap: ${error.message}`);
  process.exitCode = 134;
}
