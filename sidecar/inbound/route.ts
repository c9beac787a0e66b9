import { type Identified, isRouted, narrowed, type Routed } from '../exchange/exchange.ts';

/** The app behind a listener. */
export interface AppTarget {
  readonly address: string;
  /** What policies mean by a port. */
  readonly port: number;
}

/** Says which app the request goes to: the one the listener stands before. */
export function route(exchange: Identified, app: AppTarget, ownIdentity: string): Routed {
  exchange.enter('route');
  exchange.destination = ownIdentity;
  exchange.port = app.port;
  return narrowed(exchange, isRouted);
}
