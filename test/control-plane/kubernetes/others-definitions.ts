import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { isRecord } from '#policy/schema/schema.ts';
import type { ApiServer } from '../../support/api-server.ts';
import { goModuleFolder } from '../../support/go-module.ts';
import { eventually } from '../control-plane-fixture.ts';

const SERVED_WITHIN_MS = 30_000;

type Definition = { readonly [field: string]: unknown };

/** The very definitions of Istio's security kinds and of the Gateway API's routes; undefined without a `go` to fetch them. */
export async function othersDefinitions(): Promise<readonly Definition[] | undefined> {
  const istio = await goModuleFolder('istio-api', 'istio.io/api');
  const gatewayApi = await goModuleFolder('gateway-api', 'sigs.k8s.io/gateway-api');
  if (istio === undefined || gatewayApi === undefined) return undefined;
  const routes = ['httproutes', 'grpcroutes'].map((plural) =>
    join(gatewayApi, 'config/crd/standard', `gateway.networking.k8s.io_${plural}.yaml`),
  );
  const files = [join(istio, 'kubernetes/customresourcedefinitions.gen.yaml'), ...routes];
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return texts.flatMap((text) => parseAllDocuments(text).map((document): unknown => document.toJS())).filter(isRecord);
}

/** Creates the definitions of these names, PLURAL.GROUP each; resolves once their kinds are served in v1. */
export async function serve(
  api: ApiServer,
  definitions: readonly Definition[],
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const definition = definitions.find(({ metadata }) => isRecord(metadata) && metadata.name === name);
    if (definition === undefined) throw new Error(`no definition of ${name}`);
    await api.create(definition);
  }
  for (const name of names) {
    const [plural, ...group] = name.split('.');
    const list = () => api.client.request(`/apis/${group.join('.')}/v1/${plural}`);
    const isServed = () =>
      list().then(
        () => true,
        () => false,
      );
    await eventually(`${name} is served`, isServed, SERVED_WITHIN_MS);
  }
}
