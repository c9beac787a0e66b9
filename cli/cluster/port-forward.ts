import { Duplex, PassThrough, Writable } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';

/** Longest error that a port-forward tells. */
const MAX_ERROR_LENGTH = 500;

/**
 * A connection to a port on the loopback of a pod, as `kubectl port-forward` makes one: through the API server and the
 * kubelet, with the user's right to create pods/portforward. Rejects with a sentence. It breaks off with one too.
 */
export async function forwardPort(config: KubeConfig, namespace: string, pod: string, port: number): Promise<Duplex> {
  const { PortForward } = await import('#control-plane/kubernetes/client/client-node.ts');
  const toPod = new PassThrough();
  const connection = new Duplex({
    read() {}, // what comes is pushed
    write: (chunk, _encoding, done) => void toPod.write(chunk, done),
    final: (done) => done(), // who asks half-closes nothing: the protocol has no word for it
    destroy: (error, done) => {
      socket?.close();
      done(error);
    },
  });
  const fromPod = new Writable({
    write: (chunk, _encoding, done) => {
      connection.push(chunk);
      done();
    },
  });
  let told = '';
  const errors = new Writable({
    write: (chunk, _encoding, done) => {
      told = `${told}${chunk}`.slice(0, MAX_ERROR_LENGTH);
      done();
    },
  });
  const where = `${namespace}/${pod}:${port}`;
  let socket: { close(): void } | undefined;
  try {
    const opened = await new PortForward(config).portForward(namespace, pod, [port], fromPod, errors, toPod);
    if (typeof opened === 'function') throw new Error('not connected'); // only with retries, of which there are none
    socket = opened;
    opened.onclose = () => {
      if (told === '') connection.push(null);
      else connection.destroy(new Error(`the port-forward to ${where} ended: ${told.trim()}`));
    };
    opened.onerror = ({ message }) => {
      connection.destroy(new Error(`the port-forward to ${where} broke off: ${message}`));
    };
    return connection;
  } catch (error) {
    throw new Error(`no port-forward to ${where}: ${whyNot(error, namespace)}`);
  }
}

/** The library rejects with the event of the WebSocket, which has a message but is no error. */
function whyNot(error: unknown, namespace: string): string {
  const message =
    typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : String(error);
  const [, status] = /Unexpected server response: (\d{3})/.exec(message) ?? [];
  if (status === '403') {
    return `you may not create pods/portforward in namespace ${namespace}; docs/operating.md has a Role that allows it`;
  }
  if (status === '401') return 'the API server does not know you; log in again (kubeconfig)';
  if (status === '404') return 'the pod is gone';
  return message;
}
