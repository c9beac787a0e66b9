import { type JsonObject, objectsAt } from './json-object.ts';
import { OUTBOUND_PORT } from './names.ts';

const LOCAL = ['localhost', '127.0.0.0/8', '127.0.0.1', '::1'];
const NAMES = ['HTTP_PROXY', 'http_proxy'];
const EXCEPTION_NAMES = ['NO_PROXY', 'no_proxy'];

/**
 * Leads an app's HTTP calls to the sidecar by the variables that HTTP libraries read. What the container sets itself stays.
 * HTTPS is left alone: a proxy could only pass it on, unseen.
 */
export function withProxyEnvironment(container: JsonObject, excludedCidrs: readonly string[]): JsonObject {
  const env = objectsAt(container, 'env');
  const isSet = (names: readonly string[]) => env.some(({ name }) => typeof name === 'string' && names.includes(name));
  if (isSet(NAMES)) return container;
  const proxy = NAMES.map((name) => ({ name, value: `http://127.0.0.1:${OUTBOUND_PORT}` }));
  const exceptions = [...LOCAL, ...excludedCidrs].join(',');
  const noProxy = isSet(EXCEPTION_NAMES) ? [] : EXCEPTION_NAMES.map((name) => ({ name, value: exceptions }));
  return { ...container, env: [...env, ...proxy, ...noProxy] };
}
