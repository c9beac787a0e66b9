import { call, serve } from './json-service.ts';

/** The shop's front: takes a checkout and asks orders for it. */
serve('web', async (request) => {
  const { method, path } = request;
  if (method === 'GET' && path === '/catalog') {
    return {
      status: 200,
      body: [
        { item: 'book', price: 12 },
        { item: 'lamp', price: 30 },
      ],
    };
  }
  if (method === 'POST' && path === '/checkout') {
    const order = await call('POST', 'http://orders.shop/orders', request, request.body);
    return { status: order.status, body: { order: order.body } };
  }
  // left in by somebody, documented by nobody: what an attacker looks for
  if (method === 'GET' && path === '/debug/env') return { status: 200, body: { databasePassword: 'hunter2' } };
  return { status: 404, body: { error: 'not found' } };
});
