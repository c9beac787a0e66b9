import { createServer, type ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { Reflector } from '#control-plane/kubernetes/watch/reflector.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { eventually } from '../control-plane-fixture.ts';

/** A server that speaks list and watch, and misbehaves as it is told. */
class Collection {
  readonly objects = new Map<string, number>();
  readonly watchers = new Set<ServerResponse>();
  readonly asked: URL[] = [];
  version = 1;
  /** Answers to the next requests, in place of the right ones. */
  readonly faults: ((response: ServerResponse, url: URL) => void)[] = [];

  set(name: string): void {
    const type = this.objects.has(name) ? 'MODIFIED' : 'ADDED';
    this.objects.set(name, ++this.version);
    this.tell(type, objectOf(name, this.version));
  }

  delete(name: string): void {
    this.objects.delete(name);
    this.tell('DELETED', objectOf(name, ++this.version));
  }

  tell(type: string, object: unknown): void {
    for (const watcher of this.watchers) watcher.write(`${JSON.stringify({ type, object })}\n`);
  }

  /** Ends all watches, as a lost connection does. */
  cut(): void {
    for (const watcher of this.watchers) watcher.destroy();
    this.watchers.clear();
  }

  answer(url: URL, response: ServerResponse): void {
    this.asked.push(url);
    const fault = this.faults.shift();
    if (fault !== undefined) {
      fault(response, url);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    if (url.searchParams.has('watch')) {
      response.flushHeaders();
      this.watchers.add(response);
      return;
    }
    const begin = Number(url.searchParams.get('continue') ?? 0);
    const names = [...this.objects].slice(begin, begin + 2);
    const rest = begin + 2 < this.objects.size ? { continue: String(begin + 2) } : {};
    const items = names.map(([name, version]) => objectOf(name, version));
    response.end(JSON.stringify({ metadata: { resourceVersion: String(this.version), ...rest }, items }));
  }

  get lists(): number {
    return this.asked.filter((url) => !url.searchParams.has('watch') && !url.searchParams.has('continue')).length;
  }
}

function objectOf(name: string, version: number) {
  return { metadata: { name, namespace: 'shop', resourceVersion: String(version) }, data: version };
}

const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };

async function reflecting(t: Test, silenceMs?: number) {
  const collection = new Collection();
  for (const name of ['a', 'b', 'c']) collection.set(name);
  const server = await listen(
    createServer((request, response) => collection.answer(new URL(request.url ?? '', 'http://x'), response)),
  );
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const client = new KubernetesClient({
    url: new URL(`http://127.0.0.1:${portOf(server)}`),
    options: async () => ({}),
    forget() {},
  });
  const changes: string[] = [];
  const events: string[] = [];
  const reflector = new Reflector<unknown>({
    client,
    path: '/api/v1/things',
    name: 'things',
    map: ({ data }) => data,
    onChange: (key, value) => changes.push(`${key}=${value ?? 'gone'}`),
    log: (event) => events.push(event),
    backoff: { firstMs: 5, longestMs: 20 },
    ...(silenceMs === undefined ? {} : { silenceMs }),
  });
  reflector.start();
  t.teardown(() => reflector.close());
  await reflector.synced;
  await eventually('it watches', () => collection.watchers.size === 1);
  return { collection, reflector, changes, events };
}

t.test('lists in pages, then follows changes from that version on', async (t) => {
  const { collection, changes } = await reflecting(t);
  t.strictSame(changes.splice(0), ['shop/a=2', 'shop/b=3', 'shop/c=4']);
  t.equal(collection.asked.at(-1)?.searchParams.get('resourceVersion'), '4');
  collection.set('a');
  collection.delete('b');
  await eventually('both changes', () => changes.length === 2);
  t.strictSame(changes, ['shop/a=5', 'shop/b=gone']);
});

t.test('goes on after a cut from where it was, without a list', async (t) => {
  const { collection, changes, events } = await reflecting(t);
  collection.tell('BOOKMARK', { metadata: { resourceVersion: '77' } });
  collection.set('d');
  await eventually('the change', () => changes.includes('shop/d=5'));
  collection.cut();
  await eventually('it watches again', () => collection.watchers.size === 1);
  t.equal(collection.lists, 1);
  t.equal(collection.asked.at(-1)?.searchParams.get('resourceVersion'), '5');
  await eventually('it says that it is well', () => events.includes('kubernetes_watch_restored'));
});

t.test('410 Gone: lists anew and tells the difference alone, removing nothing in between', async (t) => {
  const { collection, reflector, changes } = await reflecting(t);
  changes.length = 0;
  const watchers = [...collection.watchers];
  collection.watchers.clear(); // what happens now is in no watch
  collection.delete('b');
  collection.set('c');
  collection.set('e');
  for (const watcher of watchers) watcher.end(`${JSON.stringify({ type: 'ERROR', object: gone })}\n`);
  await eventually('the difference', () => changes.length >= 3);
  t.strictSame(changes, ['shop/c=6', 'shop/e=7', 'shop/b=gone']);
  t.equal(reflector.state.lists, 2);
});

t.test('a list that fails half-way removes nothing; the next one tells', async (t) => {
  const { collection, reflector, changes } = await reflecting(t);
  changes.length = 0;
  const refuse = (response: ServerResponse) => {
    response.writeHead(410, { 'content-type': 'application/json' });
    response.end(JSON.stringify(gone));
  };
  collection.faults.push(
    refuse, // the watch
    (response, url) => collection.answer(url, response), // the first page
    refuse, // the second page: its token has expired
    (response) => response.destroy(), // and then the server is away
    (response) => {
      response.writeHead(500);
      response.end('no');
    },
  );
  collection.cut();
  await eventually('it watches again', () => collection.watchers.size === 1);
  t.strictSame(changes, []);
  t.ok(reflector.state.failures >= 4);
  t.equal(reflector.state.objects, 3);
});

t.test('a watch that hangs is begun anew', async (t) => {
  const { collection } = await reflecting(t, 60);
  const [first] = collection.watchers;
  await eventually('another watch', () => [...collection.watchers].some((watcher) => watcher !== first));
  t.equal(collection.lists, 1);
});
