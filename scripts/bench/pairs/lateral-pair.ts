import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../../test/support/free-ports.ts';
import { type Ground, METHODS, type Pair, RULES, ruledPath } from './pair.ts';

const lateral = fileURLToPath(new URL('../../../bin/lateral.mjs', import.meta.url));

/** Two standalone sidecars: ten rules, an access log to a file, 1% of the traces to the sink. */
export async function lateralPair(ground: Ground): Promise<Pair> {
  const { directory, appPort, protocol, processes } = ground;
  const [port = 0, inboundPort = 0, a = 0, b = 0, c = 0, d = 0] = await freePorts(6);
  await mkdir(join(directory, 'policies'));
  await writeFile(join(directory, 'policies', 'mesh.yaml'), meshOf(port, inboundPort, protocol));
  const run = async (name: string, traffic: string, listener: number, admin: number, metrics: number) => {
    const path = join(directory, `lateral-${name}.yaml`);
    await writeFile(path, configurationOf(ground, name, traffic, admin, metrics));
    return await processes.serve(process.execPath, [lateral, 'sidecar', '--config', path], listener);
  };
  const inbound = `inbound: [{port: ${inboundPort}, app: "127.0.0.1:${appPort}", protocol: ${protocol}}]`;
  const server = await run('server', inbound, inboundPort, a, b);
  const client = await run('client', `outbound: {port: ${port}}`, port, c, d);
  return { name: 'lateral', port, inboundPort, client, server };
}

function meshOf(port: number, inboundPort: number, protocol: string): string {
  const rules = Array.from(
    { length: RULES },
    (_, index) => `    - from: [{source: {principals: [cluster.local/ns/bench/sa/client]}}]
      to: [{operation: {methods: [${METHODS.join(', ')}], paths: ["${ruledPath(index)}*"]}}]
`,
  );
  return `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: server, namespace: bench}
spec:
  hosts: ["127.0.0.1:${port}"]
  ports: [{port: ${port}, protocol: ${protocol}}]
  endpoints: [{address: 127.0.0.1, port: ${inboundPort}, serviceAccount: server}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ten-rules, namespace: bench}
spec:
  selector: {matchLabels: {app: server}}
  rules:
${rules.join('')}`;
}

function configurationOf(ground: Ground, name: string, traffic: string, admin: number, metrics: number): string {
  const file = (suffix: string) => JSON.stringify(join(ground.certificates, suffix));
  return `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}, namespace: bench, serviceAccount: ${name}, labels: {app: ${name}}}
standalone:
  policies: policies
  certificate: ${file(`${name}.pem`)}
  privateKey: ${file(`${name}.key`)}
  trustBundle: ${file('ca.pem')}
${traffic}
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {otlp: "http://127.0.0.1:${ground.sinkPort}", sampleRatio: 0.01, accessLog: lateral-${name}.log}
`;
}
