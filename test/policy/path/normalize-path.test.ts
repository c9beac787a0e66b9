import t from 'tap';
import { normalizePath } from '#policy/path/normalize-path.ts';

t.test('Refuse returns what is unambiguous as it came', (t) => {
  const paths = [
    '/',
    '/a',
    '/a/',
    '/a/b.c',
    '/.well-known/x',
    '/a/..b',
    '/a/...',
    '/a/;b=1',
    '/a/;b=1;c',
    '/a%3Bb',
    '/a%20b',
    '/%C3%A9',
    '/%c3%a9',
    '/%25',
    '/100%25',
    '/my%2520file',
    '/a:b@c',
    '/%3Fx',
    '*',
    '/a/b..',
  ];
  for (const path of paths) t.same(normalizePath(path, 'Refuse'), { kind: 'normal', path }, path);
  t.end();
});

t.test('Refuse names what could be read in two ways', (t) => {
  const table: readonly (readonly [path: string, reason: string])[] = [
    ['/a/../b', 'the path has a dot segment (..)'],
    ['/a/..', 'the path has a dot segment (..)'],
    ['/./a', 'the path has a dot segment (.)'],
    ['/a/%2e%2e/b', 'the path has a dot segment (..)'],
    ['/a/.%2E/b', 'the path has a dot segment (..)'],
    ['/a/%%32%65/b', 'the path has a broken percent-encoding (%%3)'],
    ['/a/%2%35', 'the path has a broken percent-encoding (%2%)'],
    ['/a%2Fb', 'the path has an encoded slash (%2F)'],
    ['/a%2fb', 'the path has an encoded slash (%2f)'],
    ['/a%00', 'the path has an encoded NUL (%00)'],
    ['/a\\b', 'the path has a backslash'],
    ['/a%5cb', 'the path has an encoded backslash (%5c)'],
    ['/a//b', 'the path has an empty segment (//)'],
    ['//a', 'the path has an empty segment (//)'],
    ['/a/..;/b', 'the path has a dot segment (..;)'],
    ['/a/..;x=1', 'the path has a dot segment (..;)'],
    ['/a/..%3B/b', 'the path has a dot segment (..;)'],
    ['/admin;x', 'a segment of the path has parameters (;x)'],
    ['/admin;', 'a segment of the path has parameters (;)'],
    ['/a;b=1/c', 'a segment of the path has parameters (;b=1)'],
    ['/a..;b', 'a segment of the path has parameters (;b)'],
    ['/;x/admin', 'a segment of the path has parameters (;x)'],
    ['/a/;b=1/c', 'a segment of the path has parameters (;b=1)'],
    ['/a/;/', 'a segment of the path has parameters (;)'],
    ['/a%', 'the path has a broken percent-encoding (%)'],
    ['/a%2', 'the path has a broken percent-encoding (%2)'],
    ['/a%zz', 'the path has a broken percent-encoding (%zz)'],
    ['/a%252fb', 'the path has a double encoding (%252f)'],
    ['/a/%252E%252e/b', 'the path has a double encoding (%252E)'],
    ['/a%2525255cb', 'the path has a double encoding (%2525255c)'],
    ['/a%2500', 'the path has a double encoding (%2500)'],
    ['/a%c0%ae', 'the percent-encoded bytes of the path are not valid UTF-8'],
    ['/a%ff', 'the percent-encoded bytes of the path are not valid UTF-8'],
    ['/a%ed%a0%80', 'the percent-encoded bytes of the path are not valid UTF-8'],
    ['/a\u00e9', 'the path has a character beyond ASCII that is not percent-encoded'],
    ['/a b', 'the path has a space or control character'],
    ['/a\0', 'the path has a space or control character'],
    ['/a#b', 'the path has a #'],
    ['a', 'the path does not begin with /'],
    ['', 'the path does not begin with /'],
  ];
  for (const [path, reason] of table)
    t.same(normalizePath(path, 'Refuse'), { kind: 'ambiguous', reason }, JSON.stringify(path));
  t.end();
});

t.test('Refuse decodes what needs no encoding, so that no rule is passed by an encoding', (t) => {
  t.same(normalizePath('/%61dmin%2Ehtml/caf%C3%A9', 'Refuse'), { kind: 'normal', path: '/admin.html/caf%C3%A9' });
  t.same(normalizePath('/a%2541', 'Refuse'), { kind: 'normal', path: '/a%2541' }, 'once, not twice');
  t.end();
});

t.test('the modes of Istio rewrite as Envoy does', (t) => {
  const table: readonly (readonly [path: string, none: string, base: string, merged: string, decoded: string])[] = [
    ['/a/../b', '/a/../b', '/b', '/b', '/b'],
    ['/a/./b/..', '/a/./b/..', '/a/', '/a/', '/a/'],
    ['/../../a', '/../../a', '/a', '/a', '/a'],
    ['/a/%2e%2E/b', '/a/%2e%2E/b', '/b', '/b', '/b'],
    ['/a\\b', '/a\\b', '/a/b', '/a/b', '/a/b'],
    ['/a//b', '/a//b', '/a//b', '/a/b', '/a/b'],
    ['///', '///', '///', '//', '//'],
    ['/a//', '/a//', '/a//', '/a/', '/a/'],
    ['/a%2f..%5Cb', '/a%2f..%5Cb', '/a%2f..%5Cb', '/a%2f..%5Cb', '/b'],
    ['/a%2F%2fb', '/a%2F%2fb', '/a%2F%2fb', '/a%2F%2fb', '/a/b'],
    ['/%61dmin%20x', '/%61dmin%20x', '/admin%20x', '/admin%20x', '/admin%20x'],
    ['/\u00e9', '/\u00e9', '/%E9', '/%E9', '/%E9'],
  ];
  for (const [path, none, base, merged, decoded] of table) {
    t.same(normalizePath(path, 'NONE'), { kind: 'normal', path: none }, `${path} NONE`);
    t.same(normalizePath(path, 'BASE'), { kind: 'normal', path: base }, `${path} BASE`);
    t.same(normalizePath(path, 'MERGE_SLASHES'), { kind: 'normal', path: merged }, `${path} MERGE_SLASHES`);
    t.same(
      normalizePath(path, 'DECODE_AND_MERGE_SLASHES'),
      { kind: 'normal', path: decoded },
      `${path} DECODE_AND_MERGE_SLASHES`,
    );
  }
  t.match(normalizePath('/a%00', 'BASE'), { kind: 'ambiguous' });
  t.end();
});
