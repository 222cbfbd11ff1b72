import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Towards the coordinator, away from it, or both. */
export type Direction = 'up' | 'down' | 'both';

/** What one direction of one connection keeps back at most, in bytes; then its source is not read. */
const KEPT_BYTES_MAX = 1_048_576;

/**
 * A stretch of network that can go bad: a port on loopback whose connections are passed on to another one, byte for byte. TCP
 * carries no loss, so what a bad network does here is what its ends see of one: bytes that come late, or not for a while, in one
 * direction or both; connections that end in good order, or are reset, or are refused; and ends that nobody hears of while the
 * way back is held.
 */
export class ProxyLink implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #delayMs = 0;
  #held: ReadonlySet<'up' | 'down'> = new Set();
  #refuses = false;

  private constructor(
    readonly name: string,
    targetPort: number,
  ) {
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      if (this.#refuses) {
        near.on('error', () => undefined);
        reset(near);
        return;
      }
      const far = connect({ host: '127.0.0.1', port: targetPort, allowHalfOpen: true });
      const pair = new Pair(near, far, () => this.#pairs.delete(pair));
      this.#pairs.add(pair);
      pair.delay(this.#delayMs);
      pair.hold(this.#held);
    });
  }

  /** Listens on a free port of 127.0.0.1 and passes on to another one there. */
  static async open(name: string, targetPort: number): Promise<ProxyLink> {
    const link = new ProxyLink(name, targetPort);
    link.#server.listen(0, '127.0.0.1');
    await once(link.#server, 'listening');
    return link;
  }

  /** HOST:PORT for whoever dials. */
  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all connections there are: by FIN, or by RST. */
  cut(how: 'fin' | 'reset'): void {
    for (const pair of [...this.#pairs]) pair.cut(how);
  }

  /** Each byte, either way, arrives so much later from now on. */
  delay(delayMs: number): void {
    this.#delayMs = delayMs;
    for (const pair of this.#pairs) pair.delay(delayMs);
  }

  /** Nothing passes this way, not even the end of a connection, until it is healed. */
  hold(direction: Direction): void {
    this.#held = new Set(direction === 'both' ? ['up', 'down'] : [direction]);
    for (const pair of this.#pairs) pair.hold(this.#held);
  }

  /** The same for the connections there are now; new ones pass. */
  strand(direction: Direction): void {
    const held = new Set<'up' | 'down'>(direction === 'both' ? ['up', 'down'] : [direction]);
    for (const pair of this.#pairs) pair.hold(held);
  }

  /** New connections are reset. */
  refuse(): void {
    this.#refuses = true;
  }

  /** All is well again: what was kept back arrives now. */
  heal(): void {
    this.#refuses = false;
    this.#held = new Set();
    this.#delayMs = 0;
    for (const pair of [...this.#pairs]) {
      pair.delay(0);
      pair.hold(this.#held);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const pair of [...this.#pairs]) pair.destroy();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

/** Ends it by RST where that can be: Node leaks the handle of one that is still connecting, or has sent its FIN. */
function reset(socket: Socket): void {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One connection, both halves of it. */
class Pair {
  readonly #up: Pump;
  readonly #down: Pump;
  readonly #sockets: readonly [near: Socket, far: Socket];
  #held: ReadonlySet<'up' | 'down'> = new Set();
  /** One of the two is gone, and the other is not to know yet. */
  #broken = false;

  constructor(
    near: Socket,
    far: Socket,
    private readonly onGone: () => void,
  ) {
    this.#sockets = [near, far];
    this.#up = new Pump(near, far);
    this.#down = new Pump(far, near);
    for (const socket of this.#sockets) {
      socket.setNoDelay(true);
      // 'close' follows.
      socket.on('error', () => undefined);
      socket.on('close', (hadError) => this.#closed(hadError));
    }
  }

  delay(delayMs: number): void {
    this.#up.delay(delayMs);
    this.#down.delay(delayMs);
  }

  hold(held: ReadonlySet<'up' | 'down'>): void {
    this.#held = held;
    this.#up.hold(held.has('up'));
    this.#down.hold(held.has('down'));
    if (this.#broken && held.size === 0) this.destroy();
  }

  cut(how: 'fin' | 'reset'): void {
    if (how === 'reset') return this.destroy();
    this.#up.drop();
    this.#down.drop();
    for (const socket of this.#sockets) socket.end();
  }

  destroy(): void {
    this.#up.drop();
    this.#down.drop();
    for (const socket of this.#sockets) reset(socket);
    this.onGone();
  }

  #closed(hadError: boolean): void {
    const [near, far] = this.#sockets;
    if (near.destroyed && far.destroyed) return this.destroy();
    // In good order: its end has been passed on, or will be when the pump comes to it.
    if (!hadError) return;
    this.#broken = true;
    if (this.#held.size === 0) this.destroy();
  }
}

/** One direction of one connection. */
class Pump {
  /** Null: the end. */
  #kept: { readonly atMs: number; readonly chunk: Buffer | null }[] = [];
  #keptBytes = 0;
  #delayMs = 0;
  #held = false;
  #dropped = false;
  #full = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
  ) {
    from.on('data', (chunk: Buffer) => this.#take(chunk));
    from.on('end', () => this.#take(null));
    to.on('drain', () => {
      this.#full = false;
      this.#flow();
    });
  }

  delay(delayMs: number): void {
    this.#delayMs = delayMs;
    // What had been late by more is not late by less than its turn.
    if (delayMs === 0) this.#kept = this.#kept.map(({ chunk }) => ({ atMs: 0, chunk }));
    this.#flow();
  }

  hold(held: boolean): void {
    this.#held = held;
    this.#flow();
  }

  /** What comes from now on goes nowhere. */
  drop(): void {
    this.#dropped = true;
    this.#kept = [];
    this.#keptBytes = 0;
    clearTimeout(this.#timer);
    // So that its end is seen.
    this.from.resume();
  }

  #take(chunk: Buffer | null): void {
    if (this.#dropped) return;
    this.#kept.push({ atMs: performance.now() + this.#delayMs, chunk });
    this.#keptBytes += chunk?.byteLength ?? 0;
    this.#flow();
  }

  #flow(): void {
    clearTimeout(this.#timer);
    if (this.#dropped) return;
    while (!this.#held && !this.#full) {
      const [next] = this.#kept;
      if (next === undefined) break;
      const waitMs = next.atMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#flow(), waitMs);
        break;
      }
      this.#kept.shift();
      this.#keptBytes -= next.chunk?.byteLength ?? 0;
      if (this.to.destroyed) continue;
      if (next.chunk === null) this.to.end();
      else if (!this.to.write(next.chunk)) this.#full = true;
    }
    if (this.#held || this.#full || this.#keptBytes > KEPT_BYTES_MAX) this.from.pause();
    else this.from.resume();
  }
}
