import { readFile } from 'node:fs/promises';
import t from 'tap';
import { createOfflineAuthorizer } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest } from '#cli/offline/offline-request.ts';
import { ATTRIBUTES } from '#policy/condition/attributes.ts';
import { loadResources } from '#policy/load-resources.ts';
import { authorizationRule } from '#policy/resource/kinds/authorization-rule.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const page = await readFile(new URL('../../../docs/authorization.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/```yaml\n(.*?)```\n\n```text\n(.*?)```/gs)];

t.test('every example decides as the page says', async (t) => {
  t.equal(examples.length, 4);
  for (const [, policies = '', lines = ''] of examples) {
    const { sourced, problems } = loadResources([{ path: 'a.yaml', text: policies }], () => undefined, MESH);
    t.strictSame(problems, []);
    const authorizer = createOfflineAuthorizer(
      sourced.map(({ any }) => any),
      MESH,
    );
    for (const line of lines.trimEnd().split('\n')) {
      const { request, wanted } = readLine(line);
      const reading = checkOfflineRequest(request);
      if (reading.kind === 'broken') throw new Error(reading.reason);
      const { decision, code } = authorizer.decide(reading.request);
      t.equal(decision === 'allow' ? decision : `${decision} ${code}`, wanted, line);
    }
  }
});

t.test('the table has every field and key, and the list every attribute of conditions', async (t) => {
  const [, table = ''] = /\| field \| key of `when`(.*?)\n\n/s.exec(page) ?? [];
  const text = JSON.stringify(authorizationRule.json);
  const lists = [...text.matchAll(/"([a-zA-Z]+)":\{"type":"array"/g)].map(([, name = '']) => name);
  const fields = lists.filter((name) => lists.includes(`not${name.charAt(0).toUpperCase()}${name.slice(1)}`));
  t.ok(fields.length >= 11, String(fields));
  for (const field of fields) if (field !== 'values') t.match(table, `\`${field}\``);
  for (const name of Object.keys(ATTRIBUTES)) t.match(page, `\`${name}`);
});

/** `NAMESPACE/ACCOUNT METHOD PATH [header=value | jwt.claim=value] DECISION`. */
function readLine(line: string) {
  const words = line.split(/ +/);
  const at = words.findIndex((word) => word === 'allow' || word === 'deny');
  const [caller = '', method, path, ...given] = words.slice(0, at);
  const pairs = given.map((pair) => pair.split('='));
  const claims = pairs.flatMap(([name = '', value]) => (name.startsWith('jwt.') ? [[name.slice(4), value]] : []));
  const headers = pairs.flatMap(([name = '', value]) => (name.startsWith('jwt.') ? [] : [[name, [value]]]));
  const [namespace, account] = caller.split('/');
  const request = {
    ...(account === undefined ? {} : { from: `spiffe://cluster.local/ns/${namespace}/sa/${account}` }),
    to: { namespace: 'shop', name: 'orders', labels: { app: 'orders' }, port: 8080 },
    ...{ method, path, headers: Object.fromEntries(headers) },
    ...(claims.length === 0 ? {} : { claims: Object.fromEntries(claims) }),
  };
  return { request, wanted: words.slice(at).join(' ') };
}
