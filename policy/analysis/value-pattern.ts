import { BlockList, isIP } from 'node:net';
import { pathSpellings } from '../path/path-spellings.ts';
import { compilePathTemplate, isPathTemplate } from '../path/path-template.ts';

/**
 * How the values of an attribute are compared with it. `text`: Istio's patterns. `header`: the same, where `*` is also an empty
 * value. `opaque`: nothing is known but that equal values match the same.
 */
export type Dialect = 'text' | 'caseless' | 'header' | 'path' | 'glob' | 'ip' | 'port' | 'opaque';

/** One value of a rule, as far as it tells which other values match less. */
export interface ValuePattern {
  readonly form: 'exact' | 'prefix' | 'suffix' | 'any' | 'present' | 'template' | 'glob' | 'block' | 'never';
  /** Without the asterisk of a prefix or suffix. */
  readonly text: string;
  /** A text that stands for all that the pattern matches: what matches it whatever `WILD` is, matches all of them. */
  readonly probe: string;
  /** Where an index keeps it; `probeKeys` of whatever it covers has this key among them. */
  readonly key: string;
}

/** Stands for what a wildcard matches: no value of a request has it, nor a pattern. */
const WILD = '\0';

/** The patterns that one written value comes to: paths have several spellings. */
export function readPatterns(value: string, dialect: Dialect): readonly ValuePattern[] {
  if (value.includes(WILD)) return [exact(value)];
  switch (dialect) {
    case 'path':
      return isPathTemplate(value) ? [template(value)] : pathSpellings(value).map(wildcard);
    case 'caseless':
      return [wildcard(value.toLowerCase())];
    case 'header':
      return [value === '*' ? { form: 'present', text: '', probe: WILD, key: 'p' } : wildcard(value)];
    case 'text':
      return [wildcard(value)];
    case 'glob':
      return [value.includes('*') ? glob(value) : exact(value)];
    case 'ip':
      return [block(value)];
    case 'port':
      return [exact(String(Number(value)))];
    case 'opaque':
      return [exact(value)];
  }
}

/** True where whatever matches `less` matches `more` as well; false also where that is not certain. */
export function coversPattern(more: ValuePattern, less: ValuePattern): boolean {
  if (more.form === less.form && more.text === less.text) return true;
  const { text } = more;
  switch (more.form) {
    case 'exact':
    case 'never':
      return false;
    case 'present':
      return true;
    case 'any':
      return less.form !== 'present' && less.probe !== '';
    case 'prefix':
      return less.probe.startsWith(text);
    case 'suffix':
      return less.probe.endsWith(text);
    case 'glob':
      return matchesGlob(text, less.probe);
    case 'template':
      return less.form === 'exact' && compilePathTemplate(text)(less.text);
    case 'block':
      return less.form === 'block' && coversBlock(text, less.text);
  }
}

/** The keys of all patterns that could cover this one. `lengths`: of the prefixes and suffixes that there are. */
export function* probeKeys(pattern: ValuePattern, prefixes: Iterable<number>, suffixes: Iterable<number>) {
  const { probe, form, key } = pattern;
  if (form === 'block') {
    yield* blockKeys(probe);
    return;
  }
  if (form === 'exact') yield key;
  for (const length of prefixes) if (length <= probe.length) yield `p${probe.slice(0, length)}`;
  for (const length of suffixes) if (length <= probe.length) yield `s${probe.slice(probe.length - length)}`;
}

function exact(text: string): ValuePattern {
  return { form: 'exact', text, probe: text, key: `e${text}` };
}

function wildcard(value: string): ValuePattern {
  if (value === '*') return { form: 'any', text: '', probe: WILD, key: 'p' };
  if (value.startsWith('*')) {
    const text = value.slice(1);
    return { form: 'suffix', text, probe: `${WILD}${text}`, key: `s${text}` };
  }
  if (!value.endsWith('*')) return exact(value);
  const text = value.slice(0, -1);
  return { form: 'prefix', text, probe: `${text}${WILD}`, key: `p${text}` };
}

function template(text: string): ValuePattern {
  const head = text.slice(0, text.indexOf('{'));
  return { form: 'template', text, probe: text.replace(/\{\*\*?\}/g, WILD), key: `p${head}` };
}

function glob(text: string): ValuePattern {
  const head = text.slice(0, text.indexOf('*'));
  return { form: 'glob', text, probe: text.replaceAll('*', WILD), key: `p${head}` };
}

function matchesGlob(pattern: string, value: string): boolean {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop() ?? '';
  if (!value.startsWith(head) || !value.endsWith(tail)) return false;
  let position = head.length;
  for (const part of rest) {
    const found = value.indexOf(part, position);
    if (found === -1) return false;
    position = found + part.length;
  }
  return position <= value.length - tail.length;
}

/** Of an IPv6 block only the family is a key: few policies name many. */
function block(value: string): ValuePattern {
  const [address = '', bits] = value.split('/');
  const family = isIP(address);
  if (family === 0) return { form: 'never', text: value, probe: '', key: `e${value}` };
  const length = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  const text = `${address.toLowerCase()}/${length}`;
  const octets = family === 4 ? address.split('.').slice(0, Math.min(3, Math.floor(length / 8))) : [];
  return { form: 'block', text, probe: text, key: `b${family}${octets.map((octet) => `.${octet}`).join('')}` };
}

function* blockKeys(text: string): Iterable<string> {
  const address = text.slice(0, text.indexOf('/'));
  const family = isIP(address);
  let key = `b${family}`;
  yield key;
  if (family !== 4) return;
  for (const octet of address.split('.').slice(0, 3)) {
    key += `.${octet}`;
    yield key;
  }
}

function coversBlock(more: string, less: string): boolean {
  const [moreAddress = '', moreBits] = more.split('/');
  const [lessAddress = '', lessBits] = less.split('/');
  const family = isIP(moreAddress);
  if (family !== isIP(lessAddress) || Number(moreBits) > Number(lessBits)) return false;
  const name = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(moreAddress, Number(moreBits), name);
  return list.check(lessAddress, name);
}
