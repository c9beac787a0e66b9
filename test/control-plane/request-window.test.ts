import { once } from 'node:events';
import { connect, type Settings } from 'node:http2';
import t from 'tap';
import { REQUEST_WINDOW_BYTES } from '#proto/discovery-limits.ts';
import { allowPolicy, ControlPlaneFixture } from './control-plane-fixture.ts';

t.test('the control plane takes requests in small pieces, and keeps its bound of streams', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  const session = connect(`https://127.0.0.1:${fixture.port}`, { rejectUnauthorized: false });
  t.teardown(() => session.destroy());
  const [settings]: Settings[] = await once(session, 'remoteSettings');
  t.match(settings, { initialWindowSize: REQUEST_WINDOW_BYTES, maxConcurrentStreams: 16 });
});
