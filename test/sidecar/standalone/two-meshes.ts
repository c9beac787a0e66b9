import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { runSidecar } from '#sidecar/run-sidecar.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';

/** A sidecar of a mesh of its own, configured by files. */
export class StandaloneMesh {
  readonly trustDomain: string;
  readonly directory: string;
  readonly name: string;
  authority: TestAuthority;
  #metrics = 0;

  constructor(directory: string, trustDomain: string, name: string) {
    this.directory = join(directory, name);
    this.trustDomain = trustDomain;
    this.name = name;
    this.authority = new TestAuthority(trustDomain);
  }

  get spiffeId(): string {
    return `spiffe://${this.trustDomain}/ns/test/sa/${this.name}`;
  }

  /** Writes a file as a whole. */
  async write(file: string, text: string): Promise<void> {
    await mkdir(join(this.directory, 'policies'), { recursive: true });
    await writeFile(join(this.directory, `${file}.new`), text, { mode: 0o600 });
    await rename(join(this.directory, `${file}.new`), join(this.directory, file));
  }

  /** A certificate of the authority as it is now, and the roots. */
  async renew(rootsPem = this.authority.rootPem): Promise<void> {
    const { cert, key } = this.authority.leaf(this.spiffeId);
    await this.write('ca.pem', rootsPem);
    await this.write('leaf.key', key);
    await this.write('leaf.pem', cert);
  }

  /** Starts the sidecar; it believes what `partner.bundle` says of `partner`. */
  async start(t: Test, partner: string, traffic: string): Promise<void> {
    const [admin, metrics = 0] = await freePorts(2);
    this.#metrics = metrics;
    const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${this.name}-1, namespace: test, serviceAccount: ${this.name}, labels: {app: ${this.name}}}
trustDomain: ${this.trustDomain}
standalone:
  policies: ./policies
  certificate: leaf.pem
  privateKey: leaf.key
  trustBundle: ca.pem
  federation: [{trustDomain: ${partner}, bundle: partner.bundle}]
${traffic}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: access.log}
`;
    const file = { path: `${this.name}.yaml`, text };
    const { value, problems } = readConfiguration(file, 'SidecarConfig', sidecarConfigurationSchema);
    if (value === undefined) throw new Error(JSON.stringify(problems));
    const running = await runSidecar(value, this.directory, () => {});
    t.teardown(() => running.stop());
  }

  /** Its metrics whose line begins so and has this in it. */
  async series(name: string, part: string): Promise<readonly string[]> {
    const text = await (await fetch(`http://127.0.0.1:${this.#metrics}/metrics`)).text();
    return text.split('\n').filter((line) => line.startsWith(name) && line.includes(part));
  }
}
