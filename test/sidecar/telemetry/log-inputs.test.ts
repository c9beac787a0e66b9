import t from 'tap';
import { requestClaims } from '#policy/authentication/request-claims.ts';
import { inputsOf } from '#sidecar/telemetry/log-inputs.ts';

const KEY = Buffer.alloc(32, 1);

/** What is looked at of an exchange, and no more. */
function inputs(given: {
  readonly headers?: readonly string[];
  readonly referredHeaders?: readonly string[];
  readonly referredClaims?: readonly (readonly string[])[];
  readonly claims?: { readonly [name: string]: unknown } | undefined;
}): unknown {
  const { headers = [], referredHeaders = [], referredClaims = [], claims } = given;
  const exchange = {
    headers,
    claims: claims === undefined ? undefined : requestClaims(claims),
    policy: { referredHeaders, referredClaims },
  };
  return JSON.parse(inputsOf(exchange, KEY));
}

t.test('only what a policy looks at is written down', (t) => {
  const claims = { iss: 'i', sub: 'ann', realm: { roles: ['a', 'b'], name: 'r' }, email: 'ann@example.com' };
  t.strictSame(inputs({ claims, headers: ['x', '1'] }), {});
  t.strictSame(inputs({ claims, referredClaims: [['sub'], ['absent'], ['realm', 'roles'], ['realm', 'none']] }), {
    claims: { sub: 'ann', realm: { roles: ['a', 'b'] } },
  });
  t.strictSame(inputs({ claims, referredClaims: [['realm'], ['realm', 'roles']] }), {
    claims: { realm: claims.realm },
  });
  t.strictSame(inputs({ referredClaims: [['sub']], referredHeaders: ['x'], headers: ['X', '1'] }), {
    headers: { x: '1' },
    claims: null,
  });
  t.end();
});

t.test('what is secret by its name can be compared, and not read', (t) => {
  const claims = { session_id: 'hush', realm: { token: ['hush'] } };
  const written = inputs({ claims, referredClaims: [['session_id'], ['realm', 'token']] });
  t.match(written, { claims: { session_id: /^hmac:[0-9a-f]{16}$/, realm: { token: /^hmac:/ } } });
  t.notMatch(JSON.stringify(written), 'hush');
  t.end();
});

t.test('names that objects have anyway, and values that are too long, do no harm', (t) => {
  const claims = JSON.parse(`{"__proto__":{"a":"x"},"constructor":"c","long":"${'l'.repeat(5_000)}"}`);
  const referredClaims = [['__proto__'], ['constructor'], ['long'], ['__proto__', 'a'], ['constructor', 'name']];
  t.strictSame(
    JSON.stringify(inputs({ claims, referredClaims })),
    '{"claims":{"__proto__":{"a":"x"},"constructor":"c"}}',
  );
  t.end();
});
