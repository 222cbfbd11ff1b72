import { readFileSync } from 'node:fs';

/** The package's version, or `0.0.0` if its package.json cannot be found. */
export function packageVersion(): string {
  // Beside the sources, or one level above the compiled files.
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const text = readFileSync(new URL(place, import.meta.url), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown };
      if (name === 'remuda' && typeof version === 'string') return version;
    } catch {
      // Not there: the other place has it.
    }
  }
  return '0.0.0';
}
