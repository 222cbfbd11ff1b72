/**
 * A control group for a container. Booted without a service manager around it, systemd-nspawn makes its groups beside this
 * process's own, always by the same names: two containers at one time would have one group, and each would clear it up.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

/** Where the hierarchies that systemd works in are mounted: the unified one, and its own one of version 1. */
function hierarchies(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type, options = '']) => type === 'cgroup2' || (type === 'cgroup' && options.includes('name=systemd')))
    .map(([, path = '']) => path);
}

export class CgroupHome {
  readonly #folders: string[] = [];

  /** Makes the groups. Where that is refused there are none, and the container has to do without. */
  constructor(name: string) {
    for (const mount of hierarchies()) {
      const folder = join(mount, name);
      try {
        mkdirSync(folder);
        this.#folders.push(folder);
      } catch {
        // Read-only, in a container that is not ours: nspawn will say so, or manage.
      }
    }
  }

  /** A command that enters the groups and becomes another one. */
  enter(command: readonly string[]): string[] {
    const enter = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"';
    return ['sh', '-c', enter, 'sh', ...this.#folders, '--', ...command];
  }

  /** Removes the groups, once their processes have ended. */
  remove(): void {
    for (const folder of this.#folders) if (existsSync(folder)) removeGroup(folder);
  }
}

/** Groups within it first: rmdir takes empty ones alone, and what looks like files is not removed. */
function removeGroup(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroup(join(folder, entry.name));
  }
  rmdirSync(folder);
}
