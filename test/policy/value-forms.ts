import { isIPv6 } from 'node:net';

const PATTERNS = ['exact', 'prefix*', '*suffix', '*'];
const ADDRESSES = ['IPv4', 'IPv4 block', 'IPv6', 'IPv6 block'];
const PORTS = ['port', 'leading zero'];

/** The forms of values of each field and key; the schema says which there are. */
export const FORMS: { readonly [name: string]: readonly string[] } = {
  principals: PATTERNS,
  requestPrincipals: PATTERNS,
  namespaces: [...PATTERNS, 'a*b'],
  serviceAccounts: ['NAME', 'NAMESPACE/NAME'],
  trustDomains: PATTERNS,
  ipBlocks: ADDRESSES,
  remoteIpBlocks: ADDRESSES,
  hosts: PATTERNS,
  ports: PORTS,
  methods: PATTERNS,
  paths: [...PATTERNS, '{*}', '{**}'],
  'request.headers[NAME]': PATTERNS,
  'request.headers[:method]': PATTERNS,
  'request.headers[:authority]': PATTERNS,
  'request.headers[host]': PATTERNS,
  'request.auth.claims[NAME]': PATTERNS,
  'request.auth.claims[NAME][NAME]': PATTERNS,
  'request.auth.principal': PATTERNS,
  'request.auth.audiences': PATTERNS,
  'request.auth.presenter': PATTERNS,
  'source.principal': PATTERNS,
  'source.namespace': [...PATTERNS, 'a*b'],
  'source.serviceAccount': ['NAME', 'NAMESPACE/NAME'],
  'source.trustDomain': PATTERNS,
  'source.ip': ADDRESSES,
  'remote.ip': ADDRESSES,
  'destination.ip': ADDRESSES,
  'destination.port': PORTS,
  'connection.sni': PATTERNS,
};

/** What every request has, so that `*` matches it. */
export const ALWAYS_THERE = new Set(['methods', 'paths', 'request.headers[:method]']);

/** How a value of the field or key is written. */
export function formOf(name: string, value: string): string {
  const forms = FORMS[name] ?? [];
  if (forms === ADDRESSES)
    return `IPv${isIPv6(value.replace(/\/.*/, '')) ? 6 : 4}${value.includes('/') ? ' block' : ''}`;
  if (forms === PORTS) return value.startsWith('0') ? 'leading zero' : 'port';
  if (forms.includes('NAME')) return value.includes('/') ? 'NAMESPACE/NAME' : 'NAME';
  if (forms.includes('{*}') && value.includes('{**}')) return '{**}';
  if (forms.includes('{*}') && value.includes('{*}')) return '{*}';
  if (value === '*') return '*';
  if (value.startsWith('*')) return '*suffix';
  if (value.endsWith('*')) return 'prefix*';
  return forms.includes('a*b') && value.includes('*') ? 'a*b' : 'exact';
}
