import { type Identified, isRouted, narrowed, type Routed } from '../exchange/exchange.ts';

/** The app behind a listener. */
export interface AppTarget {
  readonly address: string;
  /** What policies mean by a port. */
  readonly port: number;
  /** The address that callers meant; absent: not known, as they were not redirected. */
  readonly destinationIp?: string;
}

/** Says which app the request goes to: the one the listener stands before. */
export function route(exchange: Identified, app: AppTarget, ownIdentity: string): Routed {
  exchange.enter('route');
  exchange.destination = ownIdentity;
  exchange.port = app.port;
  exchange.destinationIp = app.destinationIp;
  return narrowed(exchange, isRouted);
}
