import t from 'tap';
import { HELP, readOptions, UsageError } from '../../../scripts/bench/options.ts';

t.test('measures everything of everybody by default', async (t) => {
  t.match(readOptions([]), {
    only: ['direct', 'nginx', 'envoy', 'lateral'],
    what: ['http', 'grpc', 'bodies', 'rate', 'handshakes', 'idle', 'validation'],
    connections: [1, 32, 128, 1000],
    rounds: 3,
    seconds: 4,
    idle: 2000,
  });
});

t.test('reads lists, in the order in which things are measured', async (t) => {
  const options = readOptions(['--only', 'lateral,envoy', '--what=rate,http', '--connections', '8', '--rounds', '5']);
  t.match(options, { only: ['envoy', 'lateral'], what: ['http', 'rate'], connections: [8], rounds: 5 });
});

t.test('has nothing to run where help is asked for', async (t) => {
  t.equal(readOptions(['--help']), undefined);
});

t.test('names what would be right when an option is wrong', async (t) => {
  const wrong: readonly [readonly string[], RegExp][] = [
    [['--what', 'http,tcp'], /--what takes http, .*; not tcp/],
    [['--only', ''], /--only takes direct, nginx, envoy, lateral/],
    [['--seconds', '0'], /--seconds takes whole numbers from 1 to 60; not 0/],
    [['--connections', '1,two'], /--connections takes .*; not two/],
    [['--idle', '20000'], /--idle takes whole numbers from 1 to 10000; not 20000/],
    [['--fast'], /--fast/],
  ];
  for (const [args, message] of wrong) {
    let thrown: unknown;
    try {
      readOptions(args);
    } catch (error) {
      thrown = error;
    }
    t.ok(thrown instanceof UsageError && message.test(thrown.message), `${args.join(' ')}: ${thrown}`);
  }
});

t.test('explains every option it takes', async (t) => {
  for (const option of ['only', 'what', 'connections', 'rounds', 'seconds', 'idle', 'json', 'help']) {
    t.match(HELP, `--${option}`);
  }
});
