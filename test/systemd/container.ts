/**
 * A real systemd as process 1: systemd-nspawn boots this machine's /usr with an empty /etc, /var and /run, and a network of its own.
 * The package under test is this repository, read-only, installed as npm would install it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT, within } from '../support/programs.js';
import { CgroupHome } from './cgroup-home.js';
import { eventually } from './eventually.js';
import { Unit } from './unit.js';

/** Where the repository is in the container. */
export const PACKAGE = '/opt/remuda';
const NODE_FOLDER = '/opt/node';

const BOOT_MS = 20_000;
const COMMAND_MS = 60_000;
const SHUTDOWN_MS = 10_000;
/** A boot's console, for the message when it fails. */
const CONSOLE_CHARS_MAX = 4_000;

const PROGRAMS = {
  'remuda-coordinator': 'coordinator/main.js',
  'remuda-worker': 'worker/main.js',
  remuda: 'client/cli/main.js',
} as const;

/** What commands in the container get; nothing of the one who runs the tests. */
const ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  HOME: '/root',
  SYSTEMD_COLORS: '0',
  SYSTEMD_PAGER: '',
};

export interface RunResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
}

/** Processes and mounts of a container end with this one; without it process 1 would outlive an nspawn that is killed. */
const NAMESPACE = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

let booted = 0;

export class Container {
  #console = '';
  /** Of process 1, as seen from outside. */
  #initPid = 0;

  private constructor(
    readonly name: string,
    private readonly nspawn: ChildProcess,
    private readonly home: CgroupHome,
    private readonly folder: string,
  ) {
    for (const stream of [nspawn.stdout, nspawn.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#console = (this.#console + text).slice(-CONSOLE_CHARS_MAX);
      });
    }
    nspawn.on('error', (error) => {
      this.#console += error.message;
    });
  }

  /** @throws Error if it does not boot; nothing is left then */
  static async boot(): Promise<Container> {
    booted += 1;
    const name = `remuda-${process.pid}-${booted}`;
    const folder = await mkdtemp(join(tmpdir(), 'remuda-systemd-'));
    const home = new CgroupHome(name);
    await installPackage(folder);
    const [command = '', ...args] = home.enter(nspawnCommand(name, folder));
    // Whatever ends this process, the kernel then ends unshare, and with it all that is in the namespace.
    const nspawn = spawn('setpriv', ['--pdeathsig', 'KILL', ...NAMESPACE, command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
    });
    const container = new Container(name, nspawn, home, folder);
    try {
      await container.#waitForBoot();
      return container;
    } catch (error) {
      await container.shutdown();
      throw error;
    }
  }

  /** Runs a command in the container to its end. */
  async run(command: readonly string[], { stdin, timeoutMs = COMMAND_MS }: RunOptions = {}): Promise<RunResult> {
    const namespaces = ['-t', String(this.#initPid), '-m', '-u', '-i', '-n', '-p'];
    const child = spawn('nsenter', [...namespaces, '--', ...command], { env: ENV });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // It may end without reading.
    child.stdin.on('error', () => undefined).end(stdin);
    try {
      const closed = once(child, 'close') as Promise<[number | null]>;
      const [code] = await within(closed, timeoutMs, () => `\`${command.join(' ')}\` did not end\n${stdout}${stderr}`);
      return { code, stdout, stderr };
    } finally {
      child.kill('SIGKILL');
    }
  }

  /** As `run`, for what cannot fail; its standard output. */
  async output(command: readonly string[], options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options);
    if (code !== 0) throw new Error(`\`${command.join(' ')}\` ended with ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  async writeFile(path: string, text: string): Promise<void> {
    await mkdir(dirname(this.outside(path)), { recursive: true });
    await writeFile(this.outside(path), text);
  }

  /** Undefined if there is none. */
  async readFile(path: string): Promise<string | undefined> {
    return readFile(this.outside(path), 'utf8').catch(() => undefined);
  }

  unit(name: string): Unit {
    return new Unit(this, name);
  }

  async journal(unit: string): Promise<string> {
    return this.output(['journalctl', '--no-pager', '--output=short-iso', `--unit=${unit}`]);
  }

  /**
   * Ends everything in it, at once, however far it has come. Process 1 goes first: nspawn then clears up after it, which it cannot
   * when it is killed itself.
   */
  async shutdown(): Promise<void> {
    const { nspawn } = this;
    const exited = nspawn.exitCode !== null || nspawn.signalCode !== null || nspawn.pid === undefined;
    if (!exited) {
      const closed = once(nspawn, 'close');
      const init = this.#initPid === 0 ? this.#findInit() : this.#initPid;
      if (init === undefined) nspawn.kill('SIGKILL');
      else process.kill(init, 'SIGKILL');
      await within(closed, SHUTDOWN_MS, () => '').catch(async () => {
        nspawn.kill('SIGKILL');
        await closed;
      });
    }
    await eventually(() => this.#removeHome(), 'end of the processes of the container', SHUTDOWN_MS);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A path of the container, as this process reaches it. */
  private outside(path: string): string {
    return `/proc/${this.#initPid}/root${path}`;
  }

  async #waitForBoot(): Promise<void> {
    const detail = (): string => this.#console;
    this.#initPid = await eventually(() => this.#findInit(), 'process 1 in the container', BOOT_MS, detail);
    const state = async (): Promise<true | undefined> => {
      const { stdout } = await this.run(['systemctl', 'is-system-running', '--wait'], { timeoutMs: BOOT_MS });
      // Degraded: a unit of this machine's own does not like the empty /etc.
      return /^(running|degraded)$/m.test(stdout) ? true : undefined;
    };
    await eventually(state, 'booted system in the container', BOOT_MS, detail);
  }

  #findInit(): number | undefined {
    const { pid, exitCode, signalCode } = this.nspawn;
    if (pid === undefined || exitCode !== null || signalCode !== null) {
      throw new Error(`systemd-nspawn ended: ${this.#console.trim()}`);
    }
    return descendants(pid).find((process) => commandOf(process) === 'systemd');
  }

  #removeHome(): true | undefined {
    try {
      this.home.remove();
      return true;
    } catch {
      return undefined;
    }
  }
}

