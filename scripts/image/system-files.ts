import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DEBIAN_RELEASE } from './debian-packages.ts';

/** The user of sidecars and control plane; redirection leaves its traffic alone. */
export const LATERAL_UID = 1337;

const FILES: { readonly [path: string]: string } = {
  'etc/passwd': `root:x:0:0:root:/:/usr/sbin/nologin
lateral:x:${LATERAL_UID}:${LATERAL_UID}:Lateral:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  'etc/group': `root:x:0:\nlateral:x:${LATERAL_UID}:\nnogroup:x:65534:\n`,
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n',
  'etc/os-release': `PRETTY_NAME="Lateral (of Debian packages)"
NAME="Debian GNU/Linux"
ID=debian
VERSION_ID="12"
VERSION_CODENAME=${DEBIAN_RELEASE}
`,
};
/** Where a container runtime mounts something, or programs expect a folder. */
const FOLDERS = ['dev', 'proc', 'sys', 'run', 'var'];

/** The few files that a system without a distribution's base needs. */
export function writeSystemFiles(root: string): void {
  for (const folder of FOLDERS) mkdirSync(join(root, folder), { recursive: true });
  mkdirSync(join(root, 'tmp'));
  chmodSync(join(root, 'tmp'), 0o1777);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}
