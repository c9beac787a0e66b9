import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { end, freePorts, type Running, runLateral, startLateral, startService } from './processes.ts';

export const WORKLOADS = ['client', 'web', 'orders', 'payments'] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export interface Ports {
  readonly app: number;
  readonly inbound: number;
  readonly outbound: number;
  readonly admin: number;
  readonly metrics: number;
}

/** The example mesh: a control plane, three services and a client, each with a sidecar, all on loopback. */
export class Shop {
  readonly directory: string;
  readonly ports: { readonly [name in WorkloadName]: Ports };
  readonly controlPort: number;
  readonly consolePort: number;
  readonly running = new Map<string, Running>();

  constructor(directory: string, ports: Shop['ports'], controlPort: number, consolePort: number) {
    this.directory = directory;
    this.ports = ports;
    this.controlPort = controlPort;
    this.consolePort = consolePort;
  }

  /** Where the policies in force come from; a change is in force in under two seconds. */
  get policies(): string {
    return join(this.directory, 'policies');
  }

  get trustBundle(): string {
    return join(this.directory, 'state', 'ca', 'root-cert.pem');
  }

  /** Lays out folder, ports and configuration files; starts nothing. `otlp`: where traces go. */
  static async prepare(otlp: string): Promise<Shop> {
    const directory = await mkdtemp(join(tmpdir(), 'lateral-demo-'));
    const numbers = await freePorts(WORKLOADS.length * 5 + 2);
    const take = () => numbers.shift() ?? 0;
    const one = (): Ports => ({ app: take(), inbound: take(), outbound: take(), admin: take(), metrics: take() });
    const shop = new Shop(directory, { client: one(), web: one(), orders: one(), payments: one() }, take(), take());
    await cp(fileURLToPath(new URL('./policies', import.meta.url)), shop.policies, { recursive: true });
    await writeFile(join(shop.policies, 'services.yaml'), shop.#services());
    await writeFile(join(directory, 'control-plane.yaml'), shop.#controlPlane());
    for (const name of WORKLOADS) await writeFile(join(directory, `${name}.yaml`), shop.#sidecar(name, otlp));
    await mkdir(join(directory, 'state'));
    return shop;
  }

  /** Starts everything; `onStep` hears what is being done. */
  async start(onStep: (text: string) => void): Promise<void> {
    onStep('control plane: makes its certificate authority, reads the policies');
    await this.startControlPlane();
    onStep('join tokens, one for each workload');
    await Promise.all(WORKLOADS.map((name) => this.makeToken(name)));
    onStep('three services and four sidecars');
    const services = WORKLOADS.filter((name) => name !== 'client').map(async (name) => {
      this.running.set(name, await startService(name, this.ports[name].app, this.ports[name].outbound));
    });
    await Promise.all([...services, ...WORKLOADS.map((name) => this.startSidecar(name))]);
  }

  async startControlPlane(): Promise<void> {
    const config = join(this.directory, 'control-plane.yaml');
    this.running.set('control-plane', await startLateral('control plane', ['control-plane', '--config', config]));
  }

  async startSidecar(name: WorkloadName): Promise<void> {
    const config = join(this.directory, `${name}.yaml`);
    this.running.set(`sidecar-${name}`, await startLateral(`sidecar of ${name}`, ['sidecar', '--config', config]));
  }

  async makeToken(name: WorkloadName): Promise<void> {
    const config = join(this.directory, 'control-plane.yaml');
    const { code, stdout, stderr } = await runLateral([
      'token',
      '--config',
      config,
      '--namespace',
      'shop',
      '--service-account',
      name,
    ]);
    if (code !== 0) throw new Error(`no token for ${name}: ${stderr}`);
    await writeFile(join(this.directory, `${name}.token`), stdout, { mode: 0o600 });
  }

  get(name: string): Running {
    const found = this.running.get(name);
    if (found === undefined) throw new Error(`${name} was not started`);
    return found;
  }

  /** Ends every process; sidecars first, so that nothing talks to what has gone. */
  async stop(): Promise<void> {
    const isSidecar = (name: string) => name.startsWith('sidecar-');
    const names = [...this.running.keys()];
    await Promise.all(names.filter(isSidecar).map((name) => end(this.get(name))));
    await Promise.all(names.filter((name) => !isSidecar(name)).map((name) => end(this.get(name))));
    await rm(this.directory, { recursive: true, force: true });
  }

  #services(): string {
    return WORKLOADS.filter((name) => name !== 'client')
      .map(
        (name) => `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: ${name}, namespace: shop}
spec:
  hosts: [${name}, ${name}.shop, ${name}.shop.svc.cluster.local]
  ports: [{port: 80, protocol: http}]
  endpoints: [{address: 127.0.0.1, port: ${this.ports[name].inbound}, serviceAccount: ${name}, labels: {app: ${name}}}]
`,
      )
      .join('---\n');
  }

  #controlPlane(): string {
    return `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
trustDomain: cluster.local
rootNamespace: lateral-system
listen: {port: ${this.controlPort}}
source: {directory: ./policies}
authority: {directory: ./state/ca}
tokens: {directory: ./state/tokens}
console: {port: ${this.consolePort}}
`;
  }

  #sidecar(name: WorkloadName, otlp: string): string {
    const { app, inbound, outbound, admin, metrics } = this.ports[name];
    const inboundLine = name === 'client' ? '' : `inbound: [{port: ${inbound}, app: "127.0.0.1:${app}"}]\n`;
    return `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}-1, namespace: shop, serviceAccount: ${name}, labels: {app: ${name}}}
trustDomain: cluster.local
stateDirectory: ./state/${name}
controlPlane: {address: "127.0.0.1:${this.controlPort}", trustBundle: state/ca/root-cert.pem, tokenFile: ${name}.token}
${inboundLine}outbound: {port: ${outbound}}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {otlp: "${otlp}", sampleRatio: 1, accessLog: stdout}
`;
  }
}
