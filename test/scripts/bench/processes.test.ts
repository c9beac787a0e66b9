import { connect } from 'node:net';
import t from 'tap';
import { Processes } from '../../../scripts/bench/processes.ts';
import { freePorts } from '../../support/free-ports.ts';

const SERVE = "require('node:net').createServer().listen(Number(process.argv[1]), '127.0.0.1')";

t.test('ends what it started, and lets nothing start after a stop for good', async (t) => {
  const processes = new Processes(t.testdir());
  const [port = 0] = await freePorts(1);
  const child = await processes.serve(process.execPath, ['-e', SERVE, String(port)], port);
  t.strictSame(processes.all, [child]);
  await processes.stopForGood();
  t.equal(child.signalCode, 'SIGTERM');
  t.strictSame(processes.all, []);
  const refused = await new Promise((resolve) => {
    connect(port, '127.0.0.1')
      .once('error', () => resolve(true))
      .once('connect', () => resolve(false));
  });
  t.ok(refused);
  await t.rejects(processes.run(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']), /SIGKILL/);
});

t.test('says a failed program’s last words', async (t) => {
  const processes = new Processes(t.testdir());
  const [port = 0] = await freePorts(1);
  const failing = ['-e', "console.error('line 3: no such thing'); process.exit(7)"];
  await t.rejects(processes.serve(process.execPath, failing, port), /ended at its start: .*line 3: no such thing/);
  await t.rejects(processes.run(process.execPath, failing), /ended with 7: .*line 3: no such thing/);
  t.match(await processes.words(process.execPath, failing), 'line 3: no such thing');
  await t.rejects(processes.run('/no/such/program', []), /ENOENT/);
  t.strictSame(processes.all, []);
});
