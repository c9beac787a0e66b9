import t from 'tap';
import { requestClaims } from '#policy/authentication/request-claims.ts';
import { effectiveDefaults } from '#policy/resource/kinds/mesh-defaults.ts';
import type { EffectiveDefaults } from '#policy/workload-policy.ts';
import { LogInputs } from '#sidecar/telemetry/log-inputs.ts';

const KEY = Buffer.alloc(32, 1);
const WORKLOAD = { namespace: 'shop', name: 'orders-1', labels: { app: 'orders' } };

/** What is looked at of an exchange, and no more. */
function inputs(given: {
  readonly headers?: readonly string[];
  readonly referredHeaders?: readonly string[];
  readonly referredClaims?: readonly (readonly string[])[];
  readonly claims?: { readonly [name: string]: unknown } | undefined;
  readonly defaults?: Partial<EffectiveDefaults>;
  readonly serverName?: string;
  readonly destinationIp?: string;
}): unknown {
  const { serverName, destinationIp } = given;
  const { headers = [], referredHeaders = [], referredClaims = [], claims } = given;
  const exchange = {
    headers,
    claims: claims === undefined ? undefined : requestClaims(claims),
    policy: { referredHeaders, referredClaims, defaults: { ...effectiveDefaults(undefined), ...given.defaults } },
    caller: { address: '10.0.0.1', serverName },
    destinationIp,
  };
  const { workload, ...others } = JSON.parse(new LogInputs(KEY, WORKLOAD).of(exchange));
  if (JSON.stringify(workload) !== JSON.stringify(WORKLOAD)) throw new Error(`of ${JSON.stringify(workload)}`);
  return others;
}

t.test('only what a policy looks at is written down', (t) => {
  const claims = { iss: 'i', sub: 'ann', realm: { roles: ['a', 'b'], name: 'r' }, email: 'ann@example.com' };
  t.strictSame(inputs({ claims, headers: ['x', '1'] }), {});
  t.strictSame(inputs({ claims, referredClaims: [['sub'], ['absent'], ['realm', 'roles'], ['realm', 'none']] }), {
    claims: { sub: 'ann', realm: { roles: ['a', 'b'] } },
    claimPaths: [['sub'], ['absent'], ['realm', 'roles'], ['realm', 'none']],
  });
  t.strictSame(inputs({ claims, referredClaims: [['realm'], ['realm', 'roles']] }), {
    claims: { realm: claims.realm },
    claimPaths: [['realm'], ['realm', 'roles']],
  });
  t.strictSame(inputs({ referredClaims: [['sub']], referredHeaders: ['x', 'y'], headers: ['X', '1', 'x', '2'] }), {
    headers: { x: ['1', '2'], y: null },
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

t.test('nor can what is secret whatever its name, or within what a policy looks at', (t) => {
  const claims = {
    user: { name: 'ann', keys: [{ api_key: 'hush' }] },
    note: 'eyJhbGciOiJub25lIn0.hush',
    plain: { a: 'x' },
  };
  const headers = ['x-carried', 'eyJhbGciOiJub25lIn0.hush', 'x-other', 'Bearer hush', 'x-user', 'ann@example.com'];
  const written = inputs({
    ...{ claims, referredClaims: [['user'], ['note'], ['plain']] },
    ...{ headers, referredHeaders: ['x-carried', 'x-other', 'x-user'] },
  });
  t.match(written, {
    claims: { user: /^hmac:/, note: /^hmac:/, plain: { a: 'x' } },
    headers: { 'x-carried': /^hmac:/, 'x-other': /^hmac:/, 'x-user': 'ann@example.com' },
  });
  t.notMatch(JSON.stringify(written), 'hush');
  const deep = JSON.parse('['.repeat(2_000) + ']'.repeat(2_000));
  t.match(inputs({ claims: { deep }, referredClaims: [['deep']] }), { claims: { deep: /^hmac:/ } });
  t.end();
});

t.test('names that objects have anyway, and values that are too long, do no harm', (t) => {
  const claims = JSON.parse(`{"__proto__":{"a":"x"},"constructor":"c","long":"${'l'.repeat(5_000)}"}`);
  const referredClaims = [['__proto__'], ['constructor'], ['long'], ['__proto__', 'a'], ['constructor', 'name']];
  const written = JSON.stringify(inputs({ claims, referredClaims }));
  t.match(
    written,
    /^\{"claims":\{"__proto__":\{"a":"x"\},"constructor":"c","long":"hmac:[0-9a-f]{16}"\},"claimPaths":/,
  );
  const header = inputs({ referredHeaders: ['__proto__', 'x'], headers: ['__proto__', 'h', 'X', 'l'.repeat(5_000)] });
  t.match(JSON.stringify(header), /^\{"headers":\{"__proto__":"h","x":"hmac:[0-9a-f]{16}"\}\}$/);
  t.end();
});

t.test('what the connection is, and by which proxies the client was found', (t) => {
  t.strictSame(inputs({ serverName: 'orders "1"', destinationIp: '10.0.0.2' }), {
    sni: 'orders "1"',
    destinationIp: '10.0.0.2',
  });
  const headers = ['X-Forwarded-For', '192.0.2.1, 203.0.113.5'];
  const defaults = { trustedProxies: 1, pathNormalization: 'MERGE_SLASHES' as const };
  t.strictSame(inputs({ headers, defaults }), {
    pathNormalization: 'MERGE_SLASHES',
    remoteIp: '203.0.113.5',
    trustedProxies: 1,
  });
  const caller = { address: '10.0.0.1', serverName: undefined };
  const long = {
    ...WORKLOAD,
    labels: Object.fromEntries(Array.from({ length: 90 }, (_, index) => [`l${index}`, 'some value'])),
  };
  t.strictSame(JSON.parse(new LogInputs(KEY, long).ofConnection({ caller, destinationIp: undefined })), {
    workload: { namespace: 'shop', name: 'orders-1' },
  });
  t.end();
});
