import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import t from 'tap';
import { type Redirection, redirectionRules } from '#sidecar/interception/redirection-rules.ts';
import { whyNot } from './pods.ts';

const REDIRECTION: Redirection = {
  inboundPort: 15006,
  outboundPort: 15001,
  proxyUid: 1337,
  excludeInboundPorts: [],
  excludeOutboundPorts: [],
  excludeOutboundCidrs: [],
};
const ADDRESSES = { IPv4: ['10.241.0.1', '10.241.0.2'], IPv6: ['fd00:241::1', 'fd00:241::2'] } as const;
/** Answers each line of its standard input to whoever is connected: it speaks first. */
const SERVER = `
import net from 'node:net';
net.createServer((socket) => {
  process.stdin.on('data', (text) => socket.write(text));
  socket.on('error', ({ code }) => console.log(code));
}).listen(15012, '::', () => console.log('listening'));
`;
const CLIENT = `
import net from 'node:net';
const socket = net.connect({ host: process.argv.at(-1), port: 15012 }, () => console.log('connected'));
socket.on('data', (text) => process.stdout.write(text));
socket.on('error', ({ code }) => console.log(code));
`;

for (const family of ['IPv4', 'IPv6'] as const) {
  t.test(
    `a connection that the sidecar made before the rules goes on, over ${family}`,
    { skip: whyNot() ?? false },
    async (t) => {
      const [pod, elsewhere] = ['pod', 'elsewhere'].map((name) => `lateral-${process.pid}-${family}-${name}`);
      const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });
      const ends = [pod, elsewhere].map((name = '', index) => ({ name, address: ADDRESSES[family][index] ?? '' }));
      for (const { name } of ends) {
        ip('netns', 'add', name);
        t.teardown(() => ip('netns', 'del', name));
      }
      ip('link', 'add', 'eth0', 'netns', pod ?? '', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', elsewhere ?? '');
      for (const { name, address } of ends) {
        for (const link of ['lo', 'eth0']) ip('-n', name, 'link', 'set', link, 'up');
        const bits = family === 'IPv4' ? ['24'] : ['64', 'nodad'];
        const [length, ...options] = bits;
        ip('-n', name, 'address', 'add', `${address}/${length}`, 'dev', 'eth0', ...options);
      }
      const start = (name: string, script: string, ...args: string[]) => {
        const node = [process.execPath, '--input-type=module', '-e', script, ...args];
        const child = spawn('ip', ['netns', 'exec', name, ...node], { stdio: ['pipe', 'pipe', 'inherit'] });
        t.teardown(() => child.kill('SIGKILL'));
        const lines = createInterface({ input: child.stdout });
        return {
          say: (text: string) => child.stdin.write(text),
          line: async () => String((await once(lines, 'line'))[0]),
        };
      };
      const server = start(elsewhere ?? '', SERVER);
      t.equal(await server.line(), 'listening');
      const client = start(pod ?? '', CLIENT, ADDRESSES[family][1]);
      t.equal(await client.line(), 'connected');
      const restore = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
      execFileSync('ip', ['netns', 'exec', pod ?? '', restore, '--noflush'], {
        input: redirectionRules(REDIRECTION, family),
      });
      const outcome = Promise.race([client.line(), server.line()]);
      server.say('news\n');
      t.equal(await outcome, 'news', 'though the other side speaks first after them');
    },
  );
}
