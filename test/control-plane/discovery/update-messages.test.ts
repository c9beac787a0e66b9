import t from 'tap';
import { encodeResponse } from '#control-plane/discovery/encode-response.ts';
import { updateMessages } from '#control-plane/discovery/update-messages.ts';
import { hashOf } from '#policy/resource/resource-document.ts';
import {
  DOCUMENT_CHUNK_BYTES,
  MAX_HELD_DOCUMENTS,
  MAX_UPDATE_BYTES,
  UPDATE_PART_BYTES,
} from '#proto/discovery-limits.ts';
import { type DocumentChunk, type Resource, SubscribeResponse, type Update } from '#proto/gen/lateral/v1/discovery.ts';
import { UpdateAssembly, UpdateFault } from '#sidecar/control/update-assembly.ts';

const NOTHING_HELD: ReadonlySet<string> = new Set();

function resource(key: string, length: number): Resource {
  const text = `${key} ${'x'.repeat(length)}`.slice(0, length);
  return { key, version: hashOf([text]), document: Buffer.from(text), inChunks: false };
}

function updateOf(upserts: Resource[], removedKeys: string[] = []): Update {
  return { version: 'v2', previousVersion: 'v1', upserts, removedKeys };
}

/** The messages as the sidecar reads them. */
function sent(update: Update, held = NOTHING_HELD): NonNullable<SubscribeResponse['message']>[] {
  return [...updateMessages(update, held)].map((message) => {
    const bytes = encodeResponse({ message });
    t.ok(bytes.byteLength < UPDATE_PART_BYTES + 2 * DOCUMENT_CHUNK_BYTES, 'no message is long');
    const read = SubscribeResponse.decode(bytes).message;
    if (read === undefined) throw new Error('no message');
    return read;
  });
}

/** What a sidecar makes of messages; undefined: they lack the end. */
function received(messages: Iterable<NonNullable<SubscribeResponse['message']>>, assembly = new UpdateAssembly()) {
  for (const message of messages) {
    if (message.$case === 'documentChunk') assembly.addChunk(message.value);
    if (message.$case === 'updatePart') assembly.addPart(message.value);
    if (message.$case === 'update') return assembly.complete(message.value);
  }
  return undefined;
}

/** As resources of the mesh are compared. */
const plain = (update: Update | undefined) =>
  update && {
    ...update,
    upserts: update.upserts.map(({ key, version, document }) => ({ key, version, text: String(document) })),
  };

t.test('an update comes whole, however it is cut', async (t) => {
  for (const lengths of [
    [],
    [10],
    [0, DOCUMENT_CHUNK_BYTES - 1, DOCUMENT_CHUNK_BYTES, DOCUMENT_CHUNK_BYTES + 1, 2 * DOCUMENT_CHUNK_BYTES],
    [3_000_000, 5, 1_000_000, 7],
    Array.from({ length: 200 }, (_, index) => 20_000 + index),
  ]) {
    const update = updateOf(
      lengths.map((length, index) => resource(`r${index}`, length)),
      ['gone'],
    );
    const messages = sent(update);
    const inOrder = (one: ReturnType<typeof plain>) =>
      one && { ...one, upserts: [...one.upserts].sort((left, right) => (left.key < right.key ? -1 : 1)) };
    t.same(inOrder(plain(received(messages))), inOrder(plain(update)), String(lengths.slice(0, 5)));
    t.equal(messages.filter(({ $case }) => $case === 'update').length, 1);
    t.equal(messages.at(-1)?.$case, 'update', 'it is in force with the last');
  }
});

t.test('what fits a message is one, the very update', async (t) => {
  const update = updateOf([resource('a', 100), resource('b', DOCUMENT_CHUNK_BYTES)]);
  t.same([...updateMessages(update, NOTHING_HELD)], [{ $case: 'update', value: update }]);
});

t.test('of an update that stops halfway the whole documents stay, and are not sent again', async (t) => {
  const update = updateOf([resource('a', 300_000), resource('b', 300_000), resource('c', 10)]);
  const messages = sent(update);
  const assembly = new UpdateAssembly();
  t.equal(received(messages.slice(0, 4), assembly), undefined);
  t.same(assembly.held, [update.upserts[0]?.version], 'the second was not whole');
  assembly.begin();
  const again = sent(update, new Set(assembly.held));
  t.same(
    again.map(({ $case }) => $case),
    ['documentChunk', 'documentChunk', 'documentChunk', 'update'],
  );
  t.same(plain(received(again, assembly)), plain(update));
  assembly.answered();
  t.same(assembly.held, []);
});

function all(assembly: UpdateAssembly, ...chunks: readonly DocumentChunk[]): void {
  for (const chunk of chunks) assembly.addChunk(chunk);
}

t.test('what does not make an update is refused', async (t) => {
  const long = resource('a', 300_000);
  const chunks = sent(updateOf([long])).flatMap((message) =>
    message.$case === 'documentChunk' ? [message.value] : [],
  );
  const [first, second, third] = chunks;
  if (first === undefined || second === undefined || third === undefined) throw new Error('no chunks');
  const cases: readonly [string, (assembly: UpdateAssembly) => void, RegExp][] = [
    ['one left out', (one) => all(one, first, third), /is not the one that follows/],
    ['the middle first', (one) => one.addChunk(second), /is not the one that follows/],
    ['another in between', (one) => all(one, first, { ...first, version: 'b' }), /ended before/],
    ['longer than said', (one) => one.addChunk({ ...first, documentBytes: 10 }), /is not the one that follows/],
    ['empty', (one) => one.addChunk({ ...first, data: Buffer.alloc(0) }), /is not the one that follows/],
    [
      'other bytes',
      (one) => all(one, first, second, { ...third, data: Buffer.alloc(third.data.byteLength) }),
      /has another hash/,
    ],
    [
      'the end alone',
      (one) => one.complete(updateOf([{ ...long, document: Buffer.alloc(0), inChunks: true }])),
      /did not come/,
    ],
    [
      'too long a document',
      (one) => one.addChunk({ ...first, documentBytes: MAX_UPDATE_BYTES + 1 }),
      /an update of over/,
    ],
    [
      'too many parts',
      (one) => {
        const part = { upserts: [resource('b', 16 * 1024 * 1024)] };
        for (let count = 0; count < 5; count++) one.addPart(part);
      },
      /an update of over/,
    ],
    [
      'too many documents',
      (one) => {
        for (let index = 0; index <= MAX_HELD_DOCUMENTS; index++) {
          const document = Buffer.from(String(index));
          one.addChunk({ version: hashOf([document]), documentBytes: document.byteLength, offset: 0, data: document });
        }
      },
      /more than \d+ documents/,
    ],
  ];
  for (const [name, step, reason] of cases) {
    const assembly = new UpdateAssembly();
    try {
      step(assembly);
      t.fail(`${name} was taken`);
    } catch (error) {
      t.ok(error instanceof UpdateFault && reason.test(error.message), `${name}: ${String(error)}`);
    }
  }
});
