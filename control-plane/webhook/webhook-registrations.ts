import { isRecord } from '#policy/schema/schema.ts';
import { type JsonObject, objectAt, objectsAt, textAt } from '../injection/json-object.ts';
import { isConflict, isNotFound } from '../kubernetes/client/api-error.ts';
import type { KubernetesClient } from '../kubernetes/client/kubernetes-client.ts';
import type { WebhookRegistration } from './webhook-options.ts';

const ADMISSION = '/apis/admissionregistration.k8s.io/v1';

type Client = Pick<KubernetesClient, 'request'>;

/** What the chart registers the two webhooks by. */
export function webhookRegistrations(client: Client): WebhookRegistration[] {
  return [
    registration(client, 'MutatingWebhookConfiguration', 'mutatingwebhookconfigurations', 'lateral-injector'),
    registration(client, 'ValidatingWebhookConfiguration', 'validatingwebhookconfigurations', 'lateral-validator'),
  ];
}

function registration(client: Client, kind: string, resource: string, name: string): WebhookRegistration {
  const path = `${ADMISSION}/${resource}/${name}`;
  return {
    name: `${kind} ${name}`,
    read: async () => {
      const found = await readObject(client, path);
      if (found === undefined) return undefined;
      const caBundles = objectsAt(found, 'webhooks').map(
        (one) => textAt(objectAt(one, 'clientConfig'), 'caBundle') ?? '',
      );
      return { caBundles, resourceVersion: versionOf(found) };
    },
    write: (caBundle, resourceVersion) =>
      replace(client, path, resourceVersion, (found) => ({
        ...found,
        webhooks: objectsAt(found, 'webhooks').map((one) => ({
          ...one,
          clientConfig: { ...objectAt(one, 'clientConfig'), caBundle },
        })),
      })),
  };
}

async function readObject(client: Client, path: string): Promise<JsonObject | undefined> {
  try {
    const found = await client.request(path);
    if (!isRecord(found)) throw new Error(`GET ${path}: the answer is no object`);
    return found;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Writes the object back as it is, but for `change`; the API server refuses it if it is of another version by now. */
async function replace(
  client: Client,
  path: string,
  resourceVersion: string,
  change: (found: JsonObject) => JsonObject,
): Promise<'written' | 'conflict'> {
  const found = await readObject(client, path);
  if (found === undefined || versionOf(found) !== resourceVersion) return 'conflict';
  try {
    await client.request(path, { method: 'PUT', body: change(found) });
    return 'written';
  } catch (error) {
    if (isConflict(error)) return 'conflict';
    throw error;
  }
}

function versionOf(object: JsonObject): string {
  return textAt(objectAt(object, 'metadata'), 'resourceVersion') ?? '';
}
