import { createServer } from 'node:http';
import { status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { MAX_REVIEWS, MAX_WAITING_REVIEWS } from '#control-plane/kubernetes/identity/review-turns.ts';
import {
  createTokenReview,
  FREE_REVIEWS_OF_POD,
  PROOF_KEPT_MS,
  REFUSAL_KEPT_MS,
  TOKENS_OF_ADDRESS,
} from '#control-plane/kubernetes/identity/token-review.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { eventually } from '../control-plane-fixture.ts';

const AUDIENCE = 'lateral-control-plane';

/** As a projected token looks; what it is worth, the server of the test decides by its name. */
function token(name: string, audience: unknown = [AUDIENCE]): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part({ aud: audience, sub: name })}.c2lnbmF0dXJl`;
}

function nameOf(text: string): string {
  return JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString()).sub;
}

/** Tokens named `good…` are of a pod, those named `good…#…` of one pod; none is answered while `isHolding`. */
async function reviewing(t: Test) {
  const api = { reviews: 0, underWay: 0, most: 0, isHolding: false, status: 201 };
  const held: (() => void)[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { spec } = JSON.parse(Buffer.concat(chunks).toString());
    api.reviews += 1;
    api.underWay += 1;
    api.most = Math.max(api.most, api.underWay);
    if (api.isHolding) await new Promise<void>((resolve) => held.push(resolve));
    api.underWay -= 1;
    const extra = {
      'authentication.kubernetes.io/pod-name': ['orders-1'],
      'authentication.kubernetes.io/pod-uid': [nameOf(spec.token).split('#')[0]],
    };
    const user = { username: 'system:serviceaccount:shop:orders', extra };
    const isGood = nameOf(spec.token).startsWith('good');
    response.writeHead(api.status, { 'content-type': 'application/json' });
    const proven = { authenticated: true, audiences: spec.audiences, user };
    response.end(JSON.stringify({ status: isGood ? proven : { authenticated: false, error: 'token has expired' } }));
  });
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = new URL(`http://127.0.0.1:${portOf(server)}`);
  let nowMs = 1_000_000;
  const review = createTokenReview(
    new KubernetesClient({ url, options: async () => ({}), forget: () => {} }),
    () => nowMs,
  );
  const release = () => {
    api.isHolding = false;
    for (const resolve of held.splice(0)) resolve();
  };
  return { api, review, release, pass: (ms: number) => (nowMs += ms) };
}

t.test('a flood of different bad tokens of one address is no flood of reviews, and others are served', async (t) => {
  const { api, review, pass } = await reviewing(t);
  const answers = await Promise.allSettled(
    Array.from({ length: 1_000 }, (_, index) => review(token(`bad-${index}`), '10.0.0.66')),
  );
  const codes = Map.groupBy(answers, (answer) => (answer.status === 'rejected' ? answer.reason.code : 'taken'));
  t.equal(codes.get(status.UNAUTHENTICATED)?.length, TOKENS_OF_ADDRESS.burst);
  t.equal(codes.get(status.RESOURCE_EXHAUSTED)?.length, 1_000 - TOKENS_OF_ADDRESS.burst);
  t.equal(api.reviews, TOKENS_OF_ADDRESS.burst);
  t.ok(api.most <= MAX_REVIEWS, `${api.most} at a time`);
  t.match(await review(token('good'), '10.0.0.1'), { podName: 'orders-1' });
  await t.rejects(review(token('good-2'), '10.0.0.66'), { code: status.RESOURCE_EXHAUSTED, message: /10\.0\.0\.66/ });
  pass(TOKENS_OF_ADDRESS.intervalMs);
  t.match(await review(token('good-2'), '10.0.0.66'), { serviceAccount: 'orders' }, 'after a while it may try again');
});

t.test('good tokens of different pods cost their address nothing: it may be that of a gateway', async (t) => {
  const { api, review } = await reviewing(t);
  for (let round = 0; round < 2 * TOKENS_OF_ADDRESS.burst; round += 1) await review(token(`good-${round}`), '10.0.0.1');
  t.equal(api.reviews, 2 * TOKENS_OF_ADDRESS.burst);
});

