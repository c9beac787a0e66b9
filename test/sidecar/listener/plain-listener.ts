import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';

// A program: a listener that answers every request, in a process of its own. Prints its port.
const listener = new Listener(
  plainHttpLane({
    onRequest(request) {
      const body = request.respond({ status: 200, reason: '', headers: ['content-length', '2'] });
      body.write(Buffer.from('ok'));
      body.end([]);
    },
    onUnreadable: () => undefined,
  }),
);
process.stdout.write(`${await listener.open(0, '127.0.0.1')}\n`);
