import { existsSync, statSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadFailureText, TYPESCRIPT_EXTENSIONS } from './load-failure.js';
import { kindOf, parseHandler, type RegisteredHandler } from './task-handler.js';

/** Runs once per process, around all tasks. */
export type ProcessHook = () => unknown;

/** What a handlers file offers, validated. */
export interface LoadedHandlers {
  /** By type, at least one. */
  readonly handlers: ReadonlyMap<string, RegisteredHandler>;
  /** Runs before the worker says hello: opens what is slow to open. */
  readonly setup: ProcessHook | undefined;
  /** Runs after the drain: closes it again. */
  readonly teardown: ProcessHook | undefined;
  /** The file's absolute path. */
  readonly path: string;
}

/** A handlers file that cannot be used. The message is for its author and says what to change. */
export class HandlersFileError extends Error {
  override readonly name = 'HandlersFileError';
}

/** A set of handlers as a file exports it. */
const EXAMPLE = "export default { 'file.checksum': async (payload, ctx) => ({ ... }) };";
const LOADABLE = new Set(['.js', '.mjs', '.cjs', ...TYPESCRIPT_EXTENSIONS]);
const TYPES_MAX = 256;

/**
 * Loads a handlers file, ECMAScript or CommonJS: its default export (or module.exports) maps each task type to a function or
 * to `{ run, timeout, slots }`; `setup` and `teardown` are optional functions. TypeScript is loaded too, where the runtime or a
 * loader takes it: nobody but import() can tell.
 *
 * @param file path, relative to `cwd`
 * @param cwd absolute
 * @throws {HandlersFileError} if it is missing, throws on load, or exports something else; the message says which
 */
export async function loadHandlersFile(file: string, cwd: string): Promise<LoadedHandlers> {
  const path = resolveFile(file, cwd);
  let loaded: unknown;
  try {
    loaded = await import(pathToFileURL(path).href);
  } catch (error) {
    throw new HandlersFileError(loadFailureText(path, error), { cause: error });
  }
  return parseHandlers(exportOf(loaded as Record<string, unknown>, path), path);
}

/** A name for the handlers that stays the same when the file moves: its base name without extension. */
export function handlersName(file: string): string {
  const name = basename(file, extname(file)).replaceAll(/[^A-Za-z0-9._-]/g, '-');
  return name === '' ? 'handlers' : name;
}

function resolveFile(file: string, cwd: string): string {
  const path = resolve(cwd, file);
  if (!existsSync(path)) {
    throw new HandlersFileError(`no handlers file ${path} ("${file}", looked up from ${cwd})`);
  }
  if (!statSync(path).isFile()) {
    throw new HandlersFileError(
      `${path} is not a file; name the handlers file itself, for instance ${file}/handlers.mjs`,
    );
  }
  const extension = extname(path);
  if (!LOADABLE.has(extension)) {
    throw new HandlersFileError(
      `${path} cannot be loaded: a handlers file ends in .js, .mjs or .cjs, or in .ts, .mts or .cts`,
    );
  }
  return path;
}

function exportOf(module: Record<string, unknown>, path: string): unknown {
  if ('default' in module) {
    const exported = unwrapCompiled(module.default);
    const strays = HOOKS.filter((name) => typeof module[name] === 'function' && !hasKey(exported, name));
    if (strays.length === 0) return exported;
    throw new HandlersFileError(
      `handlers file ${path} exports ${strays.join(' and ')} by name, where nobody calls it; put it into the default export: ${EXAMPLE}`,
    );
  }
  const names = Object.keys(module).filter((name) => name !== 'module.exports');
  if (names.length === 0) {
    throw new HandlersFileError(`handlers file ${path} exports nothing; give it a default export: ${EXAMPLE}`);
  }
  throw new HandlersFileError(
    `handlers file ${path} has only named exports (${names.join(', ')}); give it a default export: ${EXAMPLE}`,
  );
}

const HOOKS = ['setup', 'teardown'] as const;

function hasKey(exported: unknown, name: string): boolean {
  return typeof exported === 'object' && exported !== null && name in exported;
}

/** A default export compiled to CommonJS arrives as `module.exports = { __esModule: true, default: ... }`. */
function unwrapCompiled(exported: unknown): unknown {
  if (typeof exported !== 'object' || exported === null) return exported;
  const compiled = exported as { __esModule?: unknown; default?: unknown };
  return compiled.__esModule === true && 'default' in compiled ? compiled.default : exported;
}

function parseHandlers(exported: unknown, path: string): LoadedHandlers {
  if (typeof exported !== 'object' || exported === null || Array.isArray(exported)) {
    throw new HandlersFileError(
      `the default export of ${path} is ${kindOf(exported)}; it must be an object from task types to handlers: ${EXAMPLE}`,
    );
  }
  const faults: string[] = [];
  const handlers = new Map<string, RegisteredHandler>();
  for (const [type, handler] of Object.entries(exported)) {
    if (type === 'setup' || type === 'teardown') continue;
    const registered = parseHandler(type, handler, faults);
    if (registered !== undefined) handlers.set(type, registered);
  }
  const { setup, teardown } = exported as { setup?: unknown; teardown?: unknown };
  for (const [name, hook] of Object.entries({ setup, teardown })) {
    if (hook === undefined || typeof hook === 'function') continue;
    faults.push(`"${name}" is ${kindOf(hook)}; it must be a function (and cannot be a task type)`);
  }
  if (handlers.size === 0 && faults.length === 0) {
    const empty = Object.keys(exported).length === 0 ? 'is empty' : 'has setup or teardown but no task types';
    faults.push(
      `its default export ${empty}; map at least one task type to a handler: ${EXAMPLE} (a script that makes a WorkerProcess is no handlers file: run it itself, or as "worker" of a pool)`,
    );
  }
  if (handlers.size > TYPES_MAX) faults.push(`it has ${handlers.size} task types; a worker can offer ${TYPES_MAX}`);
  if (faults.length > 0) {
    throw new HandlersFileError(
      `handlers file ${path} cannot be used:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    );
  }
  return {
    handlers,
    setup: bindHook(setup, exported),
    teardown: bindHook(teardown, exported),
    path,
  };
}

function bindHook(hook: unknown, owner: object): ProcessHook | undefined {
  return typeof hook === 'function' ? (hook.bind(owner) as ProcessHook) : undefined;
}
