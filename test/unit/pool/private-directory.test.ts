import { createServer, type Server } from 'node:net';
import { existsSync } from 'node:fs';
import { chmod, lutimes, mkdir, mkdtemp, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isListenedOn } from '../../../coordinator/listen-address.js';
import {
  openPrivateDirectory,
  type PrivateDirectory,
  type PrivateDirectoryPlaces,
} from '../../../coordinator/pool/private-directory.js';
import { FleetError } from '../../../proto/fleet-error.js';

let base: string;
const opened: PrivateDirectory[] = [];
const servers: Server[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'private-'));
});

afterEach(async () => {
  for (const directory of opened.splice(0)) {
    await directory.swept;
    directory.remove();
  }
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
  await rm(base, { recursive: true });
});

function open(places: PrivateDirectoryPlaces = { temporaryDir: base, runtimeDir: undefined }): PrivateDirectory {
  const directory = openPrivateDirectory(places);
  opened.push(directory);
  return directory;
}

async function folder(name: string, mode = 0o700): Promise<string> {
  const path = join(base, name);
  await mkdir(path);
  await chmod(path, mode);
  return path;
}

async function listen(path: string): Promise<Server> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(path, done));
  servers.push(server);
  return server;
}

/** What a killed process leaves: closing removes the socket only under the name that it was given. */
async function leaveSocket(path: string): Promise<void> {
  const server = await listen(`${path}.bound`);
  await rename(`${path}.bound`, path);
  await new Promise((done) => server.close(done));
  servers.pop();
}

async function age(path: string, ageS: number): Promise<void> {
  const { mtimeMs } = await stat(base);
  const then = mtimeMs / 1_000 - ageS;
  await lutimes(path, then, then);
}

describe('the directory of a pool', () => {
  it('is of mode 0700 whatever the umask, and holds a socket', async () => {
    // Only a main thread may change it, which a forked test file has.
    const umask = process.umask(0o277);
    let directory: PrivateDirectory;
    try {
      directory = open();
    } finally {
      process.umask(umask);
    }
    expect((await stat(directory.path)).mode & 0o777).toBe(0o700);
    expect(dirname(directory.socketPath)).toBe(directory.path);
    await listen(directory.socketPath);
    expect(await isListenedOn(directory.socketPath)).toBe(true);
  });

  it('is another one each time', () => {
    expect(open().path).not.toBe(open().path);
  });

  it("is in the runtime folder if that is this user's alone, and nowhere else", async () => {
    const temporaryDir = await folder('tmp');
    const own = await folder('own');
    const shared = await folder('shared', 0o755);
    const link = join(base, 'link');
    await symlink(own, link);
    const parentFor = (runtimeDir: string): string => dirname(open({ runtimeDir, temporaryDir }).path);
    expect(parentFor(own)).toBe(own);
    expect(parentFor(shared)).toBe(temporaryDir);
    expect(parentFor(link)).toBe(temporaryDir);
    expect(parentFor(join(base, 'missing'))).toBe(temporaryDir);
    expect(parentFor('relative')).toBe(temporaryDir);
  });

  it('is where paths are short when the socket would have a path of more than 100 bytes', async () => {
    const long = await folder('d'.repeat(100 - base.length));
    const directory = open({ temporaryDir: long, runtimeDir: long });
    expect(dirname(directory.path)).toBe('/tmp');
    expect(Buffer.byteLength(directory.socketPath)).toBeLessThanOrEqual(100);
  });

  it('is refused where it cannot be made, with the place and what to do', async () => {
    const file = join(base, 'file');
    await writeFile(file, '');
    const act = () => open({ temporaryDir: file, runtimeDir: undefined });
    expect(act).toThrow(FleetError);
    expect(act).toThrow(/in .*\/file, which cannot be made \(ENOTDIR.*set TMPDIR/);
  });

  it('goes with all that is in it, any number of times', async () => {
    const directory = open();
    await leaveSocket(directory.socketPath);
    directory.remove();
    expect(existsSync(directory.path)).toBe(false);
    directory.remove();
  });
});

describe('what killed processes have left', () => {
  it('is removed: a socket on which nobody listens, with its directory', async () => {
    const dead = await folder('remuda-pool-DEAD00');
    await leaveSocket(join(dead, 'coordinator.sock'));
    await age(join(dead, 'coordinator.sock'), 60);
    await open().swept;
    expect(existsSync(dead)).toBe(false);
  });

  it('is not what is in use, however old', async () => {
    const live = await folder('remuda-pool-LIVE00');
    const socket = join(live, 'coordinator.sock');
    await listen(socket);
    await age(socket, 1_000_000);
    await open().swept;
    expect(await isListenedOn(socket)).toBe(true);
  });

  it('is not what may just be starting', async () => {
    const bound = await folder('remuda-pool-BOUND0');
    await leaveSocket(join(bound, 'coordinator.sock'));
    // In the future, so that a slow machine makes it no older than it may be.
    await age(join(bound, 'coordinator.sock'), -60);
    const empty = await folder('remuda-pool-EMPTY0');
    const old = await folder('remuda-pool-OLD000');
    await age(empty, 23 * 3_600);
    await age(old, 25 * 3_600);
    await open().swept;
    expect([bound, empty, old].map((path) => existsSync(path))).toEqual([true, true, false]);
  });

  it('is nothing strange: other names, links, and directories that hold something else', async () => {
    const named = await folder('remuda-pool-LONGERNAME');
    await age(named, 1_000_000);
    const target = await folder('precious');
    const link = join(base, 'remuda-pool-LINK00');
    await symlink(target, link);
    await age(link, 1_000_000);
    await age(target, 1_000_000);
    const full = await folder('remuda-pool-FULL00');
    await writeFile(join(full, 'precious'), '');
    await age(full, 1_000_000);
    const file = await folder('remuda-pool-FILE00');
    await writeFile(join(file, 'coordinator.sock'), 'precious');
    await age(join(file, 'coordinator.sock'), 1_000_000);
    const kept = [named, target, link, join(full, 'precious'), join(file, 'coordinator.sock')];
    await open().swept;
    expect(kept.filter((path) => !existsSync(path)).map((path) => basename(path))).toEqual([]);
  });

  it('is looked at 64 at a time, others each time', async () => {
    const names = Array.from({ length: 70 }, (_, index) => `remuda-pool-OLD${String(index).padStart(3, '0')}`);
    for (const name of names) await age(await folder(name), 1_000_000);
    const left = () => names.filter((name) => existsSync(join(base, name))).length;
    await open().swept;
    expect(left()).toBe(6);
    await open().swept;
    expect(left()).toBe(0);
  });
});
