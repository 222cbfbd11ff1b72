import ts from 'typescript';

/** One exact text of a source file, and what takes its place. */
export interface Edit {
  /** Must be in the file once and only once. */
  readonly find: string;
  readonly replace: string;
}

/** A fault of the product, made on purpose, that the simulation must notice. */
export interface Mutation {
  /** For the command line: small letters with `-` between words. */
  readonly name: string;
  /** What the product then does wrong. */
  readonly breaks: string;
  /** Which promise that is against: an invariant by its number (docs/ARCHITECTURE.md), or the rule in words. */
  readonly promise: string;
  /** The source file, from the top of the repository. */
  readonly file: string;
  readonly edits: readonly Edit[];
}

/** The product's source has changed, and the mutation does not fit it any more. */
export class StaleMutation extends Error {
  override readonly name = 'StaleMutation';
}

/**
 * The file's source, broken.
 *
 * @throws {StaleMutation} for a text that is not there exactly once
 */
export function mutate({ name, file, edits }: Mutation, source: string): string {
  let text = source;
  for (const { find, replace } of edits) {
    const parts = text.split(find);
    if (parts.length !== 2) {
      const [line] = find.trimStart().split('\n');
      throw new StaleMutation(
        `mutation ${name} is stale: its text, beginning with "${line}", is ${parts.length - 1} times in ${file} and must be there once; write it anew for the code as it is now (test/sim/mutations)`,
      );
    }
    text = parts.join(replace);
  }
  return text;
}

/**
 * One file as JavaScript, without its neighbours: isolatedModules makes sure that this is what the build would write.
 *
 * @param options of tsconfig.json
 * @throws {StaleMutation} for what is no TypeScript
 */
export function transpile({ name, file }: Mutation, text: string, options: ts.CompilerOptions): string {
  // nodenext would ask for the package.json beside the file.
  const module = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const compilerOptions = { ...options, ...module, composite: false, sourceMap: false, inlineSources: false };
  delete compilerOptions.rootDir;
  delete compilerOptions.tsBuildInfoFile;
  const transpiled = ts.transpileModule(text, { compilerOptions, fileName: file, reportDiagnostics: true });
  const { outputText, diagnostics = [] } = transpiled;
  if (diagnostics.length > 0) throw new StaleMutation(`mutation ${name} of ${file}: ${faultsOf(diagnostics)}`);
  return outputText;
}

/** What a compiler says, for people. */
export function faultsOf(diagnostics: readonly ts.Diagnostic[]): string {
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')).join('; ');
}
