import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  endPrograms,
  isAlive,
  Program,
  ROOT,
  startCoordinator,
  startProgram,
  type LogLine,
} from '../support/programs.js';

const HANDLERS = `
export default {
  setup: () => {
    console.log('{"a":"line of user code"}');
    console.error('two lines\\nof user code');
    console.log('env ' + JSON.stringify([process.env.REMUDA_JOURNAL, process.env.JOURNAL_STREAM]));
  },
  echo: (payload) => payload,
};
`;
const PROCESS = `
import { WorkerProcess } from '${new URL('dist/worker/index.js', `file://${ROOT}`).href}';
const worker = new WorkerProcess('w', { address: process.argv[2] });
worker.registerTaskHandler('echo', (payload) => payload);
worker.start();
`;
const LEVELS = `
import { programLog } from '${new URL('dist/proto/program-log.js', `file://${ROOT}`).href}';
const log = programLog('trace', { name: 'p', journal: process.argv[1] });
const child = log.child({ part: 'c' });
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log[level]({ text: 'a\\nb' }, level);
child.warn('of a child');
log.info(new Error('of an error'));
log.warn({ text: ',"msg":"no"}', detail: 'why' }, 'said "so"');
`;

const folders: string[] = [];
afterEach(async () => {
  await endPrograms();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A file of that content. */
function file(name: string, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'remuda-journal-'));
  folders.push(folder);
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const COORDINATOR = [join(ROOT, 'dist/coordinator/main.js'), '--listen=127.0.0.1:0', '--http=127.0.0.1:0'];
const WORKER = join(ROOT, 'dist/worker/main.js');

/**
 * What a service manager does: stdout is connected, by default stderr too, JOURNAL_STREAM says to what, and the program takes the
 * place of the process that did it.
 */
const CONNECT = `
  case $1 in both) exec 2>&1 3>&1 ;; stdout) exec 3>&1 ;; stderr) exec 3>&2 ;; esac
  JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/3)
  export JOURNAL_STREAM
  exec 3>&-
  shift
  exec "$@"
