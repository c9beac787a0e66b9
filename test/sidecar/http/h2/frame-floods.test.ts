import t from 'tap';
import { ACK, CONTINUATION, END_HEADERS, HEADERS, SETTINGS } from '#sidecar/http/h2/frame.ts';
import { HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE } from '#sidecar/http/h2/settings.ts';
import { attack, type Flood } from './attack.ts';
import { block, data, frame, headers, ping, priority, request, settings, settingsAck, windowUpdate } from './frames.ts';
import { Victim } from './raw-peer.ts';

const get = (id: number, path = '/ok') => headers(id, request('GET', path), { end: true });
const post = (id: number, path: string, ...more: string[]) => headers(id, request('POST', path, ...more));
const odd = (index: number) => index * 2 + 1;

const FLOODS: readonly Flood[] = [
  { title: 'PING', bytes: () => ping(), isEnded: true },
  { title: 'PING, and nothing is read', bytes: () => ping(), isEnded: true, isDeaf: true },
  { title: 'acknowledgements of PING', bytes: () => ping('12345678', ACK), isEnded: true },
  { title: 'SETTINGS', bytes: () => settings(), isEnded: true },
  {
    title: 'SETTINGS, and nothing is read',
    bytes: () => settings([INITIAL_WINDOW_SIZE, 1]),
    isEnded: true,
    isDeaf: true,
  },
  { title: 'SETTINGS with 2,700 values each', bytes: () => frame(SETTINGS, 0, 0, Buffer.alloc(16_380)), isEnded: true },
  {
    title: 'SETTINGS that move the windows of 4,000 streams',
    first: Array.from({ length: 4_000 }, (_, index) => get(odd(index), '/hold')),
    bytes: (index) => settings([INITIAL_WINDOW_SIZE, index % 2]),
    isEnded: true,
  },
  {
    title: 'SETTINGS that change the table',
    bytes: (index) => Buffer.concat([settings([HEADER_TABLE_SIZE, index % 2 === 0 ? 0 : 0xffff_ffff])]),
    isEnded: true,
  },
  { title: 'acknowledgements of SETTINGS', bytes: () => settingsAck, isEnded: true },
  { title: 'empty DATA (CVE-2019-9518)', first: [post(1, '/read')], bytes: () => data(1, ''), isEnded: true },
  {
    title: 'DATA of padding alone',
    first: [post(1, '/read')],
    bytes: () => data(1, '', { padding: 0 }),
    isEnded: true,
  },
  { title: 'empty HEADERS', bytes: (index) => frame(HEADERS, END_HEADERS, odd(index)), isEnded: true },
  { title: 'trailers that do not end', first: [post(1, '/hold')], bytes: () => headers(1, ['x', 'y']), isEnded: true },
  { title: 'PRIORITY', bytes: (index) => priority(odd(index), 0), isEnded: true },
  { title: 'WINDOW_UPDATE of the connection', bytes: () => windowUpdate(0, 1), isEnded: true },
  { title: 'WINDOW_UPDATE of a stream', first: [get(1, '/hold')], bytes: () => windowUpdate(1, 1), isEnded: true },
  {
    title: 'WINDOW_UPDATE of a stream that has ended',
    first: [get(1)],
    bytes: () => windowUpdate(1, 1),
    isEnded: true,
  },
  { title: 'frames of unknown types', bytes: (index) => frame(0x20 + (index % 200), 0xff, index), isEnded: true },
  {
    title: 'CONTINUATION of a few bytes, without end (CVE-2024-27316)',
    first: [frame(HEADERS, 0, 1, block(request('GET', '/')))],
    bytes: (index) => frame(CONTINUATION, 0, 1, block(['x', `${index}`])),
    isEnded: true,
  },
  {
    title: 'empty CONTINUATION, without end',
    first: [frame(HEADERS, 0, 1)],
    bytes: () => frame(CONTINUATION, 0, 1),
    isEnded: true,
  },
  {
    title: 'CONTINUATION as large as can be',
    first: [frame(HEADERS, 0, 1)],
    bytes: () => frame(CONTINUATION, 0, 1, Buffer.alloc(16_384, 0x82)),
    isEnded: true,
  },
  {
    title: 'tiny windows: DATA byte by byte',
    first: [settings([INITIAL_WINDOW_SIZE, 0], [MAX_FRAME_SIZE, 16_384]), get(1, '/large')],
    bytes: () => windowUpdate(1, 1),
  },
  { title: 'one byte of DATA at a time', first: [post(1, '/read')], bytes: () => data(1, 'x') },
];

t.test('floods of frames are ended, or cost little; memory stays, and others are served', async (t) => {
  const victim = await Victim.start(t);
  for (const flood of FLOODS) await attack(t, victim, flood);
});
