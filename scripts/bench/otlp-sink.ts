// A program of its own: `node otlp-sink.ts PORT` takes OTLP over gRPC and throws it away.
import { createServer, type ServerHttp2Stream } from 'node:http2';

const EMPTY_MESSAGE = Buffer.alloc(5);

const server = createServer();
server.on('sessionError', () => {}); // a proxy that is being ended
server.on('stream', (stream: ServerHttp2Stream) => {
  stream.on('error', () => {});
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.resume();
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.end(EMPTY_MESSAGE);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
