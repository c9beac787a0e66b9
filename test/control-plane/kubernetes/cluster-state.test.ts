import t from 'tap';
import { TestCluster } from './cluster-fixture.ts';

const ONE_PORT = { clusterIPs: ['10.96.0.1'], ports: [{ name: 'http', port: 80 }] };
const ENDPOINT = { addresses: ['10.9.9.9'] };
/** A host name of an endpoint that no reader of MeshServices takes. */
const POISON = { ...ENDPOINT, hostname: 'Not A Label' };

t.test('a Service that no reader takes keeps its last good form; all others go on', async (t) => {
  const cluster = new TestCluster();
  cluster.service('orders', ONE_PORT);
  cluster.slice('orders', [ENDPOINT]);
  const good = cluster.inForce();
  t.match(good['MeshService/shop/orders'], { endpoints: [{ address: '10.9.9.9' }] });
  t.equal(cluster.state.serviceFaults.size, 0);
  cluster.slice('orders', [POISON]);
  cluster.service('web', { ...ONE_PORT, clusterIPs: ['10.96.0.2'] });
  const later = cluster.inForce();
  t.strictSame(later['MeshService/shop/orders'], good['MeshService/shop/orders']);
  t.ok(later['MeshService/shop/web'], 'another that came with it');
  t.match(cluster.state.serviceFaults.get('shop/orders'), /hostname/);
  cluster.slice('orders', []);
  t.match(cluster.inForce()['MeshService/shop/orders'], { endpoints: [] });
  t.equal(cluster.state.serviceFaults.size, 0, 'once mended nothing is said of it');
});

t.test('a Service that never was good is left out alone', async (t) => {
  const cluster = new TestCluster();
  cluster.service('orders', ONE_PORT);
  cluster.slice('orders', [POISON]);
  cluster.resource('AuthorizationPolicy', 'allow', { rules: [{}] });
  t.strictSame(Object.keys(cluster.inForce()), ['AuthorizationPolicy/shop/allow']);
  t.match([...cluster.state.serviceFaults], [['shop/orders', /hostname/]]);
});

t.test(
  'an address that moved from one Service to another is the other’s, in whatever order that is told',
  async (t) => {
    const cluster = new TestCluster();
    cluster.service('a', ONE_PORT);
    cluster.service('b', ONE_PORT);
    cluster.service('a', { ...ONE_PORT, clusterIPs: ['10.96.0.7'] }, ONE_PORT);
    t.match(cluster.state.hostClaim('/10.96.0.1'), { name: 'b' });
    t.match(cluster.state.hostClaim('/10.96.0.7'), { name: 'a' });
  },
);

t.test('an alias of a Service by its short name is left to that Service, once it is there', async (t) => {
  const cluster = new TestCluster();
  cluster.service('alias', { type: 'ExternalName', externalName: 'orders.shop' });
  t.match(cluster.inForce()['MeshService/shop/alias'], { endpoints: [{ address: 'orders.shop', plaintext: true }] });
  cluster.service('orders', ONE_PORT);
  t.notOk(cluster.inForce()['MeshService/shop/alias']);
});
