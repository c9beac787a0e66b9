import t from 'tap';
import { Router } from '#policy/validation/router.ts';

function matches(templates: readonly string[], path: string): readonly unknown[] | undefined {
  const router = new Router<string>();
  for (const template of templates) router.add(template, template);
  const match = router.match(path);
  return match && [match.route.value, ...match.values];
}

t.test('prefers literals to parameters, segment by segment', async (t) => {
  const templates = [
    '/users/{id}',
    '/users/me',
    '/users/{id}/keys',
    '/users/me/{thing}',
    '/',
    '/files/{name}.json',
    '/files/{name}',
    '/{a}-{b}/x',
  ];
  const cases: readonly (readonly [string, readonly string[] | undefined])[] = [
    ['/users/me', ['/users/me']],
    ['/users/7', ['/users/{id}', '7']],
    ['/users/me/keys', ['/users/me/{thing}', 'keys']],
    ['/users/7/keys', ['/users/{id}/keys', '7']],
    ['/users/', undefined],
    ['/users', undefined],
    ['/users/7/', undefined],
    ['//users/7', undefined],
    ['/', ['/']],
    ['', undefined],
    ['*', undefined],
    ['/files/a.json', ['/files/{name}.json', 'a']],
    ['/files/.json', ['/files/{name}', '.json']],
    ['/files/a.b.json', ['/files/{name}.json', 'a.b']],
    ['/one-two-three/x', ['/{a}-{b}/x', 'one', 'two-three']],
    ['/onetwo/x', undefined],
    ['/-two/x', undefined],
    ['/users/%6de', ['/users/me']],
    ['/users/a%2Fb', ['/users/{id}', 'a%2Fb']],
    ['/users/%zz', ['/users/{id}', '%zz']],
  ];
  for (const [path, wanted] of cases) t.same(matches(templates, path), wanted, path);
});

t.test('compares literals as they decode', async (t) => {
  t.same(matches(['/café'], '/caf%C3%A9'), ['/café']);
  t.same(matches(['/caf%C3%A9'], '/caf%c3%a9'), ['/caf%C3%A9']);
});

t.test('goes back to a parameter where the literal leads nowhere', async (t) => {
  t.same(matches(['/a/b/c', '/a/{x}/d'], '/a/b/d'), ['/a/{x}/d', 'b']);
});

t.test('time does not explode with templates that share beginnings', async (t) => {
  const router = new Router<number>();
  for (let index = 0; index < 12; index++) {
    const segments = Array.from({ length: 12 }, (_, at) => (at === index ? 'a' : `{p${at}}`));
    router.add(`/${segments.join('/')}`, index);
  }
  const started = performance.now();
  t.equal(router.match(`/${Array(12).fill('a').join('/')}/z`), undefined);
  t.equal(router.match(`/${'a/'.repeat(100_000)}`), undefined);
  t.ok(performance.now() - started < 500);
});
