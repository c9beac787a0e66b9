import t from 'tap';
import { CANCEL, PRIORITY } from '#sidecar/http/h2/frame.ts';
import { attack, type Flood } from './attack.ts';
import { data, frame, headers, priority, request, rstStream, windowUpdate } from './frames.ts';
import { Victim } from './raw-peer.ts';

const get = (id: number, path = '/ok') => headers(id, request('GET', path), { end: true });
const post = (id: number, path: string, ...more: string[]) => headers(id, request('POST', path, ...more));
const odd = (index: number) => index * 2 + 1;
const twice = (index: number, first: (id: number) => Buffer, second: (id: number) => Buffer) =>
  index % 2 === 0 ? first(index + 1) : second(index);

const FLOODS: readonly Flood[] = [
  {
    title: 'rapid reset (CVE-2023-44487)',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => rstStream(id, CANCEL),
      ),
    isEnded: true,
  },
  {
    title: 'rapid reset of requests that have been answered',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id),
        (id) => rstStream(id, CANCEL),
      ),
  },
  {
    title: 'MadeYouReset by WINDOW_UPDATE of 0 (CVE-2025-8671)',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => windowUpdate(id, 0),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by a window that overflows',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => windowUpdate(id, 0x7fff_ffff),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by DATA behind END_STREAM',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => data(id, 'x'),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by HEADERS behind END_STREAM',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => headers(id, ['x', 'y'], { end: true }),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by PRIORITY of a wrong length',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => frame(PRIORITY, 0, id, Buffer.alloc(4)),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by a stream that depends on itself',
    bytes: (index) =>
      twice(
        index,
        (id) => get(id, '/hold'),
        (id) => priority(id, id),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by more DATA than content-length',
    bytes: (index) =>
      twice(
        index,
        (id) => post(id, '/hold', 'content-length', '0'),
        (id) => data(id, 'x'),
      ),
    isEnded: true,
  },
  {
    title: 'MadeYouReset by malformed requests',
    bytes: (index) => headers(odd(index), request('GET', '/hold', 'connection', 'x'), { end: true }),
    isEnded: true,
  },
  {
    title: 'requests on streams that were refused',
    first: Array.from({ length: 4_096 }, (_, index) => get(odd(index), '/hold')),
    bytes: (index) => get(odd(index + 4_096)),
    isEnded: true,
  },
  {
    title: 'HEADERS on a stream that was reset',
    first: [post(1, '/hold'), windowUpdate(1, 0)],
    bytes: () => headers(1, ['x', 'y'], { end: true }),
    isEnded: true,
  },
  {
    title: 'RST_STREAM of a stream that has ended',
    first: [get(1)],
    bytes: () => rstStream(1, CANCEL),
    isEnded: true,
  },
  {
    title: 'header lists over the limit',
    frames: 4_000,
    bytes: (index) =>
      headers(odd(index), request('GET', '/hold', ...Array.from({ length: 300 }, () => ['x', 'y']).flat()), {
        end: true,
      }),
  },
  {
    title: 'streams that say one byte and rest',
    bytes: (index) =>
      twice(
        index,
        (id) => post(id, '/paused'),
        (id) => data(id, 'x'),
      ),
    frames: 8_192,
  },
];

t.test(
  'floods of streams that come to nothing are ended, or cost little; memory stays, and others are served',
  async (t) => {
    const victim = await Victim.start(t);
    for (const flood of FLOODS) await attack(t, victim, flood);
  },
);
