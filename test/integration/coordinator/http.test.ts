import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endPrograms, startCoordinator } from '../../support/programs.js';
import { json, Stubs } from '../../support/stubs.js';
import { poll, RawWorker } from './support.js';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

let address: string;
let http: string;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'http-'));
  ({ address, http } = await startCoordinator());
});

afterAll(async () => {
  await endPrograms();
  await rm(folder, { recursive: true });
});

function ask(path: string, { method = 'GET', host }: { method?: string; host?: string } = {}): Promise<Answer> {
  const [hostname, port] = http.split(':');
  return askAt({ hostname, port }, path, method, host);
}

function askAt(where: object, path: string, method = 'GET', host?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = host === undefined ? {} : { host };
    const call = request({ ...where, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    call.on('error', reject).end();
  });
}

/** Prometheus' text format, read strictly: every line is a comment or a sample of a series that has a type. */
function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const comment = /^# (?<what>HELP|TYPE) (?<name>[a-z_:][a-z0-9_:]*) (?<rest>.+)$/.exec(line)?.groups;
    if (comment !== undefined) {
      if (comment['what'] === 'TYPE') types.set(comment['name'] ?? '', comment['rest'] ?? '');
      continue;
    }
    const sample = /^(?<name>[a-z_:][a-z0-9_:]*)(?<labels>\{.*\})? (?<value>\S+)$/.exec(line)?.groups;
    if (sample === undefined) throw new Error(`no line of Prometheus' text: ${line}`);
    const name = sample['name'] ?? '';
    const family = [name, name.replace(/_(bucket|sum|count)$/, '')].find((one) => types.has(one));
    if (family === undefined) throw new Error(`no type: ${line}`);
    if (!/^(\+Inf|-Inf|nan|-?[\d.]+(e[+-]?\d+)?)$/i.test(sample['value'] ?? '')) throw new Error(`no number: ${line}`);
    samples.set(`${name}${sample['labels'] ?? ''}`, Number(sample['value']));
  }
  return samples;
}

async function metrics(): Promise<Map<string, number>> {
  return parseMetrics((await ask('/metrics')).text);
}

describe('/metrics', () => {
  it('is in the text format of Prometheus', async () => {
    const { status, headers, text } = await ask('/metrics');
    expect(status).toBe(200);
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const samples = parseMetrics(text);
    expect([...samples.keys()].some((name) => name.startsWith('remuda_'))).toBe(true);
    expect([...samples.keys()].some((name) => name.startsWith('process_'))).toBe(true);
  });

  it('counts a task that has run, its worker and its session', async () => {
    const before = await metrics();
    using stubs = new Stubs(address);
    using worker = await RawWorker.join(address);
    const answer = stubs.run({ task: { type: 'echo', payload: json(1) } });
    worker.report((await worker.assignment()).attempt, 1);
    await answer;
    const after = await metrics();
    const grown = [...after].filter(([name, value]) => value > (before.get(name) ?? 0)).map(([name]) => name);
    for (const part of ['submitted', 'SUCCEEDED', 'sessions', 'frames', 'READY']) {
      expect(grown.filter((name) => name.toLowerCase().includes(part.toLowerCase()))).not.toEqual([]);
    }
  });
});

describe('/healthz and /readyz', () => {
  it('say that all is well', async () => {
    expect(await ask('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
    expect(await ask('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
    expect(await ask('/readyz?full=1')).toMatchObject({ status: 200 });
  });

  it('answer a HEAD without a body', async () => {
    expect(await ask('/healthz', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
  });

  it('are not kept by anybody on the way', async () => {
    const { headers } = await ask('/healthz');
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });

  it('are served on a socket too', async () => {
    const path = join(folder, 'http.sock');
    const started = await startCoordinator(['--http', `unix:${path}`]);
    expect(started.http).toBe(`unix:${path}`);
    expect(await askAt({ socketPath: path }, '/healthz', 'GET', 'localhost')).toMatchObject({ status: 200 });
  });

  it('say while it stops that it is not ready', async () => {
    const path = join(folder, 'stopping.sock');
    const { program, address: stopping } = await startCoordinator(['--http', `unix:${path}`]);
    // A call that is under way holds up the end of the server for a moment.
    using watcher = new RawWorker(stopping, { mute: true });
    const ready = () => askAt({ socketPath: path }, '/readyz', 'GET', 'localhost');
    expect(await ready()).toMatchObject({ status: 200 });
    const sessions = async () => (await askAt({ socketPath: path }, '/metrics', 'GET', 'localhost')).text;
    await poll(sessions, (text) => text.includes('remuda_sessions 1'), 'the stream');
    program.kill('SIGTERM');
    const answer = await poll(
      async () => ready().catch(() => null),
      (found) => found?.status !== 200,
      'end of readiness',
    );
    if (answer !== null)
      expect(answer).toMatchObject({ status: 503, text: expect.stringContaining('stopping') as string });
    expect(await program.exit()).toEqual({ code: 0, signal: null });
    expect((await watcher.end()).reason).toBe('COORDINATOR_STOPPING');
  });
});

describe('everything else', () => {
  it.each(['/', '/metric', '/metrics/', '/../metrics', '//metrics'])('is not there: %s', async (path) => {
    const { status, text } = await ask(path);
    expect(status).toBe(404);
    expect(text).toContain('/metrics');
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('is not served with %s', async (method) => {
    const { status, headers } = await ask('/metrics', { method });
    expect(status).toBe(405);
    expect(headers['allow']).toBe('GET, HEAD');
  });

  it.each(['localhost', 'LOCALHOST:80', '127.0.0.1', '127.0.0.1:1', '[::1]:7071', '10.0.0.1'])(
    'is served under the Host %s',
    async (host) => {
      expect((await ask('/healthz', { host })).status).toBe(200);
    },
  );

  it.each([
    'evil.example',
    'localhost.evil.example',
    'evil.example:7071',
    '127.0.0.1.evil.example',
    'local host',
    '::1',
  ])('is refused under the Host "%s"', async (host) => {
    const { status, text } = await ask('/metrics', { host });
    expect(status).toBe(421);
    expect(text).toContain(JSON.stringify(host));
    expect(text).not.toContain('remuda_');
  });

  it('is not there at all with --http off', async () => {
    const started = await startCoordinator(['--http', 'off']);
    expect(started.http).toBe('null');
  });
});
