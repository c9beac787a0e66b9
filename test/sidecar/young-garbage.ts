// Run with --expose-gc and the sidecar's flags: prints by how many bytes the old generation grew while streams and exchanges
// came and went, without a full collection.
import v8 from 'node:v8';
import type { Passage } from '#sidecar/exchange/passage.ts';
import { StallWatch } from '#sidecar/exchange/stall-watch.ts';
import type { Http2Session } from '#sidecar/http/h2/http2-session.ts';
import { Http2Stream } from '#sidecar/http/h2/http2-stream.ts';
import { StreamTable } from '#sidecar/http/h2/stream-table.ts';
import { TurnOrder } from '#sidecar/http/h2/turn-order.ts';

const IN_FLIGHT = 32;
const TURNS = 100_000;
const WORDS_EACH = 256;

const [structure] = process.argv.slice(2);
const session: Http2Session = Object.create(null);
const passage: Passage = Object.create(null);
const table = new StreamTable();
const order = new TurnOrder();
const watch = new StallWatch();
const map = new Map<number, unknown>();
watch.close();

interface Held {
  readonly stream: Http2Stream;
  readonly passage: Passage;
}

function begin(id: number): Held {
  const stream = new Http2Stream(session, id, 0, 0);
  const own: Passage = Object.assign(Object.create(passage), { watchIndex: -1, words: new Array(WORDS_EACH).fill(id) });
  Object.assign(stream, { words: new Array(WORDS_EACH).fill(id) });
  if (structure === 'map') map.set(id, own);
  else {
    table.add(stream);
    order.add(stream);
    watch.add(own);
  }
  return { stream, passage: own };
}

function end({ stream, passage }: Held): void {
  if (structure === 'map') map.delete(stream.id);
  else {
    table.delete(stream);
    order.delete(stream);
    watch.delete(passage);
  }
}

const oldBytes = () =>
  v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? 0;
const held = Array.from({ length: IN_FLIGHT }, (_, index) => begin(index * 2 + 1));
globalThis.gc?.(); // what is held now is old
const before = oldBytes();
let most = before;
for (let turn = 0; turn < TURNS; turn++) {
  const at = turn % IN_FLIGHT;
  const ended = held[at];
  if (ended !== undefined) end(ended);
  held[at] = begin((turn + IN_FLIGHT) * 2 + 1);
  if (turn % 1_000 === 0) most = Math.max(most, oldBytes());
}
process.stdout.write(String(most - before));