`;

function startInJournal(args: readonly string[], streams: 'both' | 'stdout' | 'stderr' = 'both'): Program {
  const child = spawn('sh', ['-c', CONNECT, 'sh', streams, process.execPath, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new Program(args[0] ?? '', child);
}

interface Entry {
  readonly priority: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What the journal makes of a line of a program's log; undefined of any other line. */
function entry({ text }: LogLine): Entry | undefined {
  const [, priority, json] = /^<(\d)>(\{.*\})$/.exec(text) ?? [];
  if (json === undefined) return undefined;
  return { priority: Number(priority), fields: JSON.parse(json) as Entry['fields'] };
}

/** Fulfilled with the entry of that message, as soon as it is there. */
async function message(program: Program, msg: string, more: Entry['fields'] = {}): Promise<Entry> {
  const fits = (line: LogLine): boolean => {
    const fields = entry(line)?.fields;
    return fields?.['msg'] === msg && Object.entries(more).every(([key, value]) => fields[key] === value);
  };
  return entry(await program.line(fits, `message "${msg}"`)) ?? expect.unreachable();
}

/** Each line of the log is an entry; none has what the journal has itself. */
function expectEntries(lines: readonly LogLine[]): Entry[] {
  const entries = lines.map((line) => entry(line) ?? expect.unreachable(`no entry: ${line.text}`));
  for (const { fields } of entries) {
    expect(fields).not.toHaveProperty('time');
    expect(fields).not.toHaveProperty('hostname');
    expect(fields).not.toHaveProperty('level');
    expect(fields).not.toHaveProperty('name');
    // A terminal cuts long lines.
    expect(Object.keys(fields)[0]).toBe('msg');
  }
  return entries;
}

const printedByUser = ({ text }: LogLine): boolean => /^(\{"a"|two lines$|of user code$|env )/.test(text);

async function end(program: Program): Promise<void> {
  program.kill('SIGTERM');
  expect(await program.exit()).toEqual({ code: 0, signal: null });
}

// The journal, and the paths by which the tests name its streams, are Linux's.
describe.skipIf(process.platform !== 'linux')('output into the journal', () => {
  it('should have the priority of each level before its lines', async () => {
    for (const journal of ['direct', 'relayed']) {
      const program = startInJournal(['--input-type=module', '-e', LEVELS, journal]);
      expect(await program.exit()).toEqual({ code: 0, signal: null });
      const entries = expectEntries(program.lines);
      expect(entries.map(({ priority, fields }) => [priority, fields['msg']])).toEqual([
        [7, 'trace'],
        [7, 'debug'],
        [6, 'info'],
        [4, 'warn'],
        [3, 'error'],
        [2, 'fatal'],
        [4, 'of a child'],
        [6, 'of an error'],
        [4, 'said "so"'],
      ]);
      for (const { fields } of entries) {
        expect(fields['pid']).toBe(journal === 'direct' ? undefined : program.pid);
      }
      expect(Object.entries(entries.at(-1)?.fields ?? {}).filter(([key]) => key !== 'pid')).toEqual([
        ['msg', 'said "so"'],
        ['detail', 'why'],
        ['text', ',"msg":"no"}'],
      ]);
    }
  });

  it('should be entries of the coordinator', async () => {
    const program = startInJournal([...COORDINATOR, '--store=memory:']);
    expect(await message(program, 'ready')).toMatchObject({ priority: 6, fields: { store: 'memory:' } });
    await end(program);
    for (const { fields } of expectEntries(program.lines)) expect(fields).not.toHaveProperty('pid');
  });

  it.each(['thread', 'inline'])('should be entries of a worker, session %s, with user code as it is', async (mode) => {
    const { address } = await startCoordinator();
    const program = startInJournal([WORKER, file('h.mjs', HANDLERS), `--address=${address}`, `--session=${mode}`]);
    expect(await message(program, 'ready')).toMatchObject({ priority: 6 });
    await end(program);
    const user = program.lines.filter(printedByUser).map(({ text }) => text);
    expect(user).toEqual([
      '{"a":"line of user code"}',
      'two lines',
      'of user code',
      expect.stringMatching(/^env \[null,"\d+:\d+"\]$/),
    ]);
    const entries = expectEntries(program.lines.filter((line) => !printedByUser(line)));
    for (const { fields } of entries) expect(fields).not.toHaveProperty('pid');
  });

  it('should be entries of a script that is a worker process', async () => {
    const { address } = await startCoordinator();
    const program = startInJournal([file('w.mjs', PROCESS), address]);
    expect(await message(program, 'ready')).toMatchObject({ priority: 6 });
    await end(program);
    for (const { fields } of expectEntries(program.lines)) expect(fields).not.toHaveProperty('pid');
  });

  it('should be entries of a supervisor, and of its child with the id of its process', async () => {
    const { address } = await startCoordinator();
    const program = startInJournal([WORKER, file('h.mjs', HANDLERS), `--address=${address}`, '--processes=1']);
    const pid = Number((await message(program, 'child ready')).fields['child_pid']);
    // By the session, which has a log of its own.
    expect(await message(program, 'ready', { pid })).toMatchObject({ priority: 6 });
    await end(program);
    expect(isAlive(pid)).toBe(false);
    const user = program.lines.filter(printedByUser).map(({ text }) => text);
    expect(user).toHaveLength(4);
    expect(user).toContainEqual(expect.stringMatching(/^env \[null,"\d+:\d+"\]$/));
    const entries = expectEntries(program.lines.filter((line) => !printedByUser(line)));
    const ofChild = entries.filter(({ fields }) => fields['pid'] === pid);
    expect(ofChild.length).toBeGreaterThan(1);
    for (const { fields } of entries) expect([undefined, pid]).toContain(fields['pid']);
    // Said by the main thread of the child, and by the supervisor.
    expect(ofChild.some(({ fields }) => 'exit_code' in fields)).toBe(true);
    expect(entries.find(({ fields }) => fields['msg'] === 'all processes have ended')?.fields['pid']).toBeUndefined();
  });

  it.each(['coordinator', 'worker'])('should not keep a %s from its end when nobody reads it', async (name) => {
    const { address } = await startCoordinator();
    const args = {
      coordinator: [...COORDINATOR, '--store=memory:'],
      worker: [WORKER, file('h.mjs', HANDLERS), `--address=${address}`],
    }[name];
    const program = startInJournal(args ?? [], 'stdout');
    await message(program, 'ready');
    program.child.stdout?.destroy();
    await end(program);
  });

  it('should have a priority before each line of a fault', async () => {
    for (const script of [COORDINATOR[0] ?? '', WORKER]) {
      const program = startInJournal([script, '--slots=0', '--log-level=loud']);
      expect((await program.exit()).code).toBe(2);
      expect(program.lines.length).toBeGreaterThan(2);
      for (const { text } of program.lines) expect(text).toMatch(/^<3>[^<]/);
    }
    const program = startInJournal([...COORDINATOR, `--store=sqlite:${file('no-folder', '')}/store.db`]);
    expect((await program.exit()).code).toBe(1);
    const told = program.lines.filter((line) => entry(line) === undefined).map(({ text }) => text);
    expect(told[0]).toMatch(/^<3>remuda-coordinator: cannot start: /);
    for (const text of told) expect(text).toMatch(/^<3>/);
  });

  it('should have it before the faults of a child too', async () => {
    // With its index it is too long.
    const args = [WORKER, 'h.mjs', '--processes=1', `--worker-id=${'w'.repeat(127)}`];
    const program = startInJournal(args);
    expect((await program.exit()).code).toBe(2);
    const told = program.lines.filter((line) => entry(line) === undefined).map(({ text }) => text);
    expect(told.length).toBeGreaterThan(2);
    for (const text of told) expect(text).toMatch(/^<3>[^<]/);
  });

  it('should be plain where people asked for it', async () => {
    for (const script of [COORDINATOR[0] ?? '', WORKER]) {
      for (const option of ['--help', '--version']) {
        const program = startInJournal([script, option]);
        expect((await program.exit()).code).toBe(0);
        expect(program.lines.length).toBeGreaterThan(0);
        expect(program.stdout).not.toMatch(/^<\d>/m);
      }
    }
  });

  it('should follow each stream by itself', async () => {
    const log = startInJournal([...COORDINATOR, '--store=memory:'], 'stderr');
    await log.line(({ json }) => json?.['msg'] === 'ready', 'plain ready line');
    await end(log);
    const fault = startInJournal([WORKER, '--slots=0'], 'stdout');
    expect((await fault.exit()).code).toBe(2);
    expect(fault.stderr).toMatch(/^remuda-worker: cannot start$/m);
    expect(fault.stderr).not.toMatch(/^<\d>/m);
  });
});

describe('output elsewhere', () => {
  /** As inherited from a service that has started this program with another output. */
  const stale = { JOURNAL_STREAM: '8:1', REMUDA_JOURNAL: '1,2' };

  it.each([
    ['without JOURNAL_STREAM', {}],
    ['with the JOURNAL_STREAM of something else', stale],
  ])('should be plain JSON lines with all fields %s', async (_, env) => {
    const { program: coordinator, address } = await startCoordinator([], { env });
    const args = [file('h.mjs', HANDLERS), '--address', address, '--processes=1'];
    const worker = startProgram('worker', args, { env });
    const supervised = await worker.line(({ json }) => json?.['msg'] === 'child ready', 'child ready');
    const pid = supervised.json?.['child_pid'];
    await worker.line(({ json }) => json?.['msg'] === 'ready' && json['pid'] === pid, 'ready line of the child');
    await end(worker);
    await end(coordinator);
    for (const program of [coordinator, worker]) {
      for (const { json, text } of program.lines.filter((line) => !printedByUser(line))) {
        expect(json, text).toMatchObject({
          time: expect.any(Number) as number,
          hostname: expect.any(String) as string,
          pid: expect.any(Number) as number,
        });
      }
    }
    const wrong = startProgram('worker', ['--slots=0'], { env });
    expect((await wrong.exit()).code).toBe(2);
    expect(wrong.stderr).not.toMatch(/^<\d>/m);
  });
});
