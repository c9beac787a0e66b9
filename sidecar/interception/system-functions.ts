import type { DynamicLibraryResult, FunctionDefinitions } from 'node:ffi';
import process from 'node:process';

/**
 * Functions of the C library, which this program has loaded anyway; it stays open as long as the thread lives. Throws where this
 * Node cannot call them, with what to do.
 */
export function systemFunctions<const T extends FunctionDefinitions>(
  definitions: T,
): DynamicLibraryResult<T>['functions'] {
  const ffi = withoutItsWarning(() => process.getBuiltinModule('node:ffi'));
  if (ffi === undefined) {
    throw new Error(
      `interception: redirect needs node:ffi, which this Node (${process.version}) does not offer; run Node 26.1 or later without --no-experimental-ffi, or set interception: none`,
    );
  }
  return ffi.dlopen(null, definitions).functions;
}

/** Node warns that node:ffi is experimental, which we know; any other warning is shown. */
function withoutItsWarning<T>(load: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (rest[0] === 'ExperimentalWarning' && String(warning).startsWith('FFI ')) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  };
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
