// Run after each change of dependencies (`node scripts/complete-lock.mjs`): npm leaves platform packages
// that it could not find or did not need out of the lock file, and `npm ci` then refuses the file. This
// adds them by name, version, system and processor; npm fetches them only on such a system.
import { readFileSync, writeFileSync } from 'node:fs';

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8'));
const systems = ['android', 'darwin', 'linux', 'win32', 'freebsd', 'netbsd', 'openbsd', 'sunos', 'aix', 'openharmony'];
const processors = {
  arm64: 'arm64',
  x64: 'x64',
  armv7: 'arm',
  arm: 'arm',
  ia32: 'ia32',
  loong64: 'loong64',
  mips64el: 'mips64el',
  ppc64: 'ppc64',
  riscv64: 'riscv64',
  s390x: 's390x',
};

for (const [place, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const at = `node_modules/${name}`;
    if (place === '' || lock.packages[at] !== undefined || lock.packages[`${place}/${at}`] !== undefined) continue;
    const parts = name.split('/').at(-1).split('-');
    const os = systems.find((system) => parts.includes(system));
    const cpu = Object.keys(processors).find((processor) => parts.includes(processor));
    if (os === undefined || cpu === undefined) continue;
    const libc = os === 'linux' && parts.includes('musl') ? { libc: ['musl'] } : {};
    lock.packages[at] = {
      version,
      cpu: [processors[cpu]],
      ...(entry.dev ? { dev: true } : {}),
      ...libc,
      optional: true,
      os: [os],
    };
    process.stdout.write(`added ${name}@${version}\n`);
  }
}
const root = lock.packages[''];
const rest = Object.entries(lock.packages)
  .filter(([place]) => place !== '')
  .sort(([left], [right]) => (left < right ? -1 : 1));
lock.packages = { '': root, ...Object.fromEntries(rest) };
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
