import { describe, expect, it } from 'vitest';
import { handlersFile, Program, scriptFile, ScriptedCoordinator } from './support.js';

/** Packages whose code is in the handlers' thread, as its debugger has it: however that came there, and nothing of other threads. */
const LOADED = `
import { Session } from 'node:inspector';
function loaded() {
  const packages = new Set();
  const session = new Session();
  session.connect();
  session.on('Debugger.scriptParsed', ({ params: { url } }) => {
    const name = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url)?.[1];
    if (name !== undefined) packages.add(name);
  });
  session.post('Debugger.enable');
  session.disconnect();
  return [...packages];
}
`;
const HANDLERS = `${LOADED} export default { loaded };`;
const SCRIPT = `
import { WorkerProcess } from 'remuda/worker';
${LOADED}
const worker = new WorkerProcess(process.env.WORKER_ID, { address: process.env.ADDRESS });
worker.registerTaskHandler('loaded', loaded).start();
`;

type Start = (address: string) => Program;

const START = {
  thread: (address) => new Program([handlersFile(HANDLERS), '--address', address]),
  inline: (address) => new Program([handlersFile(HANDLERS), '--address', address, '--session', 'inline']),
  script: (address) =>
    new Program([], { script: scriptFile(SCRIPT, 'worker.mjs'), env: { ADDRESS: address, WORKER_ID: 'lean' } }),
} satisfies Record<string, Start>;

async function loadedBy(start: Start): Promise<unknown> {
  const coordinator = await ScriptedCoordinator.start();
  start(coordinator.address);
  const session = await coordinator.session();
  session.assign('t-1', 'loaded');
  const { result } = await session.report('t-1');
  return JSON.parse(Buffer.from((result?.body.value as Uint8Array | undefined) ?? []).toString());
}

describe('the thread of the handlers', () => {
  it.each(['thread', 'script'] as const)('should not load what only the session needs: %s', async (how) => {
    const packages = await loadedBy(START[how]);
    expect(packages).toContain('pino');
    expect(packages).not.toContain('@grpc/grpc-js');
    expect(packages).not.toContain('@bufbuild/protobuf');
  });

  it('should load it for a session beside them', async () => {
    expect(await loadedBy(START.inline)).toEqual(expect.arrayContaining(['@grpc/grpc-js', '@bufbuild/protobuf']));
  });
});
