import { fromBinary } from '@bufbuild/protobuf';
import { createFileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema, type FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';
import { Client, credentials, loadPackageDefinition, status as Code, type ClientReadableStream } from '@grpc/grpc-js';
import { once } from 'node:events';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endPrograms, startCoordinator, type Program } from '../../support/programs.js';
import { errorOf } from './support.js';

const SERVICES = ['remuda.v1.FleetService', 'remuda.v1.TaskService', 'remuda.v1.WorkerService'];
const HEALTH = 'grpc.health.v1.Health';

let program: Program;
let address: string;
let client: Client;

beforeAll(async () => {
  ({ program, address } = await startCoordinator());
  client = new Client(address, credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await endPrograms();
});

/** Length-delimited field `number` (below 16) of a message. */
function field(number: number, content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content);
  if (bytes.byteLength > 127) throw new Error('too long for one byte of length');
  return Buffer.concat([Buffer.of((number << 3) | 2, bytes.byteLength), bytes]);
}

/** All length-delimited fields of a message, by number; the others are skipped. */
function fields(bytes: Uint8Array): { number: number; content: Uint8Array }[] {
  const found: { number: number; content: Uint8Array }[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const length = varint();
    if ((tag & 7) !== 2) continue;
    found.push({ number: tag >> 3, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}

/** Asks as a foreign client does, with the few numbers of reflection.proto that it takes. */
async function reflect(version: string, request: Buffer): Promise<{ number: number; content: Uint8Array }[]> {
  const pass = (bytes: Buffer): Buffer => bytes;
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const call = client.makeBidiStreamRequest(path, pass, pass);
  call.write(request);
  call.end();
  const [answer] = (await once(call, 'data')) as [Buffer];
  return fields(answer);
}

const LIST_SERVICES = 7;
const FILE_CONTAINING_SYMBOL = 4;
const FILE_RESPONSE = 4;
const LIST_RESPONSE = 6;
const ERROR_RESPONSE = 7;

async function filesOf(version: string, symbol: string): Promise<FileDescriptorProto[]> {
  const answer = await reflect(version, field(FILE_CONTAINING_SYMBOL, symbol));
  const files = answer.find(({ number }) => number === FILE_RESPONSE);
  if (files === undefined) throw new Error(`no file of ${symbol}`);
  return fields(files.content).map(({ content }) => fromBinary(FileDescriptorProtoSchema, content));
}

describe.each(['v1', 'v1alpha'])('reflection %s', (version) => {
  it('lists the services', async () => {
    const answer = await reflect(version, field(LIST_SERVICES, ''));
    const list = answer.find(({ number }) => number === LIST_RESPONSE);
    const names = fields(list?.content ?? new Uint8Array()).map(({ content }) =>
      Buffer.from(fields(content)[0]?.content ?? []).toString(),
    );
    expect(names).toEqual(expect.arrayContaining([...SERVICES, HEALTH]));
  });

  it.each([...SERVICES, HEALTH, 'remuda.v1.TaskService.RunTask', 'remuda.v1.Task'])(
    'has the files of %s, with all that they import',
    async (symbol) => {
      const file = await filesOf(version, symbol);
      const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.toSorted(byImports(file)) }));
      const [, name = symbol] = /^(.*Service)\.\w+$/.exec(symbol) ?? [];
      expect(registry.get(name)?.typeName).toBe(name);
    },
  );

  it('has the details of errors', async () => {
    const file = await filesOf(version, 'google.rpc.ErrorInfo');
    expect(file.flatMap(({ messageType }) => messageType.map(({ name }) => name))).toContain('ErrorInfo');
  });

  it('says that there is no such symbol', async () => {
    const answer = await reflect(version, field(FILE_CONTAINING_SYMBOL, 'remuda.v1.Nothing'));
    expect(answer.map(({ number }) => number)).toContain(ERROR_RESPONSE);
  });
});

/** Imported ones first, as a registry wants them. */
function byImports(files: readonly FileDescriptorProto[]) {
  const depth = ({ dependency }: FileDescriptorProto): number =>
    dependency.reduce((deepest, path) => {
      const imported = files.find(({ name }) => name === path);
      if (imported === undefined) throw new Error(`${path} is missing`);
      return Math.max(deepest, depth(imported) + 1);
    }, 0);
  return (a: FileDescriptorProto, b: FileDescriptorProto) => depth(a) - depth(b);
}

interface HealthAnswer {
  readonly status: string;
}

interface HealthClient {
  check(request: { service: string }, done: (error: Error | null, answer?: HealthAnswer) => void): void;
  watch(request: { service: string }): ClientReadableStream<HealthAnswer>;
  close(): void;
}

function healthClient(): HealthClient {
  const loaded = loadPackageDefinition({ [HEALTH]: healthService }) as unknown as {
    grpc: { health: { v1: { Health: new (address: string, creds: unknown) => HealthClient } } };
  };
  return new loaded.grpc.health.v1.Health(address, credentials.createInsecure());
}

describe('health', () => {
  it('serves, and tells whoever watches that it stops', async () => {
    const health = healthClient();
    try {
      const check = (service: string) =>
        new Promise<string | undefined>((resolve, reject) => {
          health.check({ service }, (error, answer) => (error === null ? resolve(answer?.status) : reject(error)));
        });
      for (const service of ['', ...SERVICES]) expect(await check(service)).toBe('SERVING');
      expect((await errorOf(check('nobody'))).code).toBe(Code.NOT_FOUND);

      const watch = health.watch({ service: 'remuda.v1.TaskService' });
      watch.on('error', () => undefined);
      expect(((await once(watch, 'data')) as [HealthAnswer])[0].status).toBe('SERVING');
      const next = once(watch, 'data') as Promise<[HealthAnswer]>;
      program.kill('SIGTERM');
      expect((await next)[0].status).toBe('NOT_SERVING');
      expect(await program.exit()).toEqual({ code: 0, signal: null });
    } finally {
      health.close();
    }
  });
});
