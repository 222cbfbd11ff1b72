import { spawnSync } from 'node:child_process';
import { Container, nspawnOptions } from './container.js';

/** Debian and Ubuntu; other systems have it in systemd itself, or in a package of this name. */
const INSTALL = 'apt-get install systemd-container';

/** A container as those of the tests, in which one program runs instead of systemd. */
const PROBE = ['--quiet', '--pipe', ...nspawnOptions(), '/bin/true'];

/** Why no systemd can be booted here, in one line, with what to do; undefined: it can. */
export async function obstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `${process.platform} has no systemd`;
  if (spawnSync('systemd-nspawn', ['--version']).status !== 0) return `there is no systemd-nspawn; ${INSTALL}`;
  if (process.getuid?.() !== 0) return 'systemd-nspawn needs root; run it as root';
  try {
    await (await Container.boot()).shutdown();
    return undefined;
  } catch (error) {
    // Where a container works, a boot that fails is a failure, not an obstacle.
    if (spawnSync('systemd-nspawn', PROBE).status === 0) throw error;
    const message = error instanceof Error ? error.message : String(error);
    return `systemd does not boot in a container here (${message.trim().replaceAll(/\s+/g, ' ')}); see that \`systemd-nspawn --directory=/ --volatile=yes --boot\` works (${INSTALL})`;
  }
}
