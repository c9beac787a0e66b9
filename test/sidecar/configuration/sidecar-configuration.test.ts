import t from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { listenOnAll, trafficAddresses } from '#sidecar/traffic/traffic-addresses.ts';
import { claimPort } from '#sidecar/workers/claim-port.ts';
import { freePorts } from '../../support/free-ports.ts';

function read(lines: string) {
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: a-1, namespace: test, serviceAccount: a, address: 10.1.0.7}
controlPlane: {address: "lateral-control-plane.lateral-system:15012", trustBundle: ca.pem}
${lines}
`;
  return readConfiguration({ path: 'a.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
}

t.test('with a redirection a listener needs no app, and its protocols may be declared', (t) => {
  const { value, problems } = read(`interception: redirect
inbound: [{port: 15006, ports: {"8080": http, "5432": tcp}}]
outbound: {port: 15001}`);
  t.same(problems, []);
  t.match(value, {
    workload: { address: '10.1.0.7' },
    inbound: [{ port: 15006, ports: { '8080': 'http', '5432': 'tcp' } }],
  });
  t.equal(value?.inbound[0]?.app, undefined);
  t.same(value === undefined ? [] : trafficAddresses(value), [
    { port: 15006, addresses: ['0.0.0.0', '::'] },
    { port: 15001, addresses: ['127.0.0.1', '::1'] },
  ]);
  t.end();
});

t.test('an address that is given is the only one', (t) => {
  const { value } = read('interception: redirect\ninbound: [{port: 15006, address: 10.1.0.7}]');
  t.same(value === undefined ? [] : trafficAddresses(value), [{ port: 15006, addresses: ['10.1.0.7'] }]);
  t.end();
});

t.test('without a redirection an app is needed, and listeners are on loopback alone', (t) => {
  const messages = (lines: string) => read(lines).problems.map(({ message }) => message);
  t.match(messages('inbound: [{port: 15006}]'), [/missing field app/]);
  t.match(messages('inbound: [{port: 15006, app: "127.0.0.1:80", ports: {"80": http}}]'), [
    /ports needs interception: redirect/,
  ]);
  t.match(messages('interception: redirect\ninbound: [{port: 15006, ports: {"0": http}}]'), [/0 is not a port/]);
  const { value } = read('inbound: [{port: 15006, app: "127.0.0.1:80"}]\noutbound: {port: 15001}');
  t.same(value === undefined ? [] : trafficAddresses(value).flatMap(({ addresses }) => addresses), [
    '127.0.0.1',
    '127.0.0.1',
  ]);
  t.end();
});

t.test(
  'of several addresses the first must be there; others are left out where the machine has them not',
  async (t) => {
    const [port = 0] = await freePorts(1);
    const missing = '2001:db8::1'; // RFC 3849: of documentation, nobody's
    await t.resolves(listenOnAll({ port, addresses: ['127.0.0.1', missing] }, claimPort));
    await t.rejects(listenOnAll({ port, addresses: [missing] }, claimPort), {
      message: /^cannot listen on 2001:db8::1:[0-9]+: .*EADDRNOTAVAIL/,
    });
  },
);
