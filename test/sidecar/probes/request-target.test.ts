import t from 'tap';
import { requestTarget } from '#sidecar/probes/request-target.ts';

/** Seen with the prober of Kubernetes 1.34. */
const SEEN: { readonly [path: string]: string } = {
  '': '/',
  '/a?b=c&d=$(E)': '/a?b=c&d=$(E)',
  '/a/../b//c%2Fd': '/a/../b//c%2Fd',
  rel: '/rel',
  '?q=1': '/?q=1',
  '/a#frag': '/a',
  '/%zz': '/%25zz',
  '/%zz?a#b': '/%25zz%3Fa%23b',
  '/a;b=c,d': '/a;b=c,d',
  '/a\'b"c<d>e{f}|g\\h^i`': '/a%27b%22c%3Cd%3Ee%7Bf%7D%7Cg%5Ch%5Ei%60',
  '/x y': '/x%20y',
  '/ü%2F': '/%C3%BC/',
  '/q?a=%zz': '/q?a=%zz',
  '/q?"<>': '/q?"<>',
};

for (const [path, target] of Object.entries(SEEN)) {
  t.test(`${JSON.stringify(path)} is sent as ${target}`, async (t) => t.equal(requestTarget(path), target));
}

t.test('a query that no request line may hold is escaped', async (t) => {
  t.equal(requestTarget('/a?b=c d&ü'), '/a?b=c%20d&%C3%BC');
  t.equal(requestTarget('/a\r\nx: y'), '/a%0D%0Ax:%20y');
});
