// A program of its own: `node pages-app.ts PORT` answers /1k and /64k, where nginx is not installed.
import { createServer } from 'node:http';
import { PAGES } from './pages.ts';

const bodies = new Map(Object.entries(PAGES).map(([name, bytes]) => [`/${name}`, Buffer.alloc(bytes, 'x')]));

createServer((request, response) => {
  const body = bodies.get(request.url ?? '');
  response.writeHead(body === undefined ? 404 : 200, { 'content-length': body?.length ?? 0 }).end(body);
}).listen(Number(process.argv[2]), '127.0.0.1');
