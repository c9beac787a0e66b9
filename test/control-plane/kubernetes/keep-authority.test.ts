import { createServer, type ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import type { AuthorityMaterial } from '#control-plane/authority/authority-material.ts';
import { EMPTY_STATE } from '#control-plane/authority/authority-state.ts';
import { formerSigner } from '#control-plane/authority/former-authority.ts';
import { StateKeeper } from '#control-plane/authority/state-keeper.ts';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { secretState } from '#control-plane/kubernetes/identity/secret-backend.ts';
import { Kubernetes } from '#control-plane/kubernetes/open-kubernetes.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { eventually, MESH } from '../control-plane-fixture.ts';

const FORMER = 'lateral-former-authorities';

/** A server of Secrets, as the API server gives and watches them; the chart has made both, empty. */
class SecretServer {
  readonly #secrets = new Map([
    ['lateral-ca', { data: {} as unknown, version: 1, uid: 1, watchers: new Set<ServerResponse>() }],
    [FORMER, { data: {} as unknown, version: 1, uid: 1, watchers: new Set<ServerResponse>() }],
  ]);
  readonly server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url ?? '', 'http://api');
    const selected = url.searchParams.get('fieldSelector')?.replace('metadata.name=', '');
    const name = selected ?? url.pathname.split('/').at(-1) ?? '';
    const secret = this.#secrets.get(name);
    response.writeHead(secret === undefined ? 404 : 200, { 'content-type': 'application/json' });
    if (secret === undefined) {
      response.end('{}');
    } else if (url.searchParams.has('watch')) {
      secret.watchers.add(response);
      response.write(this.#event('ADDED', name));
    } else {
      if (request.method === 'PUT') {
        const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
        this.set(isRecord(body) ? body.data : {}, name);
      }
      response.end(JSON.stringify(this.#object(name)));
    }
  });

  data(name = 'lateral-ca'): { readonly [key: string]: unknown } {
    const data = this.#secrets.get(name)?.data;
    return isRecord(data) ? data : {};
  }

  watchers(): number {
    return this.#secrets.get('lateral-ca')?.watchers.size ?? 0;
  }

  set(data: unknown, name = 'lateral-ca'): void {
    const secret = this.#secrets.get(name);
    if (secret === undefined) throw new Error(`no Secret ${name}`);
    secret.data = data;
    secret.version += 1;
    for (const watcher of secret.watchers) watcher.write(this.#event('MODIFIED', name));
  }

  /** As before the chart has made it. */
  remove(name: string): void {
    this.#secrets.delete(name);
  }

  /** Deleted, and made anew without data. */
  recreate(name: string): void {
    const secret = this.#secrets.get(name);
    if (secret === undefined) throw new Error(`no Secret ${name}`);
    secret.uid += 1;
    this.set(undefined, name);
  }

  #object(name: string) {
    const secret = this.#secrets.get(name);
    const { version, uid } = secret ?? {};
    const metadata = { name, namespace: 'lateral-system', resourceVersion: String(version), uid: String(uid) };
    return { kind: 'Secret', metadata, data: secret?.data };
  }

  #event(type: string, name: string): string {
    return `${JSON.stringify({ type, object: this.#object(name) })}\n`;
  }
}

/** Replicas of one control plane; they end with the test. */
async function replicas(t: Test) {
  const secret = new SecretServer();
  await listen(secret.server);
  const ending = new AbortController();
  t.teardown(() => {
    ending.abort();
    secret.server.close();
    secret.server.closeAllConnections();
  });
  const replica = () => {
    const url = new URL(`http://127.0.0.1:${portOf(secret.server)}`);
    const client = new KubernetesClient({ url, options: async () => ({}), forget: () => {} });
    const kubernetes = new Kubernetes(client, { mesh: MESH, log: () => {}, signal: ending.signal });
    t.teardown(() => kubernetes.close());
    return kubernetes;
  };
  return { secret, replica };
}

t.test(
  'an authority that became another between the start and the watch is told of, and one that did not is not',
  async (t) => {
    const { secret, replica } = await replicas(t);
    const first = replica();
    const before = (await first.authority('lateral-ca').open()).material;
    secret.set({}); // rotated: the next to open it makes another
    const second = replica();
    const after = (await second.authority('lateral-ca').open()).material;
    t.notOk(after.roots[0]?.equals(before.roots[0] ?? Buffer.alloc(0)));

    const told: AuthorityMaterial[] = [];
    first.authority('lateral-ca').keep(({ material }) => told.push(material));
    await eventually('it is told', () => told.length === 1, 5_000);
    t.strictSame(told[0]?.roots, after.roots);

    const toldSecond: AuthorityMaterial[] = [];
    second.authority('lateral-ca').keep(({ material }) => toldSecond.push(material));
    await eventually('both watch', () => secret.watchers() === 2, 5_000);
    secret.set({ ...secret.data(), note: '' });
    secret.set({});
    const third = (await replica().authority('lateral-ca').open()).material;
    const isThird = (material: AuthorityMaterial | undefined) =>
      material?.roots[0]?.equals(third.roots[0] ?? Buffer.alloc(0)) === true;
    await eventually('the next change is told too', () => isThird(toldSecond.at(-1)) && isThird(told.at(-1)), 5_000);
    const states = toldSecond.map((material) => JSON.stringify([material.roots, material.former]));
    t.equal(new Set(states).size, states.length, 'each once');
  },
);

/** The issuers of what was in force before, by replica. */
const formerOf = ({ former }: AuthorityMaterial) => former.map(({ issuer }) => issuer.certificate.toString('base64'));

