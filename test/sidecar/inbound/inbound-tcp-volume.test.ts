import { createHash } from 'node:crypto';
import type net from 'node:net';
import t from 'tap';
import { ALLOW_CLIENT, startInbound, until } from '../../support/inbound-sidecar.ts';
import { tcpApp } from '../../support/tcp-app.ts';

t.test('a reader that rests holds the writer back, both ways, and nothing is lost', async (t) => {
  const size = 30 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, 'x');
  /** Writes `size` bytes as fast as they are taken. */
  const pour = (socket: net.Socket, count: (written: number) => void) => {
    let written = 0;
    const go = () => {
      while (written < size) {
        written += chunk.length;
        count(written);
        if (!socket.write(chunk)) {
          socket.once('drain', go);
          return;
        }
      }
      socket.end();
    };
    go();
  };
  const rested = async (read: () => number) => {
    let before = -1;
    await until(async () => {
      const now = read();
      const isStill = now === before;
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 150));
      return isStill;
    });
    return read();
  };
  await t.test('an app that does not read', async (t) => {
    let resting: net.Socket | undefined;
    const app = await tcpApp(t, (socket) => {
      socket.pause();
      resting = socket;
    });
    const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
    const caller = await sidecar.connectTls('client');
    let written = 0;
    pour(caller, (bytes) => {
      written = bytes;
    });
    t.ok((await rested(() => written)) < size / 2, `${written} bytes were taken`);
    let received = 0;
    resting?.on('data', (bytes) => {
      received += bytes.length;
    });
    resting?.on('end', () => resting?.end());
    resting?.resume();
    await until(() => received === size);
    t.equal(received, size);
  });
  await t.test('a caller that does not read', async (t) => {
    let written = 0;
    const app = await tcpApp(t, (socket) => {
      pour(socket, (bytes) => {
        written = bytes;
      });
      socket.resume();
      socket.on('end', () => socket.end());
    });
    const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
    const caller = await sidecar.connectTls('client');
    caller.pause();
    await until(() => written > 0);
    t.ok((await rested(() => written)) < size / 2, `${written} bytes were taken`);
    let received = 0;
    caller.on('data', (bytes) => {
      received += bytes.length;
    });
    caller.resume();
    await until(() => received === size);
    caller.end();
    t.equal(received, size);
  });
});

t.test('100 MB go through whole, in flat memory', async (t) => {
  const chunks = 1_600;
  const chunk = Buffer.alloc(64 * 1024);
  for (let index = 0; index < chunk.length; index++) chunk[index] = index % 251;
  const app = await tcpApp(t, (socket) => socket.pipe(socket));
  const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_CLIENT);
  const caller = await sidecar.connectTls('client');
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let peak = 0;
  caller.on('data', (bytes) => {
    received.update(bytes);
    peak = Math.max(peak, process.memoryUsage().arrayBuffers);
  });
  const ended = new Promise((resolve) => caller.on('end', resolve));
  for (let index = 0; index < chunks; index++) {
    sent.update(chunk);
    if (!caller.write(chunk)) await new Promise<void>((resolve) => caller.once('drain', resolve));
  }
  caller.end();
  await ended;
  t.equal(received.digest('hex'), sent.digest('hex'));
  // caller, sidecar and app are all in this process
  t.ok(peak < 100 * 1024 * 1024, `${peak} bytes of buffers at most, of ${4 * 100} MB that were read`);
});
