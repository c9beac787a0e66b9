import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { WebSocketServer } from 'ws';

// A program: the app of a pod. `pod-app.ts CERTIFICATE KEY`. It says which port was called and what it saw of the caller.

const [, , certificate = '', key = ''] = process.argv;

function answer(port: number): http.RequestListener {
  return (request, response) => {
    const { headers, socket } = request;
    const seen = {
      port,
      path: request.url,
      from: socket.remoteAddress,
      xfcc: headers['x-forwarded-client-cert'] ?? null,
    };
    response.end(JSON.stringify(seen));
  };
}

/** A gRPC call, as far as anybody between looks into it. */
function answerCall(request: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void {
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/grpc' });
    response.addTrailers({ 'grpc-status': '0' });
    response.end(`${request.httpVersion} ${request.headers['x-forwarded-client-cert'] ?? null}`);
  });
}

/** Speaks first, then says again what it hears, and ends when its caller does. */
function greet(socket: net.Socket): void {
  socket.on('error', () => {});
  socket.write(`hello ${socket.remoteAddress}\n`);
  socket.on('data', (bytes) => socket.write(`echo ${bytes}`));
  socket.on('end', () => socket.end());
}

const web = http.createServer(answer(8080)).listen(8080, '::');
new WebSocketServer({ server: web, path: '/ws' }).on('connection', (socket) => {
  socket.on('message', (data) => socket.send(`echo ${data}`));
});
for (const port of [7004, 7005, 7777]) http.createServer(answer(port)).listen(port, '::');
for (const port of [7006, 9090]) http2.createServer(answerCall).listen(port, '::');
for (const port of [5432, 6000, 6001, 7001, 7002, 7003])
  net.createServer({ allowHalfOpen: true }, greet).listen(port, '::');
tls.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, greet).listen(8443, '::', () => {
  process.stdout.write('ready\n');
});
