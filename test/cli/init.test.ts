import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { whyNot as whyNotNamespaces } from '../sidecar/interception/pods.ts';

const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));

function init(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [lateral, 'init', ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

t.test('--dry-run prints what iptables-restore would be given, for both families', (t) => {
  const { status, stdout } = init('--dry-run', '--exclude-inbound-ports', '9000, 9001', '--proxy-uid', '1400');
  t.equal(status, 0);
  const [ipv4 = '', ipv6 = ''] = stdout.split(/^# ip6?tables-restore --noflush\n/m).slice(1);
  for (const rules of [ipv4, ipv6]) {
    t.match(rules, /^\*nat\n[\s\S]*--dport 9000 -j RETURN\n[\s\S]*--dport 9001 -j RETURN\n[\s\S]*\nCOMMIT\n$/);
    t.match(rules, /--uid-owner 1400/);
  }
  t.end();
});

t.test('wrong usage is said in one line, exit 2', (t) => {
  const wrong = [
    ['--inbound-port', '0'],
    ['--outbound-port', '70000'],
    ['--proxy-uid', 'lateral'],
    ['--proxy-uid', '0'],
    ['--exclude-inbound-ports', '80,x'],
    ['--exclude-outbound-cidrs', '10.0.0.0/33'],
    ['--exclude-outbound-cidrs', 'example.com/8'],
    ['--inbound-port', '15001'],
    ['--nonsense'],
  ];
  for (const args of wrong) {
    t.match(init(...args), { status: 2, stderr: /^lateral init: [^\n]+\n$/ }, args.join(' '));
  }
  t.end();
});

t.test('without iptables it says what to do', (t) => {
  const { status, stderr } = spawnSync(process.execPath, [lateral, 'init'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: '/nonexistent' },
  });
  t.equal(status, 1);
  t.match(
    stderr,
    /^lateral init: cannot run iptables-save \(.*ENOENT\); install it in this image, or set the annotation /,
  );
  t.end();
});

const namespaces = whyNotNamespaces();

t.test('without the capability it says what to do', { skip: namespaces ?? false }, (t) => {
  const namespace = `lateral-${process.pid}-init`;
  execFileSync('ip', ['netns', 'add', namespace]);
  t.teardown(() => execFileSync('ip', ['netns', 'del', namespace]));
  const unprivileged = ['setpriv', '--bounding-set=-all', process.execPath, lateral, 'init'];
  const { status, stderr } = spawnSync('ip', ['netns', 'exec', namespace, ...unprivileged], { encoding: 'utf8' });
  t.equal(status, 1);
  t.match(
    stderr,
    /^lateral init: iptables-\w+ failed: .*capability NET_ADMIN, or set the annotation lateral\.dev\/interception: none[^\n]*\n$/,
  );
  t.end();
});
