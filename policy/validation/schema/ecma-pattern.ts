import { ALL_CODES, type CodeRanges, complement, linearityOf, type PatternToken, union } from './linear-pattern.ts';

/**
 * Reads a regular expression of ECMA-262 (which JSON Schema prescribes) and writes it in RE2's syntax, with the
 * meaning it has in ECMA-262: `\s`, `.` and escapes differ. Groups become non-capturing; only whether the pattern
 * matches is asked. Source: ECMA-262 §22.2, RE2 syntax.
 */
export interface TranslatedPattern {
  readonly re2: string;
  /**
   * True when a backtracking engine too needs only linear time: one sequence of single characters, anchored
   * at its start, with at most one repetition of variable length and a short rest behind it; or a pattern whose every choice is made by the
   * characters that come next (`linearityOf`).
   */
  readonly isSimple: boolean;
  /** Units of work that a character costs such an engine, in about that order. */
  readonly weight: number;
}

/** Longest pattern. */
export const MAX_PATTERN_LENGTH = 4_000;
/** Most characters that may follow the one variable repetition of a simple pattern: each is tried at each place. */
const MAX_SIMPLE_REST = 64;

const SPACE =
  '\\t\\n\\x{b}\\f\\r\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}';
const NOT_SPACE =
  '\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}';
const ANY = '[^\\n\\r\\x{2028}\\x{2029}]';

/** General categories by their long names; RE2 knows the short ones. */
const CATEGORIES: { readonly [name: string]: string } = {
  Letter: 'L',
  Lowercase_Letter: 'Ll',
  Uppercase_Letter: 'Lu',
  Titlecase_Letter: 'Lt',
  Modifier_Letter: 'Lm',
  Other_Letter: 'Lo',
  Mark: 'M',
  Number: 'N',
  Decimal_Number: 'Nd',
  Letter_Number: 'Nl',
  Other_Number: 'No',
  Punctuation: 'P',
  Symbol: 'S',
  Separator: 'Z',
  Space_Separator: 'Zs',
  Other: 'C',
  Control: 'Cc',
};

/** A character, or a set of them as RE2 writes it within brackets. */
type Atom =
  | { readonly kind: 'character'; readonly code: number }
  | { readonly kind: 'set'; readonly re2: string; readonly ranges: CodeRanges; readonly isExact: boolean };

const LINE_ENDS: CodeRanges = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const DIGITS: CodeRanges = [[0x30, 0x39]];
const WORD: CodeRanges = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
/** ECMA-262 §22.2.2.9: WhiteSpace and LineTerminator. */
const SPACES: CodeRanges = [
  ...([
    [0x09, 0x0d],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
    [0x2028, 0x2029],
  ] as const),
  ...([
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ] as const),
];

/** Throws an Error that says what RE2 cannot take. */
export function translatePattern(pattern: string): TranslatedPattern {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new Error(`longer than ${MAX_PATTERN_LENGTH} characters`);
  return new Translator(pattern).translate();
}

