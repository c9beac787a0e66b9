import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readControlPlaneConfiguration } from '#control-plane/configuration.ts';
import { formatProblem } from '#policy/problem.ts';
import { TestAuthority } from '../../support/certificates.ts';

const HEAD = `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
trustDomain: own.example
trustDomainAliases: [former.example]
source: {directory: p}
authority: {directory: ca}
`;

async function read(t: Test, text: string) {
  const directory = t.testdir();
  const file = join(directory, 'c.yaml');
  await writeFile(file, HEAD + text);
  const { configuration, problems } = await readControlPlaneConfiguration(file);
  const lines = problems.map((problem) => formatProblem({ ...problem, file: 'c.yaml' }));
  return { directory, configuration, lines };
}

const inline = JSON.stringify(new TestAuthority('a.example').rootPem);

t.test('a bundle in a file, one in the text, and endpoints of both profiles', async (t) => {
  const { directory, configuration, lines } = await read(
    t,
    `federation:
- {trustDomain: a.example, bundle: {inline: ${inline}}, endpoint: {url: "https://a.example/b", profile: https_spiffe, spiffeId: "spiffe://a.example/spire/server"}}
- {trustDomain: b.example, endpoint: {url: "https://b.example:8443/", profile: https_web, serverRoots: roots.pem}}
- {trustDomain: c.example, bundle: {file: c.json}, endpoint: {url: "https://a.example/c", profile: https_spiffe, spiffeId: "spiffe://a.example/x"}}
bundleEndpoint: {port: 8443}
`,
  );
  t.strictSame(lines, []);
  t.match(configuration?.federation, [
    {
      trustDomain: 'a.example',
      bundle: { kind: 'inline', value: JSON.parse(inline) },
      endpoint: { profile: 'https_spiffe', spiffeId: 'spiffe://a.example/spire/server', trustDomain: 'a.example' },
    },
    {
      trustDomain: 'b.example',
      bundle: undefined,
      endpoint: { profile: 'https_web', url: 'https://b.example:8443/', serverRootsFile: join(directory, 'roots.pem') },
    },
    { trustDomain: 'c.example', bundle: { kind: 'file', value: join(directory, 'c.json') } },
  ]);
  t.strictSame(configuration?.mesh, {
    trustDomain: 'own.example',
    rootNamespace: 'lateral-system',
    otherDomains: ['former.example', 'a.example', 'b.example', 'c.example'],
  });
  t.strictSame(configuration?.bundleEndpoint, { port: 8443, address: '0.0.0.0' });
});

t.test('without any, there is none', async (t) => {
  const { configuration } = await read(t, '');
  t.notOk(configuration !== undefined && 'federation' in configuration);
  t.notOk(configuration !== undefined && 'bundleEndpoint' in configuration);
});

const bundle = `bundle: {inline: ${inline}}`;
const web = 'profile: https_web';
const spiffe = 'profile: https_spiffe';
const wrong: readonly (readonly [string, string, RegExp])[] = [
  ['the own domain', `{trustDomain: own.example, ${bundle}}`, /own\.example is this mesh's own domain/],
  ['an alias of it', `{trustDomain: former.example, ${bundle}}`, /former\.example is this mesh's own domain/],
  [
    'one twice',
    `{trustDomain: a.example, ${bundle}}\n- {trustDomain: a.example, ${bundle}}`,
    /c\.yaml:9:.*there twice/,
  ],
  ['no name of a domain', `{trustDomain: A.example, ${bundle}}`, /character other than a-z/],
  ['nothing to believe', '{trustDomain: a.example}', /neither bundle nor endpoint/],
  ['a bundle of nothing', '{trustDomain: a.example, bundle: {}}', /exactly one of file and inline/],
  [
    'a bundle twice',
    `{trustDomain: a.example, bundle: {file: a, inline: ${inline}}}`,
    /exactly one of file and inline/,
  ],
  ['a malformed bundle', '{trustDomain: a.example, bundle: {inline: "{}"}}', /c\.yaml:8:\d+: .*keys: missing/],
  ['http', `{trustDomain: a.example, endpoint: {url: "http://a.example", ${web}}}`, /not an https:\/\/ URL/],
  ['no URL', `{trustDomain: a.example, endpoint: {url: "a.example", ${web}}}`, /not an https:\/\/ URL/],
  ['a user', `{trustDomain: a.example, endpoint: {url: "https://u@a.example", ${web}}}`, /holds no user name/],
  ['no profile', '{trustDomain: a.example, endpoint: {url: "https://a.example"}}', /missing field profile/],
  [
    'no identity',
    `{trustDomain: a.example, ${bundle}, endpoint: {url: "https://a", ${spiffe}}}`,
    /missing field spiffeId/,
  ],
  [
    'an identity without a path',
    `{trustDomain: a.example, ${bundle}, endpoint: {url: "https://a", ${spiffe}, spiffeId: "spiffe://a.example"}}`,
    /is not a SPIFFE ID/,
  ],
  [
    'an identity of an unknown domain',
    `{trustDomain: a.example, ${bundle}, endpoint: {url: "https://a", ${spiffe}, spiffeId: "spiffe://x.example/y"}}`,
    /nothing here says whom to trust for x\.example/,
  ],
  [
    'an identity of the own domain',
    `{trustDomain: a.example, ${bundle}, endpoint: {url: "https://a", ${spiffe}, spiffeId: "spiffe://own.example/y"}}`,
    /own\.example is this mesh's own domain/,
  ],
  [
    'nobody to believe at first',
    `{trustDomain: a.example, endpoint: {url: "https://a", ${spiffe}, spiffeId: "spiffe://a.example/y"}}`,
    /https_spiffe needs a bundle to begin with/,
  ],
  [
    'an identity for https_web',
    `{trustDomain: a.example, endpoint: {url: "https://a", ${web}, spiffeId: "spiffe://a.example/y"}}`,
    /spiffeId has no meaning for https_web/,
  ],
  [
    'roots of servers for https_spiffe',
    `{trustDomain: a.example, ${bundle}, endpoint: {url: "https://a", ${spiffe}, spiffeId: "spiffe://a.example/y", serverRoots: r}}`,
    /serverRoots has no meaning for https_spiffe/,
  ],
];

t.test('what cannot be is refused, with its place', async (t) => {
  for (const [name, entry, message] of wrong) {
    const { configuration, lines } = await read(t, `federation:\n- ${entry}\n`);
    t.equal(configuration, undefined, name);
    t.match(lines.join('\n'), message, name);
    t.match(lines.join('\n'), /^c\.yaml:(8|9):\d+: error/, name);
  }
});

t.test('sixty-four domains at the most', async (t) => {
  const entries = Array.from({ length: 65 }, (_, n) => `- {trustDomain: d${n}.example, bundle: {file: x}}`);
  t.match(
    (await read(t, `federation:\n${entries.join('\n')}\n`)).lines.join(),
    /a list of 65 entries; expected at most 64/,
  );
  t.strictSame((await read(t, `federation:\n${entries.slice(1).join('\n')}\n`)).lines, []);
});
