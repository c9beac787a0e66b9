import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import { type JsonObject, objectAt, objectsAt, textAt } from '#control-plane/injection/json-object.ts';
import { textContext } from '#policy/schema/document-context.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { injectionSettings } from './settings.ts';

const FOLDER = join(import.meta.dirname, '../../cases/injection');
/** Set to 1, the wanted outcomes are written anew, to be read before they are committed. */
const isWriting = process.env['LATERAL_WRITE_CASES'] === '1';

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.in.yaml'))) {
  t.test(file.replace('.in.yaml', '').replaceAll('-', ' '), async (t) => {
    const given: unknown = parse(readFileSync(join(FOLDER, file), 'utf8'));
    if (!isRecord(given)) throw new Error(`${file}: expected a mapping`);
    const settings = injectionSettings(objectAt(given, 'injection'), textAt(given, 'kubernetesVersion'));
    const outcome = injectPod(objectAt(given, 'pod'), 'shop', settings);
    const readable =
      outcome.kind === 'injected' ? { ...outcome, pod: withReadableConfiguration(outcome.pod) } : outcome;
    const wantedFile = join(FOLDER, file.replace('.in.yaml', '.out.yaml'));
    if (isWriting) writeFileSync(wantedFile, stringify(readable, { lineWidth: 130, aliasDuplicateObjects: false }));
    t.same(readable, parse(readFileSync(wantedFile, 'utf8')));

    if (outcome.kind !== 'injected') return;
    const reasons: string[] = [];
    const { apiVersion, kind, ...fields } = expanded(configurationOf(outcome.pod));
    sidecarConfigurationSchema.read(fields, [], textContext(reasons, 'LATERAL_CONFIG'));
    t.same(reasons, [], 'the sidecar takes its configuration');
    t.same([apiVersion, kind], ['lateral.dev/v1alpha1', 'SidecarConfig']);
    t.equal(injectPod(outcome.pod, 'shop', settings).kind, 'skipped', 'a second run changes nothing');
  });
}

function sidecarOf(pod: JsonObject): JsonObject {
  const spec = objectAt(pod, 'spec');
  const all = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')];
  return all.find(({ name }) => name === 'lateral-sidecar') ?? {};
}

function configurationOf(pod: JsonObject): string {
  return String(objectsAt(sidecarOf(pod), 'env').find(({ name }) => name === 'LATERAL_CONFIG')?.['value']);
}

/** As Kubernetes expands a variable in the value of a later one (pkg third_party/forked/golang/expansion). */
function expanded(text: string): JsonObject {
  const values: { readonly [name: string]: string } = {
    POD_NAME: 'orders-7d9f-x2x',
    POD_NAMESPACE: 'shop',
    SERVICE_ACCOUNT: 'orders',
    POD_IP: '10.244.0.7',
  };
  return JSON.parse(
    text.replace(/\$(\$|\(([^)]*)\))/g, (all, what: string, name: string) =>
      what === '$' ? '$' : (values[name] ?? all),
    ),
  );
}

/** The configuration as a mapping in place of a line of JSON. */
function withReadableConfiguration(pod: JsonObject): JsonObject {
  const text = configurationOf(pod);
  return JSON.parse(JSON.stringify(pod, (_key, value) => (value === text ? JSON.parse(text) : value)));
}
