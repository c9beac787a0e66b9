import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { until } from '../support/inbound-sidecar.ts';
import { ALLOW_ALL, type SidecarPair, startPair } from '../support/sidecar-pair.ts';
import { ask, startApp } from '../support/start-app.ts';

type Mode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

const policies = (mode: Mode) => `${ALLOW_ALL}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {mtls: {mode: ${mode}}}
`;

/** Callers that go on asking, each over a connection of its own at every request. */
const CALLERS = 4;
/** Requests that are to be answered under each mode before the next. */
const REQUESTS_A_MODE = 200;

interface Traffic {
  readonly answered: () => number;
  readonly failures: readonly string[];
  stop(): Promise<void>;
}

function startTraffic(port: number): Traffic {
  const failures: string[] = [];
  let answered = 0;
  let isOver = false;
  const loop = async () => {
    while (!isOver) {
      try {
        const { status, body } = await ask(port);
        if (status === 200) answered++;
        else failures.push(`${status} ${body}`);
      } catch (error) {
        failures.push(String(error));
      }
    }
  };
  const loops = Array.from({ length: CALLERS }, loop);
  const stop = async () => {
    isOver = true;
    await Promise.all(loops);
  };
  return { answered: () => answered, failures, stop };
}

async function setMode(pair: SidecarPair, mode: Mode): Promise<void> {
  const versions = () => Promise.all([versionOf(pair.clientAdminPort), versionOf(pair.serverAdminPort)]);
  const before = await versions();
  const file = join(pair.policies, 'policies.yaml');
  await writeFile(`${file}.new`, policies(mode));
  await rename(`${file}.new`, file);
  await until(async () => (await versions()).every((version, index) => version !== before[index]));
}

async function versionOf(adminPort: number): Promise<unknown> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/config`)).text();
  return JSON.parse(text).policy.version;
}

async function pass(t: Test, modes: readonly Mode[]) {
  const app = await startApp(t, (request, response) =>
    response.end(request.headers['x-forwarded-client-cert'] === undefined ? 'plaintext' : 'mutual TLS'),
  );
  const [first = 'STRICT', ...rest] = modes;
  const pair = await startPair(t, app.port, policies(first));
  const traffic = startTraffic(pair.outboundPort);
  const seen: string[] = [];
  const settle = async () => {
    const from = traffic.answered();
    await until(() => traffic.answered() >= from + REQUESTS_A_MODE || traffic.failures.length > 0);
    seen.push((await ask(pair.outboundPort)).body);
  };
  await settle();
  for (const mode of rest) {
    await setMode(pair, mode);
    await settle();
  }
  await traffic.stop();
  const refused = (await pair.log('client', 1)).filter(({ status }) => status !== 200);
  t.strictSame({ failures: traffic.failures, refused }, { failures: [], refused: [] });
  t.ok(traffic.answered() >= modes.length * REQUESTS_A_MODE);
  return { seen, pair };
}

t.test(
  'from PERMISSIVE to STRICT under traffic no request fails, and callers of the mesh come by mutual TLS before',
  async (t) => {
    const { seen } = await pass(t, ['PERMISSIVE', 'STRICT']);
    t.strictSame(seen, ['mutual TLS', 'mutual TLS']);
  },
);

t.test('from DISABLE by PERMISSIVE to STRICT under traffic no request fails', async (t) => {
  const { seen } = await pass(t, ['DISABLE', 'PERMISSIVE', 'STRICT']);
  t.strictSame(seen, ['plaintext', 'mutual TLS', 'mutual TLS']);
});

t.test('from STRICT by PERMISSIVE to DISABLE under traffic no request fails', async (t) => {
  const { seen, pair } = await pass(t, ['STRICT', 'PERMISSIVE', 'DISABLE']);
  t.strictSame(seen, ['mutual TLS', 'mutual TLS', 'plaintext']);
  const lines = await pair.log('client', 1);
  t.match(lines.at(-1), { status: 200, destination: '127.0.0.1' }, 'the caller knows that nobody proved who answers');
});
