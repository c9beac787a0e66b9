import type { DebianPackage } from './fetch-debian-packages.ts';
import { runProgram } from './run-program.ts';

/** What npm marks the packages with that are for developers only. */
const DEVELOPMENT = 'cdx:npm:package:development';

interface Component {
  readonly 'bom-ref': string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
  readonly [field: string]: unknown;
}

interface Bill {
  serialNumber?: string;
  metadata: { timestamp: string; component: { name: string; type: string } };
  components: Component[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

/** The bill of materials (CycloneDX 1.5, JSON): what npm installs for the program, Node among it, and Debian's packages. */
export function softwareBill(source: string, packages: readonly DebianPackage[], release: string, time: Date): string {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  // by the lock: what stands in node_modules differs with how it was installed
  const text = runProgram(npm, ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], {
    cwd: source,
  }).toString();
  const bill: Bill = JSON.parse(text);
  leaveOutDevelopment(bill);
  // what differs from build to build is left out, so that equal images have equal bills
  delete bill.serialNumber;
  bill.metadata.timestamp = time.toISOString();
  Object.assign(bill.metadata.component, { name: 'lateral', type: 'application' });
  for (const { name, version, architecture, sha256 } of packages) {
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${release}`;
    bill.components.push({
      'bom-ref': purl,
      type: 'library',
      name,
      version,
      scope: 'required',
      purl,
      hashes: [{ alg: 'SHA-256', content: sha256 }],
    });
    bill.dependencies.push({ ref: purl, dependsOn: [] });
  }
  return `${JSON.stringify(bill, null, 2)}\n`;
}

/** In place of `--omit dev`, by which npm 11 leaves out what program and tools both use (yaml, lru-cache). */
function leaveOutDevelopment(bill: Bill): void {
  const isShipped = ({ properties = [] }: Component) => !properties.some(({ name }) => name === DEVELOPMENT);
  bill.components = bill.components.filter(isShipped);
  const refs = new Set(bill.components.map((component) => component['bom-ref']));
  const own = bill.dependencies.filter(({ ref }) => !ref.startsWith('lateral@'));
  const root = bill.dependencies.filter(({ ref }) => ref.startsWith('lateral@'));
  bill.dependencies = [...root, ...own.filter(({ ref }) => refs.has(ref))].map(({ ref, dependsOn }) => ({
    ref,
    dependsOn: dependsOn.filter((needed) => refs.has(needed)),
  }));
}