class Translator {
  readonly #text: string;
  #at = 0;
  #isSequence = true;
  #variableCount = 0;
  /** Characters since the variable repetition (or since the start, where there is none). */
  #rest = 0;
  #hasEnd = false;
  readonly #tokens: PatternToken[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  translate(): TranslatedPattern {
    let re2 = '';
    while (this.#at < this.#text.length) re2 += this.#next();
    const isAnchored = this.#text.startsWith('^');
    const isShort = this.#rest <= MAX_SIMPLE_REST;
    const isBounded = isAnchored ? this.#variableCount === 0 || isShort : this.#variableCount === 0 && isShort;
    const isSequence = this.#isSequence && this.#variableCount <= 1 && isBounded;
    if (isSequence && (isAnchored || !this.#hasEnd)) return { re2, isSimple: true, weight: 1 };
    const { isLinear, weight } = linearityOf(this.#tokens);
    return { re2, isSimple: isLinear, weight };
  }

  #next(): string {
    const first = this.#text.charAt(this.#at);
    switch (first) {
      case '^':
        if (this.#at > 0) this.#isSequence = false;
        this.#tokens.push({ kind: 'assertion', at: 'start' });
        return this.#literally(1);
      case '$':
        if (this.#at < this.#text.length - 1) this.#isSequence = false;
        this.#hasEnd = true;
        this.#tokens.push({ kind: 'assertion', at: 'end' });
        return this.#literally(1);
      case '|':
      case ')':
        this.#isSequence = false;
        this.#tokens.push({ kind: first === ')' ? 'close' : 'or' });
        return this.#literally(1) + (first === ')' ? this.#quantifier() : '');
      case '(':
        this.#isSequence = false;
        this.#tokens.push({ kind: 'open' });
        return this.#group();
      case '.':
        this.#at += 1;
        this.#tokens.push({ kind: 'set', ranges: complement(LINE_ENDS) });
        return ANY + this.#quantifier();
      case '[':
        return this.#class() + this.#quantifier();
      case '\\':
        if (/^\\[bB]/.test(this.#text.slice(this.#at, this.#at + 2))) {
          this.#isSequence = false;
          this.#tokens.push({ kind: 'assertion', at: 'word' });
          return this.#literally(2);
        }
        return this.#single(this.#escape(false));
      default:
        return this.#single(this.#character());
    }
  }

  #single(atom: Atom): string {
    this.#tokens.push({ kind: 'set', ranges: rangesOf(atom) });
    return shown(atom) + this.#quantifier();
  }

  #literally(length: number): string {
    this.#at += length;
    return this.#text.slice(this.#at - length, this.#at);
  }

  #group(): string {
    const rest = this.#text.slice(this.#at, this.#at + 4);
    if (/^\(\?(?:=|!|<=|<!)/.test(rest)) throw new Error('has a lookaround, which linear-time matching cannot do');
    if (rest.startsWith('(?:')) this.#at += 3;
    else if (rest.startsWith('(?<')) this.#at = this.#text.indexOf('>', this.#at) + 1;
    else if (rest.startsWith('(?')) throw new Error('has a group with modifiers, which is not supported');
    else this.#at += 1;
    return '(?:';
  }

  /** The quantifier at the current position, if any; counts what it means for `isSimple`. */
  #quantifier(): string {
    const match = /^(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??/.exec(this.#text.slice(this.#at, this.#at + 24));
    if (match === null) {
      this.#rest += 1;
      return '';
    }
    this.#at += match[0].length;
    const [whole, least, comma, most] = match;
    this.#tokens.push(quantifier(whole, least, comma, most));
    if (least !== undefined && (comma === undefined || most === least)) {
      this.#rest += Number(least);
    } else {
      this.#variableCount += 1;
      this.#rest = 0;
    }
    return whole;
  }

  #class(): string {
    this.#at += 1;
    const isNegated = this.#text.charAt(this.#at) === '^';
    if (isNegated) this.#at += 1;
    let re2 = '';
    const sets: CodeRanges[] = [];
    let isExact = true;
    const take = (atom: Atom) => {
      sets.push(rangesOf(atom));
      isExact &&= atom.kind === 'character' || atom.isExact;
    };
    while (this.#text.charAt(this.#at) !== ']') {
      if (this.#at >= this.#text.length) throw new Error('has a [ without ]');
      const low = this.#classAtom();
      const isRange = this.#text.charAt(this.#at) === '-' && this.#text.charAt(this.#at + 1) !== ']';
      take(low);
      if (!isRange) {
        re2 += inside(low);
        continue;
      }
      this.#at += 1;
      const high = this.#classAtom();
      take(high);
      const isPlain = low.kind === 'character' && high.kind === 'character';
      sets.push(isPlain ? [[low.code, high.code]] : [[0x2d, 0x2d]]);
      // `[\w-.]`: with a set at one end the hyphen is a hyphen (ECMA-262 Annex B.1.2).
      re2 += isPlain ? `${inside(low)}-${inside(high)}` : `${inside(low)}\\x{2d}${inside(high)}`;
    }
    this.#at += 1;
    const ranges = union(sets);
    // What is not in a set of which only the outline is known may be anything.
    this.#tokens.push({ kind: 'set', ranges: isNegated ? (isExact ? complement(ranges) : ALL_CODES) : ranges });
    if (re2 === '') return isNegated ? '[\\x{0}-\\x{10ffff}]' : '[^\\x{0}-\\x{10ffff}]';
    return `[${isNegated ? '^' : ''}${re2}]`;
  }

  #classAtom(): Atom {
    return this.#text.charAt(this.#at) === '\\' ? this.#escape(true) : this.#character();
  }

  #character(): Atom {
    const code = this.#text.codePointAt(this.#at) ?? 0;
    this.#at += code > 0xffff ? 2 : 1;
    return { kind: 'character', code };
  }

  #escape(isInClass: boolean): Atom {
    const letter = this.#text.charAt(this.#at + 1);
    this.#at += 2;
    switch (letter) {
      case 'd':
        return set('\\d', DIGITS);
      case 'D':
        return set('\\D', complement(DIGITS));
      case 'w':
        return set('\\w', WORD);
      case 'W':
        return set('\\W', complement(WORD));
      case 's':
        return set(SPACE, SPACES);
      case 'S':
        return set(NOT_SPACE, complement(SPACES));
      case 'p':
      case 'P':
        return { kind: 'set', re2: this.#property(letter), ranges: ALL_CODES, isExact: false };
      case 'n':
        return character(0x0a);
      case 'r':
        return character(0x0d);
      case 't':
        return character(0x09);
      case 'v':
        return character(0x0b);
      case 'f':
        return character(0x0c);
      case 'b':
        if (isInClass) return character(0x08);
        break;
      case '0':
        if (!/\d/.test(this.#text.charAt(this.#at))) return character(0);
        break;
      case 'x':
        return character(this.#hex(/^[\da-fA-F]{2}/));
      case 'u':
        return character(this.#unicode());
      case 'c':
        return character(this.#control());
    }
    if (/[1-9k]/.test(letter)) throw new Error('has a backreference, which linear-time matching cannot do');
    if (letter === '' || /[a-zA-Z0]/.test(letter))
      throw new Error(`has the escape \\${letter}, which is not one of ECMA-262`);
    this.#at -= 1;
    return this.#character();
  }

  #property(letter: string): string {
    const match = /^\{(?:(\w+)=)?(\w+)\}/.exec(this.#text.slice(this.#at));
    const name = match?.[2];
    if (match === null || name === undefined) throw new Error(`has \\${letter} without a property name`);
    const key = match[1];
    if (key !== undefined && !['Script', 'sc', 'General_Category', 'gc'].includes(key)) {
      throw new Error(`has the property ${key}, which is not supported`);
    }
    this.#at += match[0].length;
    return `\\${letter}{${CATEGORIES[name] ?? name}}`;
  }

  #unicode(): number {
    const braced = /^\{([\da-fA-F]+)\}/.exec(this.#text.slice(this.#at));
    if (braced !== null) {
      this.#at += braced[0].length;
      return Number.parseInt(braced[1] ?? '', 16);
    }
    const high = this.#hex(/^[\da-fA-F]{4}/);
    const low = /^\\u([dD][c-fC-F][\da-fA-F]{2})/.exec(this.#text.slice(this.#at));
    if (high < 0xd800 || high > 0xdbff || low === null) return high;
    this.#at += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (Number.parseInt(low[1] ?? '', 16) - 0xdc00);
  }

  #hex(form: RegExp): number {
    const match = form.exec(this.#text.slice(this.#at, this.#at + 4));
    if (match === null) throw new Error('has a broken hexadecimal escape');
    this.#at += match[0].length;
    return Number.parseInt(match[0], 16);
  }

  #control(): number {
    const letter = this.#text.charAt(this.#at);
    if (!/[a-zA-Z]/.test(letter)) throw new Error('has \\c without a letter');
    this.#at += 1;
    return letter.charCodeAt(0) % 32;
  }
}

function quantifier(
  whole: string,
  least: string | undefined,
  comma: string | undefined,
  most: string | undefined,
): PatternToken {
  if (least === undefined) {
    const isOptional = whole.startsWith('?');
    return {
      kind: 'quantifier',
      least: whole.startsWith('+') ? 1 : 0,
      most: isOptional ? 1 : Number.POSITIVE_INFINITY,
    };
  }
  const bound = comma === undefined ? least : most;
  return { kind: 'quantifier', least: Number(least), most: bound ? Number(bound) : Number.POSITIVE_INFINITY };
}

function set(re2: string, ranges: CodeRanges): Atom {
  return { kind: 'set', re2, ranges, isExact: true };
}

function rangesOf(atom: Atom): CodeRanges {
  return atom.kind === 'character' ? [[atom.code, atom.code]] : atom.ranges;
}

function character(code: number): Atom {
  return { kind: 'character', code };
}

/** The atom within brackets. */
function inside(atom: Atom): string {
  return atom.kind === 'character' ? `\\x{${atom.code.toString(16)}}` : atom.re2;
}

/** The atom on its own. */
function shown(atom: Atom): string {
  return atom.kind === 'character' ? inside(atom) : `[${atom.re2}]`;
}