/** Those that a process has started, and those that they have. */
function descendants(pid: number): number[] {
  const children = `/proc/${pid}/task/${pid}/children`;
  // It may end meanwhile.
  const text = existsSync(children) ? readFileSync(children, 'utf8') : '';
  const found = text.split(' ').filter((number) => number !== '');
  return found.map(Number).flatMap((child) => [child, ...descendants(child)]);
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** /usr/local as `npm install --global` leaves it, with the package and Node as links to where they are mounted. */
async function installPackage(folder: string): Promise<void> {
  // mkdtemp lets nobody else in; the programs run as users of their own.
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'bin'));
  await mkdir(join(folder, 'lib', 'node_modules'), { recursive: true });
  await symlink(PACKAGE, join(folder, 'lib', 'node_modules', 'remuda'));
  for (const [name, script] of Object.entries(PROGRAMS)) {
    await symlink(`../lib/node_modules/remuda/dist/${script}`, join(folder, 'bin', name));
  }
  await symlink(`${NODE_FOLDER}/node`, join(folder, 'bin', 'node'));
}

/** This machine's /usr, with nothing of its state and its network. */
export function nspawnOptions(): string[] {
  // With a systemd outside, nspawn asks it for a scope of its own; without, there is nobody to ask.
  const keepUnit = existsSync('/run/systemd/system') ? [] : ['--keep-unit'];
  return ['--directory=/', '--volatile=yes', '--register=no', ...keepUnit, '--private-network'];
}

function nspawnCommand(name: string, folder: string): string[] {
  return [
    'systemd-nspawn',
    '--quiet',
    ...nspawnOptions(),
    '--boot',
    `--machine=${name}`,
    '--link-journal=no',
    '--console=pipe',
    `--bind-ro=${ROOT}:${PACKAGE}`,
    `--bind-ro=${process.execPath}:${NODE_FOLDER}/node`,
    `--bind-ro=${folder}:/usr/local`,
    // Not what else is installed on this machine: an empty /etc enables all of it.
    'systemd.unit=basic.target',
  ];
}
