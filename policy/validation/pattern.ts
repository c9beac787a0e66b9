import { RE2JS } from 're2js';
import { translatePattern } from './ecma-pattern.ts';
import { spendWork } from './work-budget.ts';

/** A compiled `pattern`: asks whether the text has a match, in time linear in its length. */
export interface Pattern {
  test(text: string): boolean;
  /** The pattern as written; Ajv tells patterns apart by it. */
  toString(): string;
}

/** Largest RE2 program: matching costs up to its size a character. */
export const MAX_PATTERN_PROGRAM = 4_000;

/**
 * Compiles a pattern of ECMA-262. Throws an Error where it is not one, or cannot be matched in linear time
 * (lookarounds, backreferences).
 */
export function compilePattern(source: string): Pattern {
  const native = parseNative(source);
  const { re2, isSimple } = translatePattern(source);
  // RE2 in JavaScript is a hundred times slower than the engine's own matcher on `^[a-z]{1,63}$` and its like.
  if (isSimple && native !== undefined) return simplePattern(source, native);
  const program = RE2JS.compile(re2);
  const size = program.programSize();
  if (size > MAX_PATTERN_PROGRAM)
    throw new Error(`compiles to ${size} instructions, the limit is ${MAX_PATTERN_PROGRAM}`);
  return {
    test(text) {
      spendWork(text.length * size);
      return program.test(text);
    },
    toString: () => source,
  };
}

/** The pattern under the `u` flag; undefined where only the laxer syntax without it takes the pattern (`\-`). */
function parseNative(source: string): RegExp | undefined {
  try {
    return new RegExp(source, 'u');
  } catch {
    new RegExp(source); // throws where it is no pattern at all
    return undefined;
  }
}

function simplePattern(source: string, native: RegExp): Pattern {
  return {
    test(text) {
      spendWork(text.length);
      return native.test(text);
    },
    toString: () => source,
  };
}
