import type { Test } from 'tap';
import { RawPeer, type Victim } from './raw-peer.ts';

/** Frames of a flood that is to be ended: the slower the machine, the more of them are allowed. */
const MAX_FRAMES = 200_000;
/** Frames of one that may go on. */
const FRAMES = 20_000;
/** CPU that an attack may cost its victim; measured: 20 to 300 ms. */
const MAX_CPU_MS = 3_000;
/** Memory that its victim may hold while it goes on, beside what its streams are: MAX_BYTES_PER_STREAM. */
const MAX_BYTES = 24_000_000;
const MAX_BYTES_PER_STREAM = 4_000;
/** How long others may have to wait meanwhile. */
const MAX_WAIT_MS = 10_000;

export interface Flood {
  readonly title: string;
  /** Said before. */
  readonly first?: readonly Buffer[];
  readonly bytes: (index: number) => Buffer;
  /** The victim puts an end to it; otherwise it costs nothing that is worth it. */
  readonly isEnded?: boolean;
  /** The attacker reads nothing meanwhile. */
  readonly isDeaf?: boolean;
  readonly frames?: number;
}

/** Floods the victim, and holds it against what that may cost. */
export async function attack(t: Test, victim: Victim, flood: Flood): Promise<void> {
  const { title, first = [], bytes, isEnded = false, isDeaf = false } = flood;
  const before = await victim.usage();
  const peer = await RawPeer.connect(victim.port);
  if (isDeaf) peer.socket.pause();
  for (const said of first) peer.say(said);
  const count = flood.frames ?? (isEnded ? MAX_FRAMES : FRAMES);
  const frames = await peer.flood(count, bytes, Math.max(1, Math.min(200, Math.floor(65_536 / bytes(0).length))));
  const waitedMs = await victim.isWell();
  const after = await victim.usage();
  if (isEnded) {
    peer.socket.resume();
    await peer.until(`${title}: a GOAWAY`, () => peer.gone !== undefined);
    t.match(peer.gone, /^GOAWAY \d+ ENHANCE_YOUR_CALM/, `${title}: ended`);
    await peer.untilClosed();
  } else t.equal(peer.gone, undefined, `${title}: goes on`);
  const cpuMs = Math.round(after.cpuMs - before.cpuMs);
  const heldBytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  t.ok(waitedMs < MAX_WAIT_MS, `${title}: others waited ${Math.round(waitedMs)} ms`);
  t.ok(cpuMs < MAX_CPU_MS, `${title}: ${frames} frames cost ${cpuMs} ms of CPU`);
  const maxBytes = MAX_BYTES + first.length * MAX_BYTES_PER_STREAM;
  t.ok(heldBytes < maxBytes, `${title}: ${heldBytes} bytes held meanwhile`);
  peer.close();
}
