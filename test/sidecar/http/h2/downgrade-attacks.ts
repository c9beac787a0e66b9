/** Requests of HTTP/2 that would be more, or others, were they written down as HTTP/1.1 as they are. */
export interface DowngradeAttack {
  readonly title: string;
  /** Replaces what `request` says; undefined: without that field. */
  readonly pseudo?: Readonly<Record<string, string | undefined>>;
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly trailers?: readonly string[];
  /** Its stream is reset, it is answered with a status, or it arrives as `METHOD PATH BODY`. */
  readonly expected: 'reset' | number | string;
}

/** Nobody asks for this: it is what the attacks try to smuggle. */
export const SMUGGLED_PATH = '/smuggled';

const INNER = `GET ${SMUGGLED_PATH} HTTP/1.1\r\nhost: server.test\r\n\r\n`;
/** `PATH` stands for the path that is the attack's own. */
const path = (rest: string) => ({ ':path': `PATH${rest}` });

export const DOWNGRADE_ATTACKS: readonly DowngradeAttack[] = [
  // H2.CL
  { title: 'H2.CL: content-length 0 before a body', fields: ['content-length', '0'], body: INNER, expected: 'reset' },
  {
    title: 'H2.CL: content-length less than the body',
    fields: ['content-length', '5'],
    body: `x=1&y${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.CL: content-length more than the body',
    fields: ['content-length', '500'],
    body: 'short',
    expected: 'reset',
  },
  { title: 'H2.CL: content-length and no body', fields: ['content-length', '5'], expected: 'reset' },
  {
    title: 'H2.CL: two content-length',
    fields: ['content-length', '5', 'content-length', '0'],
    body: 'x=1&y',
    expected: 'reset',
  },
  { title: 'H2.CL: a list of lengths', fields: ['content-length', '5, 0'], body: 'x=1&y', expected: 'reset' },
  { title: 'H2.CL: a signed length', fields: ['content-length', '+5'], body: 'x=1&y', expected: 'reset' },
  {
    title: 'H2.CL: a length with a line break',
    fields: ['content-length', '0\r\n\r\nGET /smuggled HTTP/1.1\r\nx: y'],
    expected: 'reset',
  },
  {
    title: 'content_length for programs that read _ as -',
    fields: ['content_length', '0'],
    body: INNER,
    expected: 'reset',
  },
  { title: 'a body that looks like a request is a body', body: INNER, expected: `POST PATH ${INNER}` },
  { title: 'and so it is of GET', pseudo: { ':method': 'GET' }, body: INNER, expected: `GET PATH ${INNER}` },
  {
    title: 'and so it is with its length',
    fields: ['content-length', `${INNER.length}`],
    body: INNER,
    expected: `POST PATH ${INNER}`,
  },
  {
    title: 'a body that looks like chunks is no chunks',
    body: `0\r\n\r\n${INNER}`,
    expected: `POST PATH 0\r\n\r\n${INNER}`,
  },
  // H2.TE
  { title: 'H2.TE: chunked', fields: ['transfer-encoding', 'chunked'], body: `0\r\n\r\n${INNER}`, expected: 'reset' },
  { title: 'H2.TE: identity', fields: ['transfer-encoding', 'identity'], body: INNER, expected: 'reset' },
  {
    title: 'H2.TE: in upper case',
    fields: ['Transfer-Encoding', 'chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.TE: with a space behind the name',
    fields: ['transfer-encoding ', 'chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.TE: with a tab before the name',
    fields: ['\ttransfer-encoding', 'chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.TE: with a colon in the name',
    fields: ['transfer-encoding:chunked\r\nx', 'y'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.TE: by a line break in a value',
    fields: ['x', 'y\r\ntransfer-encoding: chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.TE: by a bare LF in a value',
    fields: ['x', 'y\ntransfer-encoding: chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'H2.TE: by a bare CR in a value',
    fields: ['x', 'y\rtransfer-encoding: chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  {
    title: 'transfer_encoding for programs that read _ as -',
    fields: ['transfer_encoding', 'chunked'],
    body: `0\r\n\r\n${INNER}`,
    expected: 'reset',
  },
  { title: 'H2.TE: in the trailers', body: 'x', trailers: ['transfer-encoding', 'chunked'], expected: 'reset' },
  { title: 'H2.CL: in the trailers', body: 'x', trailers: ['content-length', '0'], expected: 'reset' },
  { title: 'host in the trailers', body: 'x', trailers: ['host', 'evil.test'], expected: 'reset' },
  { title: 'a request in the trailers', body: 'x', trailers: ['x', `y\r\n\r\n${INNER}`], expected: 'reset' },
  // the request line
  {
    title: 'a request by :method',
    pseudo: { ':method': `GET ${SMUGGLED_PATH} HTTP/1.1\r\nhost: server.test\r\n\r\nGET` },
    expected: 'reset',
  },
  { title: 'a path by :method', pseudo: { ':method': `GET ${SMUGGLED_PATH}` }, expected: 'reset' },
  { title: 'a request by :path', pseudo: path(` HTTP/1.1\r\nhost: server.test\r\n\r\n${INNER}`), expected: 'reset' },
  { title: 'a version by :path', pseudo: path(' HTTP/1.1'), expected: 'reset' },
  { title: 'a second target by :path', pseudo: path(` ${SMUGGLED_PATH}`), expected: 'reset' },
  { title: 'a tab in :path', pseudo: path(`\t${SMUGGLED_PATH}`), expected: 'reset' },
  { title: 'a NUL in :path', pseudo: path('\0'), expected: 'reset' },
  { title: 'a :path without a slash', pseudo: { ':path': 'smuggled' }, expected: 'reset' },
  { title: 'an absolute :path', pseudo: { ':path': `http://server.test${SMUGGLED_PATH}` }, expected: 'reset' },
  { title: 'a :path of another authority', pseudo: { ':path': `//evil.test${SMUGGLED_PATH}` }, expected: 400 },
  { title: 'a :path that goes up', pseudo: path(`/..${SMUGGLED_PATH}`), expected: 400 },
  { title: 'a fragment in :path', pseudo: path('#x'), expected: 400 },
  { title: 'an empty :path', pseudo: { ':path': '' }, expected: 'reset' },
  { title: '* of another method than OPTIONS', pseudo: { ':path': '*' }, expected: 400 },
  { title: 'a target by :scheme', pseudo: { ':scheme': `http://server.test${SMUGGLED_PATH}?x=` }, expected: 'reset' },
  { title: 'a request by :scheme', pseudo: { ':scheme': `http\r\n\r\n${INNER}` }, expected: 'reset' },
  { title: 'a space in :scheme', pseudo: { ':scheme': 'ht tp' }, expected: 'reset' },
  { title: 'CONNECT', pseudo: { ':method': 'CONNECT', ':scheme': undefined, ':path': undefined }, expected: 'reset' },
  // the host
  { title: 'a header by :authority', pseudo: { ':authority': 'server.test\r\nx-injected: 1' }, expected: 'reset' },
  { title: 'a request by :authority', pseudo: { ':authority': `server.test\r\n\r\n${INNER}` }, expected: 'reset' },
  { title: 'a space in :authority', pseudo: { ':authority': 'server.test evil.test' }, expected: 400 },
  { title: 'a tab in :authority', pseudo: { ':authority': 'server.test\tevil.test' }, expected: 400 },
  { title: 'a path in :authority', pseudo: { ':authority': `server.test${SMUGGLED_PATH}` }, expected: 400 },
  { title: 'a user in :authority (RFC 9113 §8.3.1)', pseudo: { ':authority': 'server.test@evil.test' }, expected: 400 },
  { title: 'a list in :authority', pseudo: { ':authority': 'server.test,evil.test' }, expected: 400 },
  { title: 'a host that differs from :authority', fields: ['host', 'evil.test'], expected: 'reset' },
  {
    title: 'two hosts',
    pseudo: { ':authority': undefined },
    fields: ['host', 'server.test', 'host', 'evil.test'],
    expected: 400,
  },
  { title: 'no host at all', pseudo: { ':authority': undefined }, expected: 400 },
  { title: 'an empty name beside the host', fields: ['', 'evil.test'], expected: 'reset' },
  { title: 'host with a space behind it', fields: ['host ', 'evil.test'], expected: 'reset' },
  { title: ':host', fields: [':host', 'evil.test'], expected: 'reset' },
  // names and values
  { title: 'a line break in a name', fields: ['x: y\r\nx-injected', '1'], expected: 'reset' },
  { title: 'a bare LF in a name', fields: ['x\nx-injected', '1'], expected: 'reset' },
  { title: 'a colon in a name', fields: ['x-injected: 1\tx', '1'], expected: 'reset' },
  { title: 'a colon at the end of a name', fields: ['x-injected:', '1'], expected: 'reset' },
  { title: 'a header by a value', fields: ['x', 'y\r\nx-injected: 1'], expected: 'reset' },
  { title: 'a request by a value', fields: ['x', `y\r\n\r\n${INNER}`], expected: 'reset' },
  { title: 'a NUL in a value', fields: ['x', 'y\0z'], expected: 'reset' },
  { title: 'a value that begins with a space', fields: ['x', ' y'], expected: 'reset' },
  { title: 'a value that ends in a tab', fields: ['x', 'y\t'], expected: 'reset' },
  { title: 'a folded value', fields: ['x', 'y\r\n z'], expected: 'reset' },
  {
    title: 'a header by a crumb of a cookie',
    fields: ['cookie', 'a=1', 'cookie', 'b=2\r\nx-injected: 1'],
    expected: 'reset',
  },
  { title: 'a pseudo-header field behind others', fields: ['x', 'y', ':path', SMUGGLED_PATH], expected: 'reset' },
  // the connection
  {
    title: 'connection that nominates what the sidecar vouches for',
    fields: ['connection', 'x-forwarded-client-cert'],
    expected: 'reset',
  },
  { title: 'connection: close', fields: ['connection', 'close'], expected: 'reset' },
  { title: 'keep-alive', fields: ['keep-alive', 'timeout=1'], expected: 'reset' },
  { title: 'proxy-connection', fields: ['proxy-connection', 'x-forwarded-client-cert'], expected: 'reset' },
  { title: 'upgrade: h2c', fields: ['upgrade', 'h2c'], expected: 'reset' },
  { title: 'upgrade: websocket', fields: ['upgrade', 'websocket'], expected: 'reset' },
  { title: 'te that is more than trailers', fields: ['te', 'trailers, chunked'], expected: 'reset' },
  { title: 'http2-settings ends here', fields: ['http2-settings', 'AAMAAABkAARAAAAAAAIAAAAA'], expected: 'POST PATH ' },
  {
    title: 'a forged x-forwarded-client-cert is replaced',
    fields: [
      'x-forwarded-client-cert',
      'URI=spiffe://evil',
      'X_Forwarded_Client_Cert'.toLowerCase(),
      'URI=spiffe://evil',
    ],
    expected: 'POST PATH ',
  },
  {
    title: 'and it ends in the trailers',
    body: 'x',
    trailers: ['x-forwarded-client-cert', 'URI=spiffe://evil'],
    expected: 'POST PATH x',
  },
];
