import { serve } from './json-service.ts';

/** Takes payments; it must be called by orders only. */
serve('payments', async ({ method, path, body }) => {
  if (method === 'POST' && path === '/payments') return { status: 201, body: { id: 'p-1', state: 'paid', for: body } };
  if (method === 'GET' && path.startsWith('/payments/'))
    return { status: 200, body: { id: path.slice('/payments/'.length), state: 'paid' } };
  return { status: 404, body: { error: 'not found' } };
});
