import { RE2JS } from 're2js';
import { translatePattern } from './ecma-pattern.ts';
import { answerUnenforced } from './judgement.ts';
import { spendWork } from './work-budget.ts';

/** A compiled `pattern`: asks whether the text has a match, in time linear in its length. */
export interface Pattern {
  test(text: string): boolean;
  /** The pattern as written; Ajv tells patterns apart by it. */
  toString(): string;
}

/** Largest RE2 program: matching costs up to its size a character. */
export const MAX_PATTERN_PROGRAM = 4_000;

/** What asking costs, however short the text is. */
const ASKING_WORK = 5;

/** A pattern of ECMA-262 that cannot be matched in linear time; also thrown where a text comes to it. */
export class PatternNotEnforceable extends Error {
  constructor(source: string, reason: string) {
    const shown = source.length > MAX_SHOWN ? `${source.slice(0, MAX_SHOWN)}…` : source;
    super(`pattern ${JSON.stringify(shown)} cannot be enforced: ${reason}`);
    this.name = 'PatternNotEnforceable';
  }
}

/** Characters of a pattern in a message. */
const MAX_SHOWN = 100;

/**
 * Compiles a pattern of ECMA-262. Throws a SyntaxError where it is not one, PatternNotEnforceable where it cannot be matched in linear
 * time (lookarounds, backreferences, programs too large).
 */
export function compilePattern(source: string): Pattern {
  const native = parseNative(source);
  try {
    return linearPattern(source, native);
  } catch (error) {
    throw new PatternNotEnforceable(source, error instanceof Error ? error.message : String(error));
  }
}

/**
 * The same, compiled when a text first comes to it: that takes up to some milliseconds. One that cannot be enforced throws
 * PatternNotEnforceable then, whatever stands around it (`not`, `anyOf`), or is told of, as the judgement has it.
 */
export function patternWhenUsed(source: string): Pattern {
  let compiled: Pattern | undefined;
  return {
    test(text) {
      compiled ??= compiledOrNot(source);
      return compiled.test(text);
    },
    toString: () => source,
  };
}

function compiledOrNot(source: string): Pattern {
  try {
    return compilePattern(source);
  } catch (error) {
    if (!(error instanceof PatternNotEnforceable)) throw error;
    return { test: () => answerUnenforced(error), toString: () => source };
  }
}

function linearPattern(source: string, native: RegExp | undefined): Pattern {
  const { re2, isSimple, weight } = translatePattern(source);
  // RE2 in JavaScript is a hundred times slower than the engine's own matcher on `^[a-z]{1,63}$` and its like.
  if (isSimple && native !== undefined) return simplePattern(source, native, weight);
  const program = RE2JS.compile(re2);
  const size = program.programSize();
  if (size > MAX_PATTERN_PROGRAM)
    throw new Error(`compiles to ${size} instructions, the limit is ${MAX_PATTERN_PROGRAM}`);
  return {
    test(text) {
      spendWork(ASKING_WORK + (text.length + 1) * size);
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

function simplePattern(source: string, native: RegExp, weight: number): Pattern {
  return {
    test(text) {
      spendWork(ASKING_WORK + text.length * weight);
      return native.test(text);
    },
    toString: () => source,
  };
}
