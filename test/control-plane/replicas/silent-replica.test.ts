import t from 'tap';
import { issueControlPlaneCertificate } from '#control-plane/authority/control-plane-certificate.ts';
import { ANSWER_KEPT_MS, askReplicas } from '#control-plane/replicas/ask-replicas.ts';
import { freePorts } from '../../support/free-ports.ts';
import { type Event, eventually, MESH } from '../control-plane-fixture.ts';
import { replicaWithSidecar } from './replica-with-sidecar.ts';

t.test('the last answer of a replica that is silent stands for a while, then it counts as silent', async (t) => {
  const { fixture, address, trustBundlePem, authority } = await replicaWithSidecar(t);
  const [closedPort] = await freePorts(1);
  const never = `127.0.0.1:${closedPort}`;
  let addresses = [address, never];
  let nowMs = 0;
  const events: Event[] = [];
  const ask = askReplicas({
    mesh: MESH,
    identity: () => ({ ...issueControlPlaneCertificate(authority, MESH), trustBundlePem }),
    addresses: () => addresses,
    log: (event, fields = {}) => events.push({ event, fields }),
    now: () => nowMs,
  });
  const acked = { programmed: [{ key: 'AuthorizationPolicy/shop/allow-web', acked: 1 }] };
  await eventually('it is acknowledged', async () => (await ask([])).programmed[0]?.acked === 1);
  t.match(await ask([]), { ...acked, silent: 1 }, 'one that never answered is silent');
  await fixture.stop();
  nowMs = ANSWER_KEPT_MS - 1;
  t.match(await ask([]), { ...acked, silent: 1 });
  nowMs = ANSWER_KEPT_MS;
  t.strictSame(await ask([]), { programmed: [], silent: 2 });
  t.strictSame(events.map(({ fields }) => fields.replica).sort(), [address, never].sort(), 'each is told of once');
  nowMs = 0;
  addresses = [never];
  t.strictSame(await ask([]), { programmed: [], silent: 1 }, 'of one that is no replica any more nothing is kept');
  addresses = [address, never];
  t.strictSame(await ask([]), { programmed: [], silent: 2 });
});
