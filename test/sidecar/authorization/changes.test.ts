import t from 'tap';
import { changedHeaders, checkHeader, mayChange } from '#sidecar/authorization/header-changes.ts';
import { changedQuery, checkQueryChanges } from '#sidecar/authorization/query-changes.ts';

t.test('framing, routing and what this hop vouches for are not a provider’s', async (t) => {
  const forbidden = ['Host', ':path', ':authority', 'connection', 'Keep-Alive', 'te', 'transfer-encoding', 'upgrade'];
  forbidden.push('content-length', 'x-forwarded-client-cert', 'X_Forwarded_Client_Cert', 'traceparent', 'expect');
  forbidden.push('Transfer_Encoding', 'keep_alive', 'CONTENT_LENGTH');
  for (const name of forbidden) {
    t.equal(mayChange(name), false, name);
    t.strictSame(changedHeaders(['a', '1'], [{ name, value: 'x', how: 'set' }]), ['a', '1'], name);
    t.strictSame(changedHeaders([name, '1'], [], [name]), [name, '1'], `${name} is not removed`);
  }
  t.equal(mayChange('authorization'), true);
});

t.test('headers are set, appended and removed', async (t) => {
  const headers = ['X-A', '1', 'x_a', '2', 'b', '3'];
  const change = (how: 'set' | 'append' | 'add-if-absent' | 'set-if-present', name = 'x-a') =>
    changedHeaders(headers, [{ name, value: 'v', how }]);
  t.strictSame(change('set'), ['b', '3', 'x-a', 'v'], 'in all spellings');
  t.strictSame(change('append'), [...headers, 'x-a', 'v']);
  t.strictSame(change('add-if-absent'), headers);
  t.strictSame(change('add-if-absent', 'c'), [...headers, 'c', 'v']);
  t.strictSame(change('set-if-present'), ['b', '3', 'x-a', 'v']);
  t.strictSame(change('set-if-present', 'c'), headers);
  t.strictSame(changedHeaders(headers, [{ name: 'b', value: 'v', how: 'set' }], ['X-a', 'b']), [], 'removed at last');
});

t.test('what is no header, or more than one parameter, is no answer', async (t) => {
  for (const name of ['', 'a b', 'a\r\n', 'ä']) t.throws(() => checkHeader(name, ''), /no token/, JSON.stringify(name));
  for (const value of ['\r', '\n', '\0', '\u007f']) t.throws(() => checkHeader('a', value), /control/);
  checkHeader('a', 'tab\tand b\u00e9');
  for (const value of ['a&b=c', 'a#b', 'a b', '%', '%4', 'é'])
    t.throws(() => checkQueryChanges({ set: [['a', value]], removed: [] }), /percent-encoded/, value);
  t.throws(() => checkQueryChanges({ set: [['', 'a']], removed: [] }));
  t.throws(() => checkQueryChanges({ set: [], removed: ['a&b'] }));
});

t.test('parameters are set in place of all of their name, and removed in all spellings', async (t) => {
  t.equal(changedQuery('a=1&b=2&%61=3&a', { set: [['a', 'x%20y']], removed: [] }), 'b=2&a=x%20y');
  t.equal(changedQuery('a=1&b+c=2&b%20c=3', { set: [], removed: ['b%20c'] }), 'a=1');
  t.equal(changedQuery('', { set: [['a', '']], removed: [] }), 'a=');
  t.equal(changedQuery('a=%zz', { set: [], removed: ['b'] }), 'a=%zz');
});
