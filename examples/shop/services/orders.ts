import { call, serve } from './json-service.ts';

const orders = new Map<string, { id: string; item: string; quantity: number }>();
const MAX_ORDERS = 10_000;

/** Keeps orders and has them paid. */
serve('orders', async (request) => {
  const { method, path, body } = request;
  if (method === 'POST' && path === '/orders' && isOrder(body)) {
    const id = String(orders.size + 1);
    const payment = await call('POST', 'http://payments.shop/payments', request, {
      orderId: id,
      amount: body.quantity * 12,
    });
    if (payment.status !== 201) return { status: 502, body: { error: 'payment failed', payment: payment.body } };
    if (orders.size < MAX_ORDERS) orders.set(id, { id, item: body.item, quantity: body.quantity });
    return { status: 201, body: { id, item: body.item, quantity: body.quantity, payment: payment.body } };
  }
  const id = /^\/orders\/(\d+)$/.exec(path)?.[1];
  if (method === 'GET' && id !== undefined) {
    const order = orders.get(id);
    return order === undefined ? { status: 404, body: { error: 'no such order' } } : { status: 200, body: order };
  }
  return { status: 404, body: { error: 'not found' } };
});

function isOrder(body: unknown): body is { item: string; quantity: number } {
  return typeof body === 'object' && body !== null && 'item' in body && 'quantity' in body;
}
