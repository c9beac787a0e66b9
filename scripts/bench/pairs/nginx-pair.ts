import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../../../test/support/free-ports.ts';
import type { Ground, Pair } from './pair.ts';

const LOG_FORMAT = `log_format json escape=json '{"t":"$time_iso8601","m":"$request_method","p":"$request_uri","s":$status,"b":$body_bytes_sent,"d":$request_time}';`;

/** nginx with mutual TLS and an access log; it checks no policy and traces nothing. HTTP/1.1 between the two, or HTTP/2 for gRPC. */
export async function nginxPair(ground: Ground, program: string): Promise<Pair> {
  const { directory, certificates, appPort, processes } = ground;
  const [port = 0, inboundPort = 0] = await freePorts(2);
  const http2 = ground.protocol === 'grpc' ? 'http2' : '';
  const serverTls = `ssl_certificate ${certificates}/server.pem; ssl_certificate_key ${certificates}/server.key;
    ssl_client_certificate ${certificates}/ca.pem; ssl_verify_client on; ssl_protocols TLSv1.3;`;
  const run = async (name: string, upstream: number, listener: number, listen: string, location: string) => {
    const path = join(directory, `${name}.conf`);
    const rest = `${LOG_FORMAT} access_log ${directory}/${name}.log json buffer=64k;
  upstream next { server 127.0.0.1:${upstream}; keepalive 1024; keepalive_requests 100000000; }
  server { ${listen} location / { ${location} } }`;
    await writeFile(path, nginxFrame(directory, name, rest));
    return await processes.serve(program, ['-c', path], listener);
  };
  const server = await run(
    'nginx-in',
    appPort,
    inboundPort,
    `listen 127.0.0.1:${inboundPort} ssl ${http2}; ${serverTls}`,
    passOn(ground, false),
  );
  const client = await run('nginx-out', inboundPort, port, `listen 127.0.0.1:${port} ${http2};`, passOn(ground, true));
  return { name: 'nginx', port, inboundPort, client, server };
}

function passOn({ protocol, certificates }: Ground, isSecure: boolean): string {
  const module = protocol === 'grpc' ? 'grpc' : 'proxy';
  const scheme = `${protocol}${isSecure ? 's' : ''}`;
  const identity = `${module}_ssl_certificate ${certificates}/client.pem; ${module}_ssl_certificate_key ${certificates}/client.key;
    ${module}_ssl_protocols TLSv1.3;`;
  // bodies are passed on as they come, as a sidecar does
  const http = `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_request_buffering off; proxy_max_temp_file_size 0;`;
  return `${module}_pass ${scheme}://next; ${isSecure ? identity : ''} ${module === 'proxy' ? http : ''}`;
}

/** One worker, connections without end, everything it writes within `directory`. */
export function nginxFrame(directory: string, name: string, http: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${directory}/${name}-${kind};`)
    .join(' ');
  // the folder is ours alone: a worker of another user could not read it
  const user = process.getuid?.() === 0 ? 'user root; ' : '';
  return `${user}worker_processes 1; worker_rlimit_nofile 65536; daemon off;
pid ${directory}/${name}.pid; error_log ${directory}/${name}.err;
events { worker_connections 16384; }
http { ${temporary}
  keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0;
  ${http}
}
`;
}
