import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';

/** How an API server is reached, and by what a caller is known to it. */
export interface ApiConnection {
  /** `https://HOST:PORT` and a path, if the server is behind one. */
  readonly url: URL;
  /** TLS material and authorization for one request; read anew, since tokens rotate. */
  options(): Promise<RequestOptions>;
  /** The server did not know the caller: what was remembered is to be read anew. */
  forget(): void;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** A projected token is renewed by the kubelet long before it ends; it is read from its file this often. */
const TOKEN_REREAD_MS = 60_000;

/**
 * The connection of a pod by its service account, of anything else by KUBECONFIG (then `~/.kube/config`). Throws with one
 * sentence when neither is there.
 */
export async function openApiConnection(environment: NodeJS.ProcessEnv = process.env): Promise<ApiConnection> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443', KUBECONFIG } = environment;
  if (host !== undefined && KUBECONFIG === undefined) return inClusterConnection(host, port, SERVICE_ACCOUNT);
  return kubeconfigConnection();
}

/** By the files that the kubelet mounts. Without the client library, which alone takes 86 MB. */
export function inClusterConnection(host: string, port: string, directory: string): ApiConnection {
  let remembered: { readonly options: RequestOptions; readonly readAtMs: number } | undefined;
  return {
    url: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    async options() {
      if (remembered !== undefined && Date.now() - remembered.readAtMs < TOKEN_REREAD_MS) return remembered.options;
      const [token, ca] = await Promise.all([
        readFile(`${directory}/token`, 'utf8'),
        readFile(`${directory}/ca.crt`, 'utf8'),
      ]);
      const options = { ca, headers: { authorization: `Bearer ${token.trim()}` } };
      remembered = { options, readAtMs: Date.now() };
      return options;
    },
    forget() {
      remembered = undefined;
    },
  };
}

/** By the user's kubeconfig, with all the ways to log in that the client library knows. */
async function kubeconfigConnection(): Promise<ApiConnection> {
  const { KubeConfig } = await import('./client-node.ts');
  const config = new KubeConfig();
  config.loadFromDefault();
  const cluster = config.getCurrentCluster();
  if (cluster === null || config.getCurrentUser() === null) {
    throw new Error(
      'no Kubernetes API server is known: run in a pod, or let KUBECONFIG name a kubeconfig with a context',
    );
  }
  return {
    url: new URL(cluster.server),
    async options() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      // The library makes an agent a request; ours keeps its connections. A proxy needs the library's own.
      if (cluster.proxyUrl === undefined) delete options.agent;
      return options;
    },
    forget() {},
  };
}

/** The request function of the connection's scheme: plain HTTP is for `kubectl proxy` and tests. */
export function requestOf({ url }: ApiConnection): typeof httpRequest | typeof httpsRequest {
  return url.protocol === 'http:' ? httpRequest : httpsRequest;
}