t.test('a pod that makes itself good tokens without end is no flood of reviews', async (t) => {
  const { api, review, pass } = await reviewing(t);
  const most = FREE_REVIEWS_OF_POD.burst + TOKENS_OF_ADDRESS.burst;
  for (let round = 0; round < most; round += 1) await review(token(`good#${round}`), '10.0.0.66');
  await t.rejects(review(token('good#more'), '10.0.0.66'), { code: status.RESOURCE_EXHAUSTED });
  t.match(await review(token('good-2'), '10.0.0.1'), { podUid: 'good-2' }, 'others are served');
  t.equal(api.reviews, most + 1);
  pass(TOKENS_OF_ADDRESS.intervalMs);
  t.match(await review(token('good#more'), '10.0.0.66'), { podUid: 'good' });
});

t.test('a good token is asked about once in a short time, however often it is presented', async (t) => {
  const { api, review, pass } = await reviewing(t);
  const flood = Array.from({ length: 1_000 }, () => review(token('good'), '10.0.0.66'));
  const answers = await Promise.all(flood);
  t.ok(answers.every(({ podUid }) => podUid === 'good'));
  pass(PROOF_KEPT_MS - 1);
  await review(token('good'), '10.0.0.66');
  t.equal(api.reviews, 1);
  pass(2);
  await review(token('good'), '10.0.0.66');
  t.equal(api.reviews, 2, 'its pod may be gone since');
});

t.test('a token that was refused just now is not asked about again, whoever presents it', async (t) => {
  const { api, review, pass } = await reviewing(t);
  for (let round = 0; round < 100; round += 1) {
    await t.rejects(review(token('bad'), `10.0.0.${round}`), { message: /token has expired/ });
  }
  t.equal(api.reviews, 1);
  pass(REFUSAL_KEPT_MS + 1);
  await t.rejects(review(token('bad'), '10.0.0.1'), { code: status.UNAUTHENTICATED });
  t.equal(api.reviews, 2);
});

t.test('what cannot be a token for the control plane is not asked about', async (t) => {
  const { api, review } = await reviewing(t);
  for (const [text, reason] of [
    ['rubbish', /not one of a service account/],
    ['a.b.c', /not one of a service account/],
    [`e30.${Buffer.from('[1]').toString('base64url')}.x`, /audience|service account/],
    [token('good', ['somebody-else']), /not for the audience/],
    [token('good', null), /not for the audience/],
  ] as const) {
    await t.rejects(review(text, '10.0.0.1'), { code: status.UNAUTHENTICATED, message: reason });
  }
  t.equal(api.reviews, 0);
  t.match(await review(token('good', AUDIENCE), '10.0.0.1'), { podUid: 'good' }, 'one audience may stand alone');
});

t.test('an API server that fails is no fault of the token', async (t) => {
  const { api, review } = await reviewing(t);
  api.status = 503;
  for (let round = 0; round < TOKENS_OF_ADDRESS.burst + 1; round += 1) {
    await t.rejects(review(token('good'), '10.0.0.1'), { code: status.UNAVAILABLE, message: /cannot review/ });
  }
  api.status = 201;
  t.match(await review(token('good'), '10.0.0.1'), { namespace: 'shop' });
});

t.test('so many reviews are under way, so many wait, and the rest comes again', async (t) => {
  const { api, review, release } = await reviewing(t);
  api.isHolding = true;
  const count = MAX_REVIEWS + MAX_WAITING_REVIEWS;
  const running = Array.from({ length: count }, (_, index) =>
    review(token(`good-${index}`), `10.0.${index >> 8}.${index & 255}`),
  );
  await eventually('all turns are taken', () => api.underWay === MAX_REVIEWS);
  await t.rejects(review(token('good'), '10.9.9.9'), { code: status.UNAVAILABLE, message: /wait to be reviewed/ });
  release();
  const served = await Promise.allSettled(running);
  t.equal(served.filter((one) => one.status === 'fulfilled').length, count);
  t.equal(api.most, MAX_REVIEWS);
});
