import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';
import { clearStaleSocket, type ListenAddress } from '../listen-address.js';

/** A page that can be read. */
export interface HttpText {
  readonly contentType: string;
  readonly text: string;
}

export interface HttpServerOptions {
  readonly listen: ListenAddress;
  /** The metrics in Prometheus' text format. */
  readonly metrics: () => Promise<HttpText>;
  /** More pages, by path. Those of the coordinator itself come first. */
  readonly routes: ReadonlyMap<string, () => HttpText>;
  /** Why new work is refused; null: the coordinator is ready. */
  readonly notReady: () => string | null;
  /** Told of errors that should not happen. */
  readonly onBug: (error: unknown) => void;
}

interface Answer {
  readonly status: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Connections at a time: monitoring needs a few. */
const MAX_CONNECTIONS = 64;
const TEXT = 'text/plain; charset=utf-8';

const OWN_PATHS = ['/metrics', '/healthz', '/readyz'];

/** The operator's HTTP side: /metrics, /healthz, /readyz, and what it is given. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
      void this.#handle(request, response);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /**
   * Listens.
   *
   * @returns The real address: a port of 0 has become one.
   * @throws Error from the socket
   */
  async start(): Promise<ListenAddress> {
    const { listen } = this.#options;
    if (listen.kind === 'unix') await clearStaleSocket(listen.path);
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      const where = listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port };
      this.#server.listen(where, () => {
        this.#server.removeListener('error', reject);
        resolve();
      });
    });
    if (listen.kind === 'unix') return listen;
    return { kind: 'tcp', host: listen.host, port: (this.#server.address() as AddressInfo).port };
  }

  /** Stops, cutting what is under way. Idempotent; also before start. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
      this.#server.closeAllConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#options.onBug(error);
      answer = { status: 500, text: 'something unexpected happened, which is a bug: the log has the cause\n' };
    }
    response.writeHead(answer.status, {
      'content-type': answer.contentType ?? TEXT,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
    });
    response.end(request.method === 'HEAD' ? '' : answer.text);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const host = request.headers.host ?? '';
    if (!this.#isOurs(host)) {
      const text = `the Host header is ${JSON.stringify(host.slice(0, 200))}; ask by IP address, as localhost, or by the name that --http has\n`;
      return { status: 421, text };
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      const headers = { allow: 'GET, HEAD' };
      return {
        status: 405,
        headers,
        text: `${request.method ?? ''} is not served here; everything is read with GET\n`,
      };
    }
    const [path] = (request.url ?? '').split('?', 1);
    if (path === '/metrics') {
      const { contentType, text } = await this.#options.metrics();
      return { status: 200, contentType, text };
    }
    if (path === '/healthz') return { status: 200, text: 'ok\n' };
    if (path === '/readyz') {
      const why = this.#options.notReady();
      return why === null ? { status: 200, text: 'ready\n' } : { status: 503, text: `not ready: ${why}\n` };
    }
    const page = this.#options.routes.get(path ?? '');
    if (page !== undefined) return { status: 200, ...page() };
    const paths = [...new Set([...OWN_PATHS, ...this.#options.routes.keys()])];
    return { status: 404, text: `there are ${paths.slice(0, -1).join(', ')} and ${paths.at(-1)}\n` };
  }

  /**
   * A page from elsewhere can make a browser ask us under a name that its owner has pointed here (DNS rebinding). It cannot do
   * that under an IP address or localhost.
   */
  #isOurs(host: string): boolean {
    const { listen } = this.#options;
    const name = host.replace(/:\d+$/, '').toLowerCase();
    const literal = name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
    if (name === 'localhost' || isIP(literal) !== 0) return true;
    return listen.kind === 'tcp' && listen.host.toLowerCase() === name;
  }
}
