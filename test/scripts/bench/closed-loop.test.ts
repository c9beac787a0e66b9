import { createServer } from 'node:http';
import t from 'tap';
import { closedLoop, readWrk } from '../../../scripts/bench/closed-loop.ts';
import { PAGES } from '../../../scripts/bench/pages.ts';
import { Processes } from '../../../scripts/bench/processes.ts';
import { listen, portOf } from '../../support/free-ports.ts';

const OUTPUT = `Running 3s test @ http://127.0.0.1:39100/
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21s     5.54ms   1.21s    50.00%
  Latency Distribution
     50%  655.00us
     75%    1.21ms
     90%    1.21s 
     99%    1.25s 
  8 requests in 3.01s, 0.96KB read
  Socket errors: connect 1, read 2, write 0, timeout 4
  Non-2xx or 3xx responses: 3
Requests/sec:      2.66
Transfer/sec:     326.68B
`;

t.test('reads what wrk prints, and counts every kind of error', async (t) => {
  t.strictSame(readWrk(OUTPUT), { requests: 8, perSecond: 2.66, p50Ms: 0.655, p99Ms: 1250, errors: 10 });
});

t.test('asks again and again on each connection, with wrk or without', async (t) => {
  const processes = new Processes(t.testdir());
  let connections = 0;
  let requests = 0;
  const server = await listen(
    createServer((_request, response) => {
      requests++;
      response.end(Buffer.alloc(PAGES['64k']));
    }),
  );
  server.on('connection', () => connections++);
  t.teardown(() => server.close());
  const path = process.env['PATH'];
  for (const folders of [path, '']) {
    connections = 0;
    requests = 0;
    process.env['PATH'] = folders;
    const figures = await closedLoop(processes, portOf(server), '/64k', 4, 1);
    process.env['PATH'] = path;
    t.equal(figures['errors'], 0);
    t.ok(connections >= 4 && connections <= 6, `${connections} connections`);
    const answered = figures['requests'] ?? 0;
    t.ok(answered > 8 && answered <= requests, `${answered} answers of ${requests}`);
    t.ok((figures['p50Ms'] ?? 0) > 0 && (figures['p99Ms'] ?? 0) >= (figures['p50Ms'] ?? 0));
  }
});

t.test('fails where nothing answers', async (t) => {
  const processes = new Processes(t.testdir());
  const server = await listen(createServer());
  const port = portOf(server);
  await new Promise((resolve) => server.close(resolve));
  await t.rejects(closedLoop(processes, port, '/1k', 2, 1));
});
