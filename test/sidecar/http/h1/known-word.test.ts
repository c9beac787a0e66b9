import t from 'tap';
import { wordAt } from '#sidecar/http/h1/known-word.ts';

const read = (text: string, start = 0) => wordAt(Buffer.from(text, 'latin1'), start);

t.test('words that fall on one place of the table are not taken for each other', async (t) => {
  // "Aa" and "BB" have the same hash, and so has every word that differs in them alone
  const words = ['Aa', 'BB', 'x-trace-Aa', 'x-trace-BB', 'AaAa', 'AaBB', 'BBAa', 'BBBB'];
  for (let turn = 0; turn < 3; turn++) for (const word of words) t.equal(read(`${word}: 1\r\n`).text, word);
});

t.test('a word ends where its characters do', async (t) => {
  t.equal(read('GET / HTTP/1.1\r\n').text, 'GET');
  t.equal(read('X: 1\r\nHost: a\r\n', 6).text, 'Host');
  t.equal(read(': 1\r\n').text, '');
  t.equal(read('Na\x80me:\r\n').text, 'Na');
  const long = 'a'.repeat(5_000);
  t.equal(read(`${long}: 1\r\n`).text, long);
});

t.test('says what a field is for, in any case, and unmasks those that dress up', async (t) => {
  t.equal(read('CONTENT-length:').role, 'content-length');
  t.equal(read('Transfer-Encoding:').role, 'transfer-encoding');
  t.equal(read('Content_Length:').role, 'disguised-framing');
  t.equal(read('TRANSFER_ENCODING:').role, 'disguised-framing');
  t.equal(read('Keep_Alive:').role, undefined);
  t.equal(read('X-Content-Length:').role, undefined);
});

t.test('a method has no lower-case letters and at most 32 characters', async (t) => {
  t.ok(read('M-SEARCH ').isMethod);
  t.notOk(read('get ').isMethod);
  t.notOk(read(' GET').isMethod);
  t.ok(read(`${'A'.repeat(32)} `).isMethod);
  t.notOk(read(`${'A'.repeat(33)} `).isMethod);
});
