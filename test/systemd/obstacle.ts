import { spawnSync } from 'node:child_process';
import { Container } from './container.js';

/** Debian and Ubuntu; other systems have it in systemd itself, or in a package of this name. */
const INSTALL = 'apt-get install systemd-container';

/** Why no systemd can be booted here, in one line, with what to do; undefined: it can. */
export async function obstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `${process.platform} has no systemd`;
  if (spawnSync('systemd-nspawn', ['--version']).status !== 0) return `there is no systemd-nspawn; ${INSTALL}`;
  if (process.getuid?.() !== 0) return 'systemd-nspawn needs root; run it as root';
  try {
    await (await Container.boot()).shutdown();
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return `systemd does not boot in a container here (${message.trim().replaceAll(/\s+/g, ' ')}); see that \`systemd-nspawn --directory=/ --volatile=yes --boot\` works (${INSTALL})`;
  }
}
