/**
 * What a fresh clone needs before it runs: packages, generated code, the build. Each step is stamped with a hash of what it
 * reads, so that nothing is done, and nothing is said, when nothing has changed.
 *
 * Only Node's own modules here: nothing is installed yet. Run by `npm start`, `npm test` and `.ci/run`.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');
/** In node_modules, so that the stamps go when the packages go. */
const stampsPath = join(modules, '.remuda-setup.json');
/** A symbolic link to the number of the process that works: made in one step, contents included. */
const lockPath = join(root, '.setup-lock');
/** The programs of package.json's `bin`. npm makes them executable when it links the package, and never again. */
const programs = ['client/cli/main.js', 'coordinator/main.js', 'worker/main.js'].map((name) =>
  join(root, 'dist', name),
);
/** Stands for all that the build of the tests writes. */
const builtTest = join(root, 'dist', 'test', 'sim', 'main.js');
/** The oldest Node that the packages support; the same as `engines` in package.json. */
const NODE_MIN = [20, 19];
const LOCK_LOOK_MS = 100;
/** A first set-up over a slow network takes minutes. */
const LOCK_WAIT_MS = 900_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** A step that did not work, with what it printed. */
class SetupFailure extends Error {
  constructor(message, output = '') {
    super(message);
    this.output = output;
  }
}

const steps = [
  {
    name: 'packages',
    says: 'Installing packages',
    inputs: () => hashOf(['package.json', 'package-lock.json'], process.version, process.platform, process.arch),
    isMade: () => existsSync(join(modules, 'typescript', 'bin', 'tsc')),
    // Whatever the caller's environment leaves out, the build needs the development packages.
    run: () => run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']),
  },
  {
    name: 'generated',
    inputs: () => hashOf(filesOf(['proto', 'buf.yaml', 'buf.gen.yaml'], (name) => /\.(proto|yaml)$/.test(name))),
    isMade: () => existsSync(join(root, 'proto', 'gen')),
    run: () => run(process.execPath, [join(root, '.ci', 'generate.mjs')]),
  },
  {
    name: 'build',
    says: 'Building',
    inputs: () => hashOf(sourcesOf(['tsconfig.json', 'proto', 'coordinator', 'client', 'worker'])),
    isMade: () => programs.every(existsSync),
    run: () => {
      build('.');
      for (const program of programs) chmodSync(program, 0o755);
    },
  },
  {
    name: 'tests',
    says: 'Building the tests',
    // Whoever only starts it needs no tests, and no fault in one stops him.
    isWanted: process.argv.includes('--tests'),
    inputs: () => hashOf(sourcesOf(['tsconfig.json', 'proto', 'coordinator', 'client', 'worker', 'test'])),
    isMade: () => existsSync(builtTest),
    run: () => build('test'),
  },
];

function sourcesOf(names) {
  return filesOf(names, (name) => /\.(ts|json)$/.test(name));
}

/** Compiles a project and those that it refers to; --force only when what is up to date is not known any more. */
function build(project) {
  const force = programs.every(existsSync) ? [] : ['--force'];
  run(process.execPath, [join(modules, 'typescript', 'bin', 'tsc'), '-b', ...force, project]);
}

/** Runs a program; what it prints is shown only when it fails. */
function run(command, args) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (status === 0) return;
  const end = error?.message ?? (signal === null ? `exit code ${status}` : `killed by ${signal}`);
  throw new SetupFailure(`\`${[command, ...args].join(' ')}\` failed: ${end}`, `${stdout ?? ''}${stderr ?? ''}`);
}

/** Files at and below `names`, in a fixed order. */
function filesOf(names, counts) {
  return names.flatMap((name) => {
    const stat = statSync(join(root, name), { throwIfNoEntry: false });
    if (stat === undefined) return [];
    if (!stat.isDirectory()) return counts(name) ? [name] : [];
    const inside = readdirSync(join(root, name)).sort();
    return filesOf(
      inside.map((entry) => `${name}/${entry}`),
      counts,
    );
  });
}

function hashOf(files, ...more) {
  const hash = createHash('sha256');
  for (const text of more) hash.update(`${text}\0`);
  for (const name of files)
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(root, name)))
      .update('\0');
  return hash.digest('hex');
}

function readStamps() {
  try {
    return JSON.parse(readFileSync(stampsPath, 'utf8'));
  } catch {
    // None yet, or cut short: then everything is looked at again.
    return {};
  }
}

function writeStamps(stamps) {
  const temporary = `${stampsPath}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(stamps, null, 2));
  renameSync(temporary, stampsPath);
}

/** The first step that has something to do, with the hash of its inputs. */
function nextStep() {
  const stamps = readStamps();
  for (const step of steps) {
    if (step.isWanted === false) continue;
    const hash = step.inputs();
    if (stamps[step.name] !== hash || !step.isMade()) return { step, hash };
  }
  return undefined;
}

function doSteps() {
  for (let next = nextStep(); next !== undefined; next = nextStep()) {
    const { step, hash } = next;
    if (step.says !== undefined) process.stderr.write(`${step.says} ...\n`);
    const stamps = readStamps();
    if (existsSync(modules)) writeStamps({ ...stamps, [step.name]: undefined });
    step.run();
    if (!step.isMade()) throw new SetupFailure(`The step "${step.name}" ended well, but left nothing behind`);
    // Read before the step ran: what was changed meanwhile is new work.
    writeStamps({ ...readStamps(), [step.name]: hash });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Takes the lock, or tells who has it. A lock whose process is dead is set aside. */
function tryLock() {
  try {
    symlinkSync(String(process.pid), lockPath);
    return undefined;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  let owner;
  try {
    owner = Number(readlinkSync(lockPath));
    if (isAlive(owner)) return owner;
    const aside = `${lockPath}.${process.pid}`;
    renameSync(lockPath, aside);
    // Another may have set it aside and locked anew between the look and the rename: then give it back.
    if (Number(readlinkSync(aside)) === owner) rmSync(aside);
    else renameSync(aside, lockPath);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  return owner ?? 0;
}

async function locked(work) {
  const giveUpMs = performance.now() + LOCK_WAIT_MS;
  let said = false;
  for (let owner = tryLock(); owner !== undefined; owner = tryLock()) {
    if (performance.now() > giveUpMs) {
      throw new SetupFailure(`Process ${owner} has been setting up for too long; stop it, or remove ${lockPath}`);
    }
    if (!said && owner !== 0 && isAlive(owner)) {
      process.stderr.write(`Waiting for process ${owner}, which is setting up ...\n`);
      said = true;
    }
    await delay(LOCK_LOOK_MS);
  }
  try {
    work();
  } finally {
    rmSync(lockPath, { force: true });
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  throw new SetupFailure(`Node ${process.versions.node} is too old; install Node ${NODE_MIN.join('.')} or newer`);
}

try {
  checkNode();
  if (nextStep() !== undefined) await locked(doSteps);
} catch (error) {
  if (!(error instanceof SetupFailure)) throw error;
  process.stderr.write(`${error.output}\nSet-up failed. ${error.message}\n`);
  process.exitCode = 1;
}
