import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { runSidecar } from '#sidecar/run-sidecar.ts';
import { freePorts } from './free-ports.ts';
import { type InboundSidecar, until } from './inbound-sidecar.ts';
import type { LogLine } from './sidecar-pair.ts';

export interface Beside {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly port: number;
  readonly appPort: number;
  readonly protocol: 'http' | 'grpc' | 'tcp';
  readonly policies: string;
}

/** Another sidecar of the same authority, before an app of its own. `log`: its access log, once `count` lines are there. */
export async function startSidecarBeside(t: Test, { authority, directory: other }: InboundSidecar, beside: Beside) {
  const { namespace, serviceAccount, port, appPort, protocol, policies } = beside;
  const [admin = 0, metrics = 0] = await freePorts(2);
  const directory = join(other, serviceAccount);
  await mkdir(join(directory, 'policies'), { recursive: true });
  await writeFile(join(directory, 'policies', 'policies.yaml'), policies);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const leaf = authority.leaf(`spiffe://cluster.local/ns/${namespace}/sa/${serviceAccount}`);
  await writeFile(join(directory, 'own.pem'), leaf.cert);
  await writeFile(join(directory, 'own.key'), leaf.key, { mode: 0o600 });
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${serviceAccount}-1, namespace: ${namespace}, serviceAccount: ${serviceAccount}, labels: {}}
standalone: {policies: ./policies, certificate: own.pem, privateKey: own.key, trustBundle: ca.pem}
inbound: [{port: ${port}, app: "127.0.0.1:${appPort}", protocol: ${protocol}}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: own.log}
`;
  const { value, problems } = readConfiguration({ path: 'a.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
  if (value === undefined) throw new Error(JSON.stringify(problems));
  const running = await runSidecar(value, directory, () => {});
  t.teardown(() => running.stop());
  return {
    async log(count: number): Promise<LogLine[]> {
      const lines = async () => (await readFile(join(directory, 'own.log'), 'utf8')).split('\n').filter(Boolean);
      await until(async () => (await lines()).length >= count);
      return (await lines()).map((line) => JSON.parse(line));
    },
  };
}
