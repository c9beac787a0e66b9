import type { Socket } from 'node:net';

/** Connections of one server for operators and probes at once … */
export const MAX_LOCAL_CONNECTIONS = 256;
/** … and of them those from one address: whoever holds many takes no place from the kubelet. */
export const MAX_LOCAL_CONNECTIONS_PER_SOURCE = 64;

interface LocalConnection {
  readonly socket: Socket;
  readonly source: string;
  /** Requests that are being answered; none: it is idle. */
  requests: number;
}

/**
 * Keeps the connections of a server within their limits. A further one takes the place of the one that has been idle longest: of its
 * own source where that has as many as it may, otherwise of any.
 */
export class LocalConnections {
  /** In the order in which something last happened on them. */
  readonly #open = new Map<Socket, LocalConnection>();

  admit(socket: Socket): void {
    const source = socket.remoteAddress ?? '';
    if (!this.#hasRoomFor(source)) return void socket.destroy();
    this.#open.set(socket, { socket, source, requests: 0 });
    socket.once('close', () => this.#open.delete(socket));
  }

  requestBegan(socket: Socket): void {
    this.#touch(socket, 1);
  }

  requestEnded(socket: Socket): void {
    this.#touch(socket, -1);
  }

  #touch(socket: Socket, change: number): void {
    const connection = this.#open.get(socket);
    if (connection === undefined) return;
    connection.requests += change;
    this.#open.delete(socket);
    this.#open.set(socket, connection);
  }

  #hasRoomFor(source: string): boolean {
    const all = [...this.#open.values()];
    const same = all.filter((other) => other.source === source);
    if (same.length >= MAX_LOCAL_CONNECTIONS_PER_SOURCE) return this.#end(same.find(isIdle));
    if (all.length < MAX_LOCAL_CONNECTIONS) return true;
    // Where none is idle, answers that nobody takes must not keep others out.
    return this.#end(all.find(isIdle) ?? ofMostFrequentSource(all, same.length + 1));
  }

  #end(connection: LocalConnection | undefined): boolean {
    if (connection === undefined) return false;
    this.#open.delete(connection.socket);
    connection.socket.destroy();
    return true;
  }
}

function isIdle({ requests }: LocalConnection): boolean {
  return requests === 0;
}

/** The oldest of the source that has most, if those are more than this many. */
function ofMostFrequentSource(all: readonly LocalConnection[], than: number): LocalConnection | undefined {
  const groups = [...Map.groupBy(all, ({ source }) => source).values()];
  const most = groups.reduce((left, right) => (right.length > left.length ? right : left), []);
  return most.length > than ? most[0] : undefined;
}
