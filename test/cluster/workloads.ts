import { get, kubectl, run, until } from './cluster-tools.ts';

/** What a test deploys of its own. */
export interface Workload {
  readonly namespace: string;
  readonly name: string;
  /** Of the app; without it, a client that only waits. */
  readonly script?: string;
  readonly port?: number;
  readonly portName?: string;
  readonly kind?: 'Deployment' | 'StatefulSet';
  readonly annotations?: object;
  readonly pod?: object;
  /** Service accounts of its namespace that may call it; default `client`. */
  readonly callers?: readonly string[];
}

/** ServiceAccount, Service, Deployment (or StatefulSet with a headless Service) of one name, and who may call it. */
export function manifests({
  namespace,
  name,
  script,
  port,
  portName,
  kind = 'Deployment',
  annotations = {},
  pod = {},
  callers = ['client'],
}: Workload): string {
  const labels = { app: name };
  const container = {
    name,
    image: 'localhost/shop:dev',
    imagePullPolicy: 'IfNotPresent',
    args: script === undefined ? ['/shop/client.ts'] : ['--input-type=module', '-e', script],
    ...(port === undefined
      ? {}
      : { ports: [{ containerPort: port }], readinessProbe: { tcpSocket: { port }, periodSeconds: 1 } }),
  };
  const isSet = kind === 'StatefulSet';
  const items = [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    ...(port === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name, namespace },
            spec: { selector: labels, ...(isSet ? { clusterIP: 'None' } : {}), ports: [{ name: portName, port }] },
          },
        ]),
    {
      apiVersion: 'apps/v1',
      kind,
      metadata: { name, namespace },
      spec: {
        selector: { matchLabels: labels },
        ...(isSet ? { serviceName: name, replicas: 2 } : {}),
        template: {
          metadata: { labels, annotations },
          spec: { serviceAccountName: name, terminationGracePeriodSeconds: 5, containers: [container], ...pod },
        },
      },
    },
    {
      apiVersion: 'lateral.dev/v1alpha1',
      kind: 'AuthorizationPolicy',
      metadata: { name, namespace },
      spec: {
        selector: { matchLabels: labels },
        rules: [
          { from: [{ source: { principals: callers.map((name) => `cluster.local/ns/${namespace}/sa/${name}`) } }] },
        ],
      },
    },
  ];
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

export function rolledOut(namespace: string, name: string, kind = 'deploy'): Promise<string> {
  return kubectl('rollout', 'status', '-n', namespace, `${kind}/${name}`, '--timeout=120s');
}

/** Ends the sidecar of a pod; resolves once kubelet has started it again and it is ready. */
export async function restartSidecar(namespace: string, pod: string): Promise<void> {
  // the container's process 1 is the sidecar; only a signal from outside of its namespace could kill it at once
  const exec = ['exec', '-n', namespace, pod, '-c', 'lateral-sidecar', '--', '/lateral/bin/node'];
  await run('kubectl', [...exec, '-e', 'process.kill(1, "SIGTERM")']);
  await until(
    'the sidecar is there again',
    () => get('pod', pod, namespace),
    ({ status }) =>
      status.initContainerStatuses.some(
        (one: { name: string; restartCount: number; ready: boolean }) =>
          one.name === 'lateral-sidecar' && one.restartCount > 0 && one.ready,
      ),
  );
}
