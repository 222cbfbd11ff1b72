import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Extensions of TypeScript that Node takes, where it strips types. */
export const TYPESCRIPT_EXTENSIONS: readonly string[] = ['.ts', '.mts', '.cts'];

/**
 * Says why a handlers file could not be loaded and, where that is known, what its author can do about it.
 *
 * @param path of the handlers file, absolute
 * @param error what import() has thrown
 */
export function loadFailureText(path: string, error: unknown): string {
  const unknown = unknownExtension(error);
  if (unknown !== undefined && TYPESCRIPT_EXTENSIONS.includes(extname(unknown))) {
    const who = unknown === path ? `handlers file ${path}` : `handlers file ${path} imports ${unknown}, which`;
    return (
      `${who} is TypeScript, and this Node (${process.version}) does not run that by itself. ` +
      `Use Node 22.18 or newer, ${OTHERWISE}`
    );
  }
  const details = error instanceof Error ? (error.stack ?? String(error)) : String(error);
  const advice = adviceOn(path, error);
  return `handlers file ${path} failed while it was loaded:\n${details}${advice === undefined ? '' : `\n${advice}`}`;
}

const OTHERWISE =
  'or compile it and name the JavaScript file (remuda-worker dist/handlers.js), ' +
  "or register a loader (npm install tsx; NODE_OPTIONS='--import tsx' remuda-worker handlers.ts)";

function adviceOn(path: string, error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  switch (codeOf(error)) {
    case 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX':
      return (
        'Node strips types and does nothing else: an enum, a namespace with code, a parameter property, `import =` and ' +
        '`export =` would have to be turned into JavaScript. Write it otherwise ("erasableSyntaxOnly" in tsconfig.json finds ' +
        `all such places), ${OTHERWISE}`
      );
    case 'ERR_INVALID_TYPESCRIPT_SYNTAX':
      return 'This is no TypeScript at the place shown above: npx tsc --noEmit says more';
    case 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING':
      return (
        'Node does not run TypeScript below node_modules: name a handlers file outside of it, import a package that brings ' +
        `JavaScript, ${OTHERWISE}`
      );
  }
  if (!TYPESCRIPT_EXTENSIONS.includes(extname(path))) return undefined;
  return missingModuleAdvice(error) ?? missingExportAdvice(error);
}

/** The compiler lets './x.js' mean x.ts, and './x' as well; Node does not. */
function missingModuleAdvice(error: Error): string | undefined {
  if (codeOf(error) !== 'ERR_MODULE_NOT_FOUND') return undefined;
  const { url } = error as { url?: unknown };
  if (typeof url !== 'string' || !url.startsWith('file:')) return undefined;
  const missing = fileURLToPath(url);
  const found = [missing.replace(/\.([mc]?)js$/, '.$1ts'), `${missing}.ts`].find((candidate) => existsSync(candidate));
  if (found === undefined) return undefined;
  return (
    `${found} is there, but Node takes a file's name as it is written: import it with its extension ` +
    `${extname(found)} ("rewriteRelativeImportExtensions" in tsconfig.json lets the compiler take that), ${OTHERWISE}`
  );
}

/** Which names are types, only the compiler knows. */
function missingExportAdvice(error: Error): string | undefined {
  const name = /does not provide an export named '([^']+)'/.exec(error.message)?.[1];
  if (name === undefined || !(error instanceof SyntaxError)) return undefined;
  return (
    `If ${name} is a type, import it with \`import type\`: whoever only strips types cannot know that it is one ` +
    '("verbatimModuleSyntax" in tsconfig.json finds all such places)'
  );
}

/** The file of an extension that Node does not know. */
function unknownExtension(error: unknown): string | undefined {
  if (!(error instanceof Error) || codeOf(error) !== 'ERR_UNKNOWN_FILE_EXTENSION') return undefined;
  return / for (.+)$/.exec(error.message)?.[1];
}

function codeOf(error: Error): unknown {
  return (error as { code?: unknown }).code;
}