t.test('what a root took the place of is kept by all replicas, those that start later too', async (t) => {
  const { secret, replica } = await replicas(t);
  const told: AuthorityMaterial[][] = [];
  const kept: AuthorityMaterial[] = [];
  for (const one of [replica(), replica()]) {
    kept.push((await one.authority('lateral-ca').open()).material);
    const heard: AuthorityMaterial[] = [];
    told.push(heard);
    one.authority('lateral-ca').keep(({ material }) => heard.push(material));
  }
  await eventually('both watch', () => secret.watchers() === 2);
  const issuer = kept[0]?.issuer.certificate.toString('base64');
  secret.set({});
  (await replica().authority('lateral-ca').open()).material;
  const agree = () =>
    told.every((heard) => formerOf(heard.at(-1) ?? ({ ...kept[0], former: [] } as AuthorityMaterial))[0] === issuer);
  await eventually('both keep it', agree);
  await eventually('it is stored', () => 'former-authorities.json' in secret.data(FORMER));
  const late = (await replica().authority('lateral-ca').open()).material;
  t.strictSame(formerOf(late), [issuer]);
  t.equal(late.former[0]?.signsUntilMs, told[0]?.at(-1)?.former[0]?.signsUntilMs, 'to the same time');

  t.test('a Secret that is made anew gets it again', async () => {
    secret.recreate(FORMER);
    await eventually('it is stored', () => 'former-authorities.json' in secret.data(FORMER));
    t.ok(agree());
    t.strictSame(formerOf((await replica().authority('lateral-ca').open()).material), [issuer]);
  });

  t.test('an operator who empties the Secret ends it at once', async () => {
    secret.set({}, FORMER);
    await eventually('none is kept', () => told.every((heard) => heard.at(-1)?.former.length === 0));
  });
});

t.test('a change that is taken back: all replicas sign at once with what everybody knows', async (t) => {
  const { secret, replica } = await replicas(t);
  const [first, second] = [replica(), replica()];
  const before = (await first.authority('lateral-ca').open()).material;
  (await second.authority('lateral-ca').open()).material;
  const told: AuthorityMaterial[][] = [[], []];
  [first, second].forEach((one, index) => {
    one.authority('lateral-ca').keep(({ material }) => told[index]?.push(material));
  });
  await eventually('both watch', () => secret.watchers() === 2);
  const files = secret.data();
  const issuer = before.issuer.certificate.toString('base64');
  secret.set({});
  const other = (await replica().authority('lateral-ca').open()).material;
  const agreeOn = (certificate: string) =>
    told.every(
      (heard) => heard.at(-1)?.former.some((one) => one.issuer.certificate.toString('base64') === certificate) === true,
    );
  await eventually('the former one signs', () => agreeOn(issuer));
  secret.set(files);
  await eventually('the other is a former one', () => agreeOn(other.issuer.certificate.toString('base64')));
  for (const material of [
    ...told.map((heard) => heard.at(-1)),
    (await replica().authority('lateral-ca').open()).material,
  ]) {
    if (material === undefined) throw new Error('nothing told');
    t.equal(material.issuer.certificate.toString('base64'), issuer);
    t.equal(formerSigner(material.former, Date.now()), undefined, 'and nobody signs before it');
  }
});

t.test('where nothing can be stored, a replica keeps it for itself', async (t) => {
  const { secret, replica } = await replicas(t);
  secret.remove(FORMER);
  const first = replica();
  const before = (await first.authority('lateral-ca').open()).material;
  const told: AuthorityMaterial[] = [];
  first.authority('lateral-ca').keep(({ material }) => told.push(material));
  await eventually('it watches', () => secret.watchers() === 1);
  secret.set({});
  await eventually('it is told', () => told.length > 0);
  t.strictSame(formerOf(told.at(-1) ?? before), [before.issuer.certificate.toString('base64')]);
  secret.set({ ...secret.data(), note: '' });
  const change = { ...secret.data(), note: 'bGF0ZXI=' };
  secret.set(change);
  t.strictSame(formerOf(told.at(-1) ?? before), [before.issuer.certificate.toString('base64')], 'and goes on so');
});

t.test('what has ended is taken out of the Secret, its key too, and nothing else', async (t) => {
  const { secret, replica } = await replicas(t);
  const kubernetes = replica();
  const before = (await kubernetes.authority('lateral-ca').open()).material;
  secret.set({});
  const after = (await replica().authority('lateral-ca').open()).material;
  let nowMs = Date.now();
  const states = new StateKeeper({
    store: secretState(kubernetes.secret(FORMER)),
    leafLifetimeMs: 1_000,
    isAway: () => false,
    log: () => {},
    now: () => nowMs,
  });
  secret.set({ note: '' }, FORMER);
  const [kept] = (await states.replaced(EMPTY_STATE, before, after)).former;
  await states.prune();
  t.strictSame(Object.keys(secret.data(FORMER)).sort(), ['former-authorities.json', 'note']);
  const storedText = () => Buffer.from(String(secret.data(FORMER)['former-authorities.json']), 'base64').toString();
  t.match(storedText(), /PRIVATE KEY/);
  nowMs = kept?.signsUntilMs ?? 0;
  await states.prune();
  t.notMatch(storedText(), /PRIVATE KEY/);
  t.equal((await states.read(undefined)).former.length, 1, 'its root is kept');
  nowMs = kept?.trustedUntilMs ?? 0;
  t.strictSame((await states.read(undefined)).former, []);
  await states.prune();
  t.strictSame(Object.keys(secret.data(FORMER)), ['note']);
});
