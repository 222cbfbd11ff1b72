import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProxyLink } from '../../chaos/proxy.js';

/** One end of a connection, and all that has arrived there. */
class End {
  received = '';
  ended = false;
  error: string | undefined;
  closed = false;

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => (this.received += chunk.toString()));
    socket.on('end', () => (this.ended = true));
    socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code));
    socket.on('close', () => (this.closed = true));
  }
}

describe('a link that goes bad', () => {
  let server: Server;
  let link: ProxyLink;
  let ends: End[];

  beforeEach(async () => {
    ends = [];
    server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    link = await ProxyLink.open('link', (server.address() as AddressInfo).port);
  });

  afterEach(async () => {
    await link[Symbol.asyncDispose]();
    for (const { socket } of ends) socket.destroy();
    server.close();
    await once(server, 'close');
  });

  function dial(): End {
    const [host, port] = link.address.split(':');
    const end = new End(connect({ host: host!, port: Number(port), allowHalfOpen: true }));
    ends.push(end);
    return end;
  }

  /** Both ends of a connection through the link. */
  async function joined(): Promise<[near: End, far: End]> {
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const near = dial();
    const far = new End((await accepted)[0]);
    ends.push(far);
    return [near, far];
  }

  it('should pass on both ways, more than it keeps, and the end of one way alone', async () => {
    const [near, far] = await joined();
    const much = 'x'.repeat(5_000_000);
    near.socket.end(much);
    await expect.poll(() => far.ended).toBe(true);
    expect(far.received).toBe(much);
    far.socket.end('answer');
    await expect.poll(() => near.ended).toBe(true);
    expect(near.received).toBe('answer');
  });

  it('should hold one way while the other goes on, and lose nothing of what it held', async () => {
    const [near, far] = await joined();
    link.hold('up');
    near.socket.write('held');
    far.socket.write('passes');
    await expect.poll(() => near.received).toBe('passes');
    expect(far.received).toBe('');
    link.heal();
    await expect.poll(() => far.received).toBe('held');
  });

  it('should strand what is there and let pass what comes, until it is healed', async () => {
    const [near, far] = await joined();
    link.strand('both');
    near.socket.write('stranded');
    const [later, laterFar] = await joined();
    later.socket.write('passes');
    await expect.poll(() => laterFar.received).toBe('passes');
    expect(far.received).toBe('');
    link.heal();
    await expect.poll(() => far.received).toBe('stranded');
  });

  it('should let nobody know of an end while it holds', async () => {
    const [near, far] = await joined();
    link.hold('both');
    near.socket.resetAndDestroy();
    const [other, otherFar] = await joined();
    expect(far.closed).toBe(false);
    link.heal();
    other.socket.write('after');
    await expect.poll(() => otherFar.received).toBe('after');
    await expect.poll(() => far.closed).toBe(true);
  });

  it('should give late what it delays, in order', async () => {
    link.delay(50);
    const [near, far] = await joined();
    const sentMs = performance.now();
    near.socket.write('a');
    far.socket.once('data', () => near.socket.write('b'));
    await expect.poll(() => far.received).toBe('ab');
    // Timers are never early by more than their rounding.
    expect(performance.now() - sentMs).toBeGreaterThan(95);
  });

  it('should end all connections by FIN, and by RST', async () => {
    const [near, far] = await joined();
    link.cut('fin');
    await expect.poll(() => near.ended && far.ended).toBe(true);
    expect([near.error, far.error]).toEqual([undefined, undefined]);
    const [next, nextFar] = await joined();
    // Whose far half is not connected yet ends by FIN.
    next.socket.write('through');
    await expect.poll(() => nextFar.received).toBe('through');
    link.cut('reset');
    await expect.poll(() => [next.error, nextFar.error]).toEqual(['ECONNRESET', 'ECONNRESET']);
  });

  it('should refuse new connections until it is healed', async () => {
    link.refuse();
    const refused = dial();
    await expect.poll(() => refused.error).toBe('ECONNRESET');
    link.heal();
    const [near, far] = await joined();
    near.socket.write('again');
    await expect.poll(() => far.received).toBe('again');
  });
});
